// Opens the tensors of a Hugging Face folder: one safetensors file or shards
// with an index, mapped read-only, names without their prefix. Knows how the
// checkpoints of the family name things; must not know MLIR or what is done
// with the tensors.
#pragma once

#include "codegen/Source.h"
#include "compiler/importer/Config.h"
#include "compiler/importer/Safetensors.h"
#include "support/Result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// All tensors of FOLDER, checked as Safetensors.h says and against the index.
// `data` of a tensor may be unaligned when the header's length is odd. Errors:
// no folder, no safetensors, a missing shard, any
// broken header, a tensor that is in two files or not where the index says.
Result<std::unique_ptr<TensorSource>>
openCheckpoint(const std::string &folder, std::vector<std::string> &warnings);

// `name` without "model.language_model." or "model.".
std::string canonicalName(std::string_view name);

// The part of the model that is not compiled yet (a tower or its projection)
// that the canonical name belongs to, or nullptr.
const char *towerOf(std::string_view name);

// True if the canonical name is a k_proj, v_proj or k_norm of a layer that
// reads another layer's K/V: original E2B and E4B files carry those, unused.
bool isDeadKv(const ModelConfig &model, std::string_view name);

} // namespace gemmac
