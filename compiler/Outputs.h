// What gemmac writes besides programs, and whether the places that the user
// named for outputs may be written at all. Must not know MLIR.
#pragma once

#include "codegen/OutputFile.h"
#include "compiler/Driver.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/raw_ostream.h"

namespace gemmac {

// Asked before anything is read: no output is one of the inputs (by device and
// inode), a folder, or for a program a device, pipe or socket but /dev/null.
Status checkOutputs(const DriverOptions &options, const Destination &output);

// Text to the file `named` ("-" or nothing: standard output) under a temporary
// name that is then renamed; straight into what is no regular file.
Status writeText(const std::string &named,
                 llvm::function_ref<void(llvm::raw_ostream &)> write);

} // namespace gemmac
