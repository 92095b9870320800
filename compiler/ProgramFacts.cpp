// See ProgramFacts.h.
#include "compiler/ProgramFacts.h"

#include "llvm/ADT/STLExtras.h"

namespace gemmac {

static RopeFacts ropeFacts(const RopeConfig &rope) {
  return {rope.theta, rope.dim, rope.pairs};
}

ManifestInput programFacts(const ModelInput &input, const std::string &name,
                           const Target &target, const ProgramPlan &plan,
                           const std::vector<IgnoredTensor> &ignored) {
  const ModelConfig &model = input.model;
  const GenerationConfig &generation = input.generation;
  // What most bytes are stored as.
  auto embed = llvm::find_if(
      plan.weights, [](const PackedWeight &w) { return w.name == "embed"; });
  return {.model = {.type = model.modelType,
                    .variant = model.variant,
                    .name = name,
                    .layers = model.layers,
                    .hidden = model.hidden,
                    .vocab = model.vocab,
                    .window = model.window,
                    .maxContext = model.maxContext,
                    .pleWidth = model.pleWidth,
                    .localRope = ropeFacts(model.localRope),
                    .globalRope = ropeFacts(model.globalRope),
                    .softRows = model.softRows(),
                    .imageBlocks = model.softRows() && model.imageBlocks,
                    .chat = int(input.protocol)},
          .sampling = {generation.temperature, generation.topP, generation.topK,
                       generation.stop, generation.suppress, generation.minP,
                       generation.limit},
          .target = target,
          .plan = plan,
          .source = *input.tensors,
          .ignored = ignored,
          .weightFormat = embed == plan.weights.end() ? "" : embed->format,
          .cacheFormat = plan.caches.empty() ? "" : plan.caches[0].format,
          .weightsId = weightsId(plan, *input.tensors),
          .externalName = "",
          .hashes = {},
          .sections = {},
          .fidelity = {}};
}

} // namespace gemmac
