// See ProgramFacts.h.
#include "compiler/ProgramFacts.h"

#include "llvm/ADT/STLExtras.h"

namespace gemmac {

static RopeFacts ropeFacts(const RopeConfig &rope) {
  return {rope.theta, rope.dim, rope.pairs};
}

// One per kind of medium that the program takes.
static std::vector<MediumFacts> mediaFacts(const ModelConfig &model) {
  std::vector<MediumFacts> media;
  auto add = [&](const char *kind, const MediaTokens &tokens) -> MediumFacts & {
    media.push_back({.kind = kind,
                     .begin = tokens.begin,
                     .soft = tokens.soft,
                     .end = tokens.end});
    return media.back();
  };
  if (const auto &vision = model.vision) {
    MediaTokens tokens = model.imageTokens;
    for (const char *kind : {"image", "video"}) {
      const bool film = !media.empty();
      if (film)
        tokens.soft = model.filmToken;
      MediumFacts &m = add(kind, tokens);
      m.tower = vision->tower;
      m.budget = film ? vision->filmBudget : vision->budget;
      m.patch = vision->patch;
      m.pool = vision->pool;
      m.theta = vision->tower ? vision->theta : 0;
      m.pairs = vision->tower ? vision->headDim / 4 : 0;
      m.positions = vision->positions;
      const int64_t side = vision->tower ? vision->patch : vision->cell();
      m.columns = side * side * 3;
      m.width = vision->tower ? vision->width : 0;
      m.bidirectional = model.imageBlocks;
    }
  }
  if (const auto &audio = model.audio) {
    MediumFacts &m = add("audio", model.audioTokens);
    m.tower = audio->tower;
    m.columns = audio->tower ? audio->bins : audio->output;
    m.width = audio->width;
  }
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
                    .chat = int(input.protocol),
                    .chatTemplate = input.templateFact()},
          .sampling = {generation.temperature, generation.topP, generation.topK,
                       generation.stop, generation.suppress, generation.minP,
                       generation.limit},
          .media = mediaFacts(model),
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
