// From a KernelSpec to LLVM IR of one body with the C signature of its family
// (targets/Kernels.h). Families are written in Halide (codegen/kernels/*.cpp,
// which HalideKernels.cpp alone knows) or as plain C++ bodies
// (codegen/kernels/*.body.cpp), which the build compiles with clang-22 to
// bitcode per target and embeds. Must not know MLIR.
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"

#include <memory>
#include <string_view>

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

// The same of families that are known to be in Halide, and in C++. Files that
// implement Halide families are compiled with exceptions, none escapes.
Result<std::unique_ptr<llvm::Module>>
compileHalideKernel(const KernelSpec &spec, const Target &target,
                    llvm::LLVMContext &context);
Result<std::unique_ptr<llvm::Module>>
compileBodyKernel(const KernelSpec &spec, const Target &target,
                  llvm::LLVMContext &context);

bool hasBodyKernel(const std::string &family, const Target &target);
// The bitcode of <family>.body.cpp for a target; aborts if there is none.
std::string_view bodyBytes(const std::string &family, const Target &target);

} // namespace gemmac
