// Shows that two modules compute the same: the numeric half of every pass test.
// Must not know goldens.
#pragma once

#include "test/reference/Runner.h"

namespace gemmac::reference {

// Runs a prefill of two interleaved sequences and a step that decodes one and
// appends to the other through both modules; compares hidden states and logits
// of the wanted rows, relative to the largest value, and @top against the
// sorted logits where a module has it. Prints the largest difference; true if
// it is at most `tolerance`.
bool runEqual(mlir::ModuleOp before, mlir::ModuleOp after,
              const WeightSource &weights, double tolerance);

} // namespace gemmac::reference
