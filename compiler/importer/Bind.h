// Joins the import stage's weights with the tensors of a checkpoint: every
// weight has its tensor and every tensor a use or a reason why it has none.
// Must not know file formats or how weights are packed.
#pragma once

#include "codegen/Source.h"
#include "compiler/importer/Config.h"
#include "support/Result.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace gemmac {

struct Binding {
  std::vector<IgnoredTensor> ignored; // in the source's order
  std::vector<Finding> findings;      // what the user may want to know
  std::vector<std::string> warnings;  // what looks wrong but is no error
};

// Sets `source` of every gemma.weight of `module`, which importGemma4 made from
// `config`. Errors: a missing tensor, one of another shape or type, one that
// the model has no place for.
Result<Binding> bindCheckpoint(mlir::ModuleOp module, const ModelConfig &config,
                               const TensorSource &source);

} // namespace gemmac
