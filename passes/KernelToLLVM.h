// What the stage `native` needs of the kernel dialect and tells codegen. Must
// not know LLVM's own IR.
#pragma once

#include "targets/Kernels.h"

#include <vector>

namespace mlir {
class ModuleOp;
} // namespace mlir

namespace gemmac {

// The kernels that a planned module calls.
std::vector<KernelSpec> kernelSpecs(mlir::ModuleOp module);

} // namespace gemmac
