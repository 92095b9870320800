// What a kernel call reads and computes, for the measurements of a program
// (gm_call of runtime/abi.h). Must not know LLVM.
#pragma once

#include "dialects/kernel/Kernel.h"
#include "runtime/abi.h"

#include <string>
#include <vector>

namespace gemmac {

// The tables behind gm_program::call and gm_program::names.
struct CallTable {
  std::vector<gm_call> calls;
  std::string names;
  llvm::StringMap<int32_t> offsets; // of names

  // Appends a call of the body `spec`; gives its index.
  int32_t add(mlir::kernel::CallOp call, const KernelSpec &spec);
};

} // namespace gemmac
