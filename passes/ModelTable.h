// The constant gm_model (runtime/abi.h): what the runtime finds of a compiled
// model. Must not know how segments are lowered.
#pragma once

#include "passes/CallTable.h"

#include "mlir/IR/BuiltinOps.h"

namespace gemmac {

struct SegmentEntry {
  llvm::StringRef segment;
  llvm::StringRef few, many; // empty: none
  int32_t fewRows;           // up to which `few` is the faster one
  int32_t calls[2][2] = {};  // few, many: [first, end)
};

// Appends gm_model and the tables behind it to `module`, which defines the
// functions of `entries`. With `kernels` kernels of a device it names
// gm_kernels, gm_kernel_names and gm_images, which codegen adds.
void makeModelTable(mlir::ModuleOp module, llvm::ArrayRef<SegmentEntry> entries,
                    const CallTable &table, int32_t kernels);

} // namespace gemmac
