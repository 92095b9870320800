// See TensorNames.h.
#include "compiler/importer/TensorNames.h"

#include "support/Result.h"

#include <charconv>
#include <map>

namespace gemmac {
namespace {

using Text = std::string_view;

// Modules that compilers and parallel trainers wrap around any other.
constexpr Text wrappers[] = {"_orig_mod", "module", "_fsdp_wrapped_module",
                             "_checkpoint_wrapped_module", "_forward_module"};

constexpr const char *towers[] = {
    "audio_tower",  "embed_audio",     "embed_vision", "multi_modal_projector",
    "vision_tower", "vision_embedder", "vision_model"};

// First words of the decoder's canonical names.
constexpr Text roots[] = {"layers",
                          "embed_tokens",
                          "embed_tokens_per_layer",
                          "per_layer_model_projection",
                          "per_layer_projection_norm",
                          "norm"};

struct Spelling {
  Text other, canonical;
};

// Beginnings behind "layers.3.", one after the other.
constexpr Spelling layerSpellings[] = {
    {"moe.per_expert_scale", "router.per_expert_scale"},
    {"moe.router.", "router."},
    {"moe.experts.", "experts."},
    {"mlp.experts.", "experts."},
    {"moe.", "experts."},
    {"experts.switch_glu.", "experts."}, // mlx-lm
    {"experts.switch_mlp.", "experts."},
};

// Beginnings of tensors of towers: how transformers calls them while it runs.
constexpr Spelling towerSpellings[] = {
    {"embed_vision.patch_", "vision_embedder.patch_"},
    {"embed_vision.pos_", "vision_embedder.pos_"},
    {"embed_vision.multimodal_embedder.", "embed_vision."},
};

// Parts of ".NAME." that no program needs.
struct LeftOver {
  Text part;
  const char *why;
};
constexpr const char saved[] = "a saved buffer that is computed anew";
constexpr const char trained[] = "state of a trainer";
constexpr LeftOver leftOvers[] = {
    {".rotary_emb.", saved},
    {".inv_freq.", saved},
    {".embed_scale.", saved},
    {".position_ids.", saved},
    {".per_layer_input_scale.", saved},
    {".per_layer_projection_scale.", saved},
    {".v_head.", "a value head of reinforcement learning"},
    {".value_head.", "a value head of reinforcement learning"},
    {".score.", "a head that grades texts"},
    {".classifier.", "a head that grades texts"},
    {".optimizer.", trained},
    {".optimizer_state.", trained},
    {".exp_avg.", trained},
    {".exp_avg_sq.", trained},
    {".momentum_buffer.", trained},
    {".lr_scheduler.", trained},
    {".global_step.", trained},
    {".rng_state.", trained},
};

// What shows a kind that is not read: a part of ".NAME." and the beginning of
// the type. The first row that any tensor fits tells the kind.
struct Mark {
  Text part, type;
  const char *kind; // nullptr: an adapter
};
constexpr Mark marks[] = {
    {".lora_", "", nullptr},
    {".base_layer.", "", nullptr},
    {".modules_to_save.", "", nullptr},
    {".original_module.", "", nullptr},
    {".hada_w", "", nullptr},
    {".lokr_w", "", nullptr},
    {".oft_", "", nullptr},
    {".ia3_l.", "", nullptr},
    {".vera_lambda_", "", nullptr},
    {".prompt_embeddings.", "", nullptr},
    {".bitsandbytes__nf4.", "", "bitsandbytes (NF4)"},
    {".bitsandbytes__fp4.", "", "bitsandbytes (FP4)"},
    {".absmax.", "", "bitsandbytes (4 bits)"},
    {".SCB.", "", "bitsandbytes (int8)"},
    {".g_idx.", "", "GPTQ"},
    {".qweight.", "", "AWQ or GPTQ"},
    {"_weight_qdata.", "", "torchao"},
    {".weight_scale_2.", "", "NVIDIA ModelOpt (NVFP4)"},
    {".weight_packed.", "", "compressed-tensors"},
    {".weight_scale_inv.", "", "blocks of FP8"},
    {".W_q.", "", "HQQ"},
    {".codebooks.", "", "AQLM"},
    {"._data.", "", "Quanto"},
    {"_blocks.", "", "MXFP4"},
    {".scales.", "", "MLX"},
    {"", "F8_", "FP8"},
    {"", "F4", "FP4"},
    {"", "F6_", "FP6"},
    {".weight_scale.", "", "compressed-tensors"},
    {"", "I8", "int8 codes"},
    {"", "U8", "codes packed into bytes"},
    {"", "U32", "codes packed into words"},
    {"", "I32", "codes packed into words"},
};

// Only matrices of the decoder show a kind by their type alone.
bool isMatrix(Text name) {
  return name.ends_with("_proj.weight") || name.ends_with("_proj") ||
         name.starts_with("embed_tokens");
}

std::string dotted(Text name) { return fmt::format(".{}.", name); }

// Calls `f(begin, component)` until it gives true.
template <typename F>
void components(Text name, F f) {
  for (size_t at = 0; at <= name.size();) {
    size_t end = std::min(name.find('.', at), name.size());
    if (f(at, name.substr(at, end - at)))
      return;
    at = end + 1;
  }
}

template <typename List>
bool isOneOf(const List &list, Text word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

std::string withoutWrappers(Text name) {
  std::string plain;
  components(name, [&](size_t, Text part) {
    if (!isOneOf(wrappers, part))
      plain += (plain.empty() ? "" : ".") + std::string(part);
    return false;
  });
  return plain;
}

// Takes a number and a dot from the front.
std::optional<int64_t> takeNumber(Text &text) {
  int64_t number;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  size_t size = size_t(end - text.data());
  if (error != std::errc() || number < 0 || text.substr(size, 1) != ".")
    return {};
  text.remove_prefix(size + 1);
  return number;
}

bool takePrefix(Text &text, Text prefix) {
  if (!text.starts_with(prefix))
    return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Takes "layers.3." from the front.
std::optional<int64_t> takeLayer(Text &name) {
  Text rest = name;
  if (!takePrefix(rest, "layers."))
    return {};
  std::optional<int64_t> layer = takeNumber(rest);
  if (layer)
    name = rest;
  return layer;
}

std::string canonicalTail(Text tail) {
  std::string name(tail);
  for (const Spelling &s : layerSpellings)
    if (name.starts_with(s.other))
      name.replace(0, s.other.size(), s.canonical);
  if (name.starts_with("experts.") && name.ends_with("_proj.weight"))
    name.resize(name.size() - Text(".weight").size());
  return name;
}

} // namespace

std::string decoderPrefix(const std::vector<SourceTensor> &tensors) {
  std::map<std::string, int64_t> count;
  for (const SourceTensor &tensor : tensors) {
    if (towerOf(tensor.fileName) || whyLeftOver(tensor.fileName))
      continue;
    std::string plain = withoutWrappers(tensor.fileName);
    components(plain, [&](size_t at, Text part) {
      bool found = isOneOf(roots, part) && at + part.size() < plain.size();
      count[plain.substr(0, at)] += found;
      return found;
    });
  }
  std::string best;
  for (const auto &[prefix, n] : count)
    if (n > count[best] || (n == count[best] && prefix.size() < best.size()))
      best = prefix;
  return best;
}

std::string canonicalName(std::string_view name, std::string_view prefix) {
  std::string plain = withoutWrappers(name);
  if (const char *tower = towerOf(plain)) {
    plain.erase(0, plain.find(tower));
    for (const Spelling &s : towerSpellings)
      if (plain.starts_with(s.other))
        return plain.replace(0, s.other.size(), s.canonical);
    return plain;
  }
  if (dotted(plain).ends_with(".lm_head.weight."))
    return "lm_head.weight";
  Text rest = plain;
  if (!takePrefix(rest, prefix))
    return plain;
  Text tail = rest;
  if (!takeLayer(tail))
    return std::string(rest);
  return std::string(rest.substr(0, rest.size() - tail.size())) +
         canonicalTail(tail);
}

std::optional<ExpertName> expertOf(std::string_view name) {
  Text tail = name;
  if (!takeLayer(tail) || !takePrefix(tail, "experts."))
    return {};
  Text front = name.substr(0, name.size() - tail.size());
  std::optional<int64_t> expert = takeNumber(tail);
  if (!expert)
    return {};
  return ExpertName{std::string(front) + std::string(tail), *expert};
}

const char *towerOf(std::string_view name) {
  const char *found = nullptr;
  components(name, [&](size_t, Text part) {
    for (const char *tower : towers)
      if (part == tower)
        found = tower;
    return found != nullptr;
  });
  return found;
}

bool isAudioTower(std::string_view tower) {
  return tower.find("audio") != tower.npos;
}

bool hasTower(const ModelConfig &model, std::string_view tower) {
  return isAudioTower(tower) ? model.audio.has_value()
                             : model.vision.has_value();
}

const char *whyDeadKv(const ModelConfig &model, std::string_view name) {
  std::optional<int64_t> number = takeLayer(name);
  if (!number || *number >= model.layers || !takePrefix(name, "self_attn."))
    return nullptr;
  const LayerConfig &layer = model.layer[size_t(*number)];
  Text part = name.substr(0, name.find('.'));
  bool isValue = part == "v_proj" || part == "v_norm";
  if (!layer.ownsKv && (isValue || part == "k_proj" || part == "k_norm"))
    return "the layer reads another layer's keys and values";
  return layer.keyIsValue && isValue ? "the layer's values are its keys"
                                     : nullptr;
}

const char *whyLeftOver(std::string_view name) {
  std::string text = dotted(name);
  for (const LeftOver &left : leftOvers)
    if (text.find(left.part) != text.npos)
      return left.why;
  return nullptr;
}

void settleTowers(ModelConfig &model, const TensorSource &source,
                  std::vector<std::string> &warnings) {
  bool vision = false, audio = false;
  for (const SourceTensor &tensor : source.tensors())
    if (const char *tower = towerOf(tensor.name))
      (isAudioTower(tower) ? audio : vision) = true;
  auto leaveOut = [&](const char *what, const char *key, std::string &why) {
    why = "the checkpoint lacks its tensors";
    warnings.push_back(
        fmt::format("{} describes {}, but the checkpoint has no tensor of it: "
                    "it is left out",
                    key, what));
  };
  if (model.vision && !vision) {
    leaveOut("a vision tower", "vision_config", model.noVision);
    model.vision.reset();
  }
  if (model.audio && !audio) {
    leaveOut("an audio tower", "audio_config", model.noAudio);
    model.audio.reset();
  }
}

bool settleHead(ModelConfig &model, const TensorSource &source) {
  const SourceTensor *head = source.find("lm_head.weight"),
                     *embed = source.find("embed_tokens.weight");
  if (!model.tied || !head || !embed || sameData(head, embed))
    return false;
  model.tied = false;
  return true;
}

std::optional<ForeignKind> foreignKind(const ModelConfig &model,
                                       const TensorSource &source) {
  const Mark *best = std::end(marks);
  ForeignKind kind{};
  for (const SourceTensor &tensor : source.tensors()) {
    if (towerOf(tensor.name) || whyDeadKv(model, tensor.name) ||
        whyLeftOver(tensor.name))
      continue;
    std::string text = dotted(tensor.fileName);
    for (const Mark *mark = marks; mark < best; ++mark)
      if (text.find(mark->part) != text.npos &&
          tensor.typeName.starts_with(mark->type) &&
          (!mark->part.empty() || isMatrix(tensor.name))) {
        best = mark;
        kind.tensor = &tensor;
      }
  }
  if (best == std::end(marks))
    return {};
  kind.what =
      !best->kind
          ? "belongs to an adapter (such as LoRA) that is not merged; merge it "
            "into its model (merge_and_unload of peft) and compile what that "
            "saves"
          : fmt::format(
                "of type {} belongs to a model quantised with {}{}, which is "
                "not "
                "read; use the checkpoint in bf16, f16 or f32 that it was made "
                "from, or a GGUF file",
                kind.tensor->typeName, best->kind,
                model.quantisation.empty()
                    ? ""
                    : fmt::format(" (config.json: {})", model.quantisation));
  return kind;
}

} // namespace gemmac
