// Makes bitcode of a kernel safe to link beside and inline into anything.
#pragma once

#include "targets/Target.h"

namespace llvm {
class Module;
} // namespace llvm

namespace gemmac {

// Halide tags memory accesses by buffer *name*, which says that buffers of
// different names never overlap; slots of the arena do. So this
// - drops all metadata of instructions but loop hints, `noalias` of parameters
//   and scope declarations,
// - reduces fast-math flags to `contract`,
// - drops the CPU attributes of functions and the module flags, and sets the
//   target's triple and data layout.
void sanitizeModule(llvm::Module &module, const Target &target);

} // namespace gemmac
