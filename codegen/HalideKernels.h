// The Halide families: bitcode of a pipeline plus what the wrapper must know to
// call it. Knows targets; Halide is hidden behind this interface (files that
// implement it are compiled with exceptions, none escapes).
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"

#include <memory>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace gemmac {

// Whether the family is written in Halide: one algorithm for all targets.
bool hasHalideKernel(const std::string &family);
Result<std::unique_ptr<llvm::Module>>
compileHalideKernel(const KernelSpec &spec, const Target &target,
                    llvm::LLVMContext &context);

} // namespace gemmac
