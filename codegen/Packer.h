// Packs source tensors into the weights of a program: streams row slabs, so
// memory stays at tens of MB per thread whatever the model. Must not know file
// formats or MLIR.
#pragma once

#include "codegen/ProgramPlan.h"
#include "codegen/Quantize.h"
#include "codegen/Source.h"
#include "support/Result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gemmac {

// What encoding a source tensor in a quantised format has changed.
struct PackNote {
  std::string tensor; // as it stands in the file
  SourceType type;
  std::string typeName, format;
  StoredError error;
};

// Content hashes (xxh3, 64 bits).
struct PackHashes {
  std::vector<uint64_t> weights; // of packed bytes, as ProgramPlan::weights
  std::map<std::string, uint64_t> sources; // of source bytes, by canonical name
  // What storing changed: per weight of ProgramPlan::weights and piece of it.
  std::vector<std::vector<StoredError>> errors;
  // What became of every source tensor that a quantised weight is made of.
  std::vector<PackNote> notes;
  // What rounding quantised sources to bf16 has changed most, and where.
  double roundingError = 0;
  std::string roundedTensor;
};

// Called now and then with the source bytes read so far and in all.
using PackProgress = std::function<void(uint64_t done, uint64_t total)>;

// Source bytes that packing `plan` reads.
uint64_t packedSourceBytes(const ProgramPlan &plan, const TensorSource &source);

// Raised whenever the bytes of a weight section change for the same plan and
// source: external weights packed by another version are not reused.
inline constexpr int weightsVersion = 4;

// Hex digits that name what is packed from which source and how: pieces,
// formats, layouts, tensor headers, size and times of every source file, the
// ends of every tensor (docs/design.md#5.1). Two equal ids mean equal weight
// sections, unless somebody changed the middle of a tensor and set both times.
std::string weightsId(const ProgramPlan &plan, const TensorSource &source);

// Whether the contents of all tensors are those that `hashes` is of.
bool hasContents(const TensorSource &source, const PackHashes &hashes,
                 int threads);

// Whether every piece lies inside a tensor of the checkpoint, so that a plan
// that somebody wrote by hand cannot make packing read elsewhere.
Status checkPieces(const ProgramPlan &plan, const TensorSource &source);

// Writes every weight of `plan` at `base + offset` of `fd` (named `path` in
// messages), converting to its format and layout, with `threads` threads. The
// pieces must have been checked. Errors: Resources if writing fails, BadInput
// where a value is not finite, Unsupported where the format cannot hold one.
Result<PackHashes> packWeights(const ProgramPlan &plan,
                               const TensorSource &source, int fd,
                               const std::string &path, uint64_t base,
                               int threads, const PackProgress &progress);

} // namespace gemmac
