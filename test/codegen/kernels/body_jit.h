// Runs the plain C++ bodies: spec -> bitcode -> O3 -> object -> JIT on this
// machine, those of devices in the emulator of their driver. The header knows
// nothing of LLVM.
#pragma once

#include "targets/Kernels.h"

#include <string>

namespace gemmac::test {

// Address of a function with the C signature of the body, for a target that
// runs here or in an emulator of a driver (device_body.h); made at the first
// call, then kept.
void *jitBody(const KernelSpec &spec, const std::string &target);
// Optimised assembly and object of the body.
std::string bodyAssembly(const KernelSpec &spec, const std::string &target);
std::string bodyObject(const KernelSpec &spec, const std::string &target);

} // namespace gemmac::test
