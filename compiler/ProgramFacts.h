// What a program will say about its model (runtime/manifest.fbs), from what was
// read of the checkpoint. Must not know MLIR.
#pragma once

#include "codegen/ManifestWriter.h"
#include "compiler/ModelInput.h"

namespace gemmac {

// What writeProgram does not fill in. Refers to its arguments. Without
// `hasWeights` the program gets none, and `input` needs no tensors.
ManifestInput programFacts(const ModelInput &input, const std::string &name,
                           const Target &target, const ProgramPlan &plan,
                           const std::vector<IgnoredTensor> &ignored,
                           bool hasWeights);

} // namespace gemmac
