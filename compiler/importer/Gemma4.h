// Builds the import stage's IR, gemma primitives on tensors, from a
// configuration alone. Must not know tensors' bytes, files or targets.
#pragma once

#include "compiler/importer/Config.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace gemmac {

// The module holds, in this order: one gemma.weight per tensor of the
// checkpoint that the text decoder needs, one gemma.cache per K/V-owning layer,
// and
//
//   func.func @step(%ids, %slot, %pos, %rope_local, %rope_global)
//       -> (hidden, logits) attributes {gemma.segment = "step"}
//
// on any number of rows, made of primitives in exactly the form in which
// GemmaOps.td documents the fused ops. Arguments carry `gemma.arg`; values of
// interest carry a NameLoc ("layers.0.attn_in", "hidden.3", "final_norm").
// The module attribute `gemma.config` is a dictionary of what the reference
// evaluator needs and no op says. The dialects are loaded into `context`.
mlir::OwningOpRef<mlir::ModuleOp> importGemma4(mlir::MLIRContext &context,
                                               const ModelConfig &config);

} // namespace gemmac
