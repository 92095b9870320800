// What a kernel call reads and computes, for the measurements of a program
// (gm_call and gm_work of runtime/abi.h). Must not know LLVM.
#pragma once

#include "dialects/kernel/Kernel.h"
#include "runtime/abi.h"

#include <string>
#include <vector>

namespace gemmac {

// The tables behind gm_program::call, ::work and ::names.
class CallTable {
public:
  explicit CallTable(const mlir::kernel::Symbols &symbols) : symbols(symbols) {}
  // Appends a call of the body `spec`; gives its index.
  int32_t add(mlir::kernel::CallOp call, const KernelSpec &spec);
  int32_t size() const { return int32_t(calls.size()); }

  std::vector<gm_call> calls;
  std::vector<gm_work> works;
  std::string names;

private:
  int32_t nameOf(llvm::StringRef name);

  const mlir::kernel::Symbols &symbols;
  llvm::StringMap<int32_t> offsets; // of names
  llvm::StringMap<int32_t> known;   // works, by their bytes
};

} // namespace gemmac
