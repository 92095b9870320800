// From a KernelSpec to LLVM IR of one body with the C signature of its family
// (targets/Kernels.h). Chooses between Halide families (codegen/kernels/*.cpp)
// and plain C++ bodies (codegen/kernels/*.body.cpp). Knows Halide only through
// HalideKernels.h; must not know MLIR.
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"

#include <memory>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace gemmac {

// Whether `family` has a body for `target` (few or many).
bool hasKernel(const std::string &family, const Target &target);

// A module with one external function kernelSymbol(spec), noinline nounwind;
// everything else in it is internal. The triple and data layout are the
// target's; aliasing metadata is stripped and fast-math reduced to `contract`
// (docs/design.md#2.4); not yet optimised. Thread safe for different contexts.
Result<std::unique_ptr<llvm::Module>> compileKernel(const KernelSpec &spec,
                                                    const Target &target,
                                                    llvm::LLVMContext &context);

} // namespace gemmac
