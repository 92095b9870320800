// Opens the tensors of a Hugging Face folder: one safetensors file or shards
// with an index, mapped read-only, under their canonical names
// (TensorNames.h). Must not know MLIR or what is done with the tensors.
#pragma once

#include "codegen/Source.h"
#include "compiler/importer/Safetensors.h"
#include "support/Result.h"

#include <memory>
#include <string>
#include <vector>

namespace gemmac {

// All tensors of FOLDER, checked as Safetensors.h says. Where the index and the
// files disagree the files hold. `data` of a tensor may be unaligned when the
// header's length is odd. Errors: no folder, no safetensors (what is there
// instead is named), a missing shard, any broken header, two tensors of one
// name that differ.
Result<std::unique_ptr<TensorSource>>
openCheckpoint(const std::string &folder, std::vector<std::string> &warnings);

// Whether FOLDER has files that openCheckpoint would try.
bool hasTensors(const std::string &folder);

} // namespace gemmac
