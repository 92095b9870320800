// The families written as plain C++ (codegen/kernels/<family>.body.cpp): the
// build compiles them with clang-22 to bitcode per target and embeds it; here
// the model's constants are filled in. Must not know MLIR or Halide.
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

bool hasBodyKernel(const std::string &family, const Target &target);
// The bitcode of <family>.body.cpp for a target; aborts if there is none.
std::string_view bodyBytes(const std::string &family, const Target &target);
Result<std::unique_ptr<llvm::Module>>
compileBodyKernel(const KernelSpec &spec, const Target &target,
                  llvm::LLVMContext &context);

} // namespace gemmac
