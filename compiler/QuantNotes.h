// What the user is told about the values of quantised weights. Must not know
// MLIR or how weights are packed.
#pragma once

#include "codegen/Packer.h"

namespace gemmac {

struct QuantNotes {
  std::vector<std::string> warnings, remarks;
};

// Warnings: quantised types that are encoded anew, with the largest error and
// its tensor; tensors most of whose blocks lie on a 4-bit grid, but not all.
// Remarks: tensors that are kept bit by bit or lie on a grid; what plain types
// lost.
QuantNotes quantNotes(std::vector<PackNote> notes);

} // namespace gemmac
