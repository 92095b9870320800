// kernel-verify-plan, and its two halves that do not depend on each other. All
// emit an error at the offending op and fail.
#pragma once

#include "dialects/kernel/Kernel.h"

namespace gemmac {

// Units, scalars, weights and step arrays of every call agree with the shapes
// and with each other; io names are the segment's.
llvm::LogicalResult verifyPlannedCalls(mlir::func::FuncOp func,
                                       const mlir::kernel::Symbols &symbols);

// Places are legal and inside kernel.memory; no two workers race; no value is
// overwritten before its last use.
llvm::LogicalResult verifyPlannedMemory(mlir::func::FuncOp func,
                                        const mlir::kernel::Symbols &symbols);

// All of it, and that weights and caches have offsets and do not overlap. What
// passes can be lowered.
llvm::LogicalResult verifyPlan(mlir::ModuleOp module);

} // namespace gemmac
