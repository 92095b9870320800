// From a planned and lowered module to machine code: reads the plan as plain
// data, translates the LLVM dialect, compiles and links the kernel bodies,
// optimises for the real CPU and emits one object.
#pragma once

#include "codegen/ProgramPlan.h"
#include "compiler/Result.h"
#include "targets/Kernels.h"

#include "mlir/IR/BuiltinOps.h"

namespace gemmac {

// Weights, caches and functions of a module after `plan`.
ProgramPlan readPlan(mlir::ModuleOp planned);

enum class Emit { Llvm, Asm, Obj };

// LLVM IR, assembly or an object file with the segments of `native` (LLVM
// dialect, after kernel-to-llvm) and the bodies of `kernels`; internal but for
// gm_model. Kernels are compiled by `threads` threads. `dumpFolder` (empty:
// none) gets each optimised kernel as <symbol>.s.
Result<std::string> compileNative(mlir::ModuleOp native,
                                  const std::vector<KernelSpec> &kernels,
                                  const Target &target, Emit emit, int threads,
                                  const std::string &dumpFolder);

} // namespace gemmac
