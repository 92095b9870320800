// One planned segment as a straight-line LLVM function: see kernel-to-llvm in
// Passes.td. Trusts the plan (kernel-verify-plan has checked it).
#pragma once

#include "passes/CallTable.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace gemmac {

// A declared body. Bodies are looked up here and not in the module: the
// declaration has the symbol of its kernel.def.
struct DeclaredBody {
  mlir::LLVM::LLVMFuncOp declaration;
  const Family *family = nullptr;
  KernelSpec spec;
  // Of devices: index in gm_program::kernel, and no declaration; else -1.
  int32_t device = -1;
};

// Makes `void @<segment>_<class>(ctx, worker)` before `source`, whose symbol it
// takes: the fields of gm_ctx once, then per kernel.call the share of this
// worker and a call of the body, per kernel.barrier a call through the context;
// of devices a launch through the context, and no barriers.
// Each call gets an entry of `table` and a mark with its number. `source`
// stays.
mlir::LLVM::LLVMFuncOp
lowerSegment(mlir::func::FuncOp source, const mlir::kernel::Symbols &symbols,
             const llvm::StringMap<DeclaredBody> &kernels, CallTable &table);

} // namespace gemmac
