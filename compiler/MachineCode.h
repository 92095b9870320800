// Machine code of a device's kernels, which a program has beside their text
// where NVIDIA's ptxas is found: whether to use one, and what to say of it.
// Knows no stages.
#pragma once

#include "codegen/NativeModule.h"
#include "codegen/Ptxas.h"
#include "compiler/Messages.h"

namespace gemmac {

// The ptxas for programs for `target`, as --ptxas (`wanted`) says; nothing if
// there is none, or nothing is made. One that was not asked for is used or not,
// but never in the way: what is wrong with it is a warning.
Result<std::optional<Ptxas>> ptxasFor(const Target &target,
                                      const std::string &wanted,
                                      bool makesProgram,
                                      const Messages &messages);

// Images of `ptx` for each compute capability of the target that ptxas can make
// it for, on up to `threads` threads. Of others it says why: cards run PTX.
std::vector<DeviceImage> makeMachineCode(const Ptxas &ptxas,
                                         const Target &target,
                                         const std::string &ptx, int threads,
                                         const Messages &messages);

} // namespace gemmac
