// Whether the places that the user named for outputs may be written at all.
// Must not know MLIR.
#pragma once

#include "codegen/OutputFile.h"
#include "compiler/Driver.h"

namespace gemmac {

// Asked before anything is read: no output is one of the inputs (by device and
// inode), a folder, or for a program a device, pipe or socket but /dev/null.
Status checkOutputs(const DriverOptions &options, const Destination &output);

} // namespace gemmac
