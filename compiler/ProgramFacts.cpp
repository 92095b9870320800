// See ProgramFacts.h.
#include "compiler/ProgramFacts.h"

#include "llvm/ADT/STLExtras.h"

namespace gemmac {

static RopeFacts ropeFacts(const RopeConfig &rope) {
  return {rope.theta, rope.dim, rope.pairs};
}

static std::vector<MediumFacts> mediaFacts(const ModelConfig &model) {
  std::vector<MediumFacts> media;
  if (const auto &v = model.vision) {
    const int64_t side = v->tower ? v->patch : v->cell();
    media.push_back({.kind = "image",
                     .tower = v->tower,
                     .budget = v->budget,
                     .patch = v->patch,
                     .pool = v->pool,
                     .theta = v->tower ? v->theta : 0,
                     .pairs = v->headDim / 4,
                     .positions = v->positions,
                     .columns = side * side * 3,
                     .width = v->tower ? v->width : 0,
                     .bidirectional = model.imageBlocks});
  }
  if (const auto &a = model.audio)
    media.push_back({.kind = "audio",
                     .tower = a->tower,
                     .columns = a->tower ? a->bins : a->output,
                     .width = a->width});
  return media;
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
          .fidelity = {},
          .media = mediaFacts(model)};
}

} // namespace gemmac
