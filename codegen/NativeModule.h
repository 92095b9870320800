// From a planned and lowered module to machine code: reads the plan as plain
// data, translates the LLVM dialect, compiles and links the kernel bodies,
// optimises for the real CPU and emits one object.
#pragma once

#include "codegen/ProgramPlan.h"
#include "support/Result.h"
#include "targets/Kernels.h"

#include "mlir/IR/BuiltinOps.h"

#include <functional>

namespace gemmac {

// Weights, caches and functions of a module after `plan`.
ProgramPlan readPlan(mlir::ModuleOp planned);
// The kernels that it calls.
std::vector<KernelSpec> kernelSpecs(mlir::ModuleOp planned);

// Called when another kernel is compiled, with how many are, of how many.
using KernelProgress = std::function<void(size_t done, size_t total)>;

enum class Emit { Llvm, Asm, Obj };

// Kernels of a device in machine code for compute capability sm / 10.
struct DeviceImage {
  int32_t sm = 0;
  std::string data;
};
// Makes images of the text of all kernels, for a program to have beside it.
using MakeImages =
    std::function<std::vector<DeviceImage>(const std::string &ptx)>;

// LLVM IR, assembly or an object file with the segments of `native` (LLVM
// dialect, after kernel-to-llvm) and the bodies of `kernels`; internal but for
// gm_model. Kernels are compiled by `threads` threads. `dumpFolder` (empty:
// none) gets each optimised kernel as <symbol>.ll and <symbol>.s. Of a device,
// assembly is the text of its kernels, and an object has the `images` too.
Result<std::string> compileNative(mlir::ModuleOp native,
                                  const std::vector<KernelSpec> &kernels,
                                  const Target &target, Emit emit, int threads,
                                  const std::string &dumpFolder,
                                  const KernelProgress &progress = {},
                                  const MakeImages &images = {});

} // namespace gemmac
