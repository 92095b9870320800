// Bodies of CUDA targets behind the C signature that the bodies of CPUs have:
// a call carries the memory behind its pointers (live_memory.h) to the emulated
// device, launches the kernel and carries it back. Knows no test framework.
#pragma once

#include "targets/Kernels.h"

#include <string>

namespace gemmac::test {

// Made at the first call, then kept.
void *deviceBody(const KernelSpec &spec, const Target &target);
// What went wrong in calls since the last time that one asked, or "".
std::string takeDeviceProblem();

} // namespace gemmac::test
