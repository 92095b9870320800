// Where the evaluator's weights come from: a checkpoint, or numbers made from
// the tensor's name. Must not know the evaluator's ops.
#pragma once

#include "codegen/Packer.h"
#include "test/reference/Evaluator.h"

namespace gemmac::reference {

// Widened to double, kept once read. `source` must live as long as the result.
WeightSource checkpointWeights(const TensorSource &source);

// A function of name and index in the ranges of real checkpoints, so that two
// modules get the same values for the same tensor.
WeightSource randomWeights();

} // namespace gemmac::reference
