// How trainers, converters and quantisers name the tensors of the family, as
// tables: from any spelling to the canonical name (that of transformers without
// "model.language_model."), what no program needs, and what shows that a
// checkpoint is of a kind that is not read. Must not know files or MLIR.
#pragma once

#include "codegen/Source.h"
#include "compiler/importer/Config.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// What stands in front of most of the decoder's tensors, with its dot:
// "model.language_model.", "base_model.model.model.", "". Wrappers that may
// stand anywhere ("_orig_mod") are not part of it.
std::string decoderPrefix(const std::vector<SourceTensor> &tensors);

// `name` without `prefix` and wrappers, experts spelled "experts.up_proj" or
// "experts.7.up_proj"; a name that is not behind the prefix only without
// wrappers, one of a tower from the tower's name on. The head is
// "lm_head.weight" wherever it stands.
std::string canonicalName(std::string_view name, std::string_view prefix);

// A tensor of one expert, by its canonical name.
struct ExpertName {
  std::string stack; // "layers.3.experts.up_proj"
  int64_t expert;    // 7
};
std::optional<ExpertName> expertOf(std::string_view name);

// The tower or its projection ("vision_tower") that the name belongs to, or
// nullptr; and whether `model` has it.
const char *towerOf(std::string_view name);
bool hasTower(const ModelConfig &model, std::string_view tower);
// Whether a tower of that name is for sounds.
bool isAudioTower(std::string_view tower);

// Why the layer does not need its tensor of that canonical name: it reads
// another layer's K/V (original E2B and E4B files carry those, unused) or its
// values are its keys; nullptr: it may need it.
const char *whyDeadKv(const ModelConfig &model, std::string_view name);

// Why no program needs a tensor of that name: a buffer that is computed anew,
// what trainers leave behind; nullptr: it may.
const char *whyLeftOver(std::string_view name);

// Leaves out of `model` a tower of which `source` has no tensor at all: a text
// model that was saved with the configuration of what it was tuned from.
void settleTowers(ModelConfig &model, const TensorSource &source,
                  std::vector<std::string> &warnings);

// A stored head that differs from the embedding is used, whatever the
// configuration says, as transformers does. True if that changed `model`.
bool settleHead(ModelConfig &model, const TensorSource &source);

// What the checkpoint is if it is of a kind that is not read.
struct ForeignKind {
  const SourceTensor *tensor; // that shows it
  std::string what;           // "belongs to ...; do ..."
};
std::optional<ForeignKind> foreignKind(const ModelConfig &model,
                                       const TensorSource &source);

} // namespace gemmac
