// Runs the plain C++ bodies on this machine: spec -> bitcode -> O3 -> object ->
// JIT. The header knows nothing of LLVM.
#pragma once

#include "targets/Kernels.h"

#include <string>

namespace gemmac::test {

// Address of the body for a target that runs here; made at the first call, then
// kept.
void *jitBody(const KernelSpec &spec, const std::string &target);
// Optimised assembly and object of the body.
std::string bodyAssembly(const KernelSpec &spec, const std::string &target);
std::string bodyObject(const KernelSpec &spec, const std::string &target);

} // namespace gemmac::test
