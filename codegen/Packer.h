// Packs source tensors into the weights of a program: streams row slabs, so
// memory stays at tens of MB per thread whatever the model. The source of
// tensors is an interface that the importer's readers implement; must not know
// file formats or MLIR.
#pragma once

#include "codegen/Dequantize.h"
#include "codegen/ProgramPlan.h"
#include "codegen/Quantize.h"
#include "compiler/Result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gemmac {

// One tensor of a checkpoint. `data` points into a read-only mapping of the
// file and stays valid as long as the TensorSource.
struct SourceTensor {
  std::string name; // canonical: without "model.language_model." or "model."
  std::string fileName; // the name as it stands in the file
  SourceType type = SourceType::Other;
  std::string typeName; // as the file spells it, for messages
  std::vector<int64_t> shape;
  const uint8_t *data = nullptr;
  uint64_t bytes = 0;
  int file = 0; // index into TensorSource::files
};

struct SourceFile {
  std::string path;
  uint64_t bytes = 0;
  int64_t mtimeNs = 0;
};

// A tensor of the checkpoint that the program does not use.
struct IgnoredTensor {
  std::string name; // as it stands in the file
  std::string file;
  std::string reason;
};

// All tensors of a checkpoint, in file order.
class TensorSource {
public:
  virtual ~TensorSource() = default;
  virtual const std::vector<SourceTensor> &tensors() const = 0;
  virtual const std::vector<SourceFile> &files() const = 0;
  // nullptr if there is no tensor of that canonical name.
  virtual const SourceTensor *find(const std::string &name) const = 0;
};

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
inline constexpr int weightsVersion = 3;

// Hex digits that name what is packed from which source and how: pieces,
// formats, layouts, tensor headers, size and modification time of every source
// file (docs/design.md#5.1). Two equal ids mean equal weight sections.
std::string weightsId(const ProgramPlan &plan, const TensorSource &source);

// Writes every weight of `plan` at `base + offset` of `fd` (named `path` in
// messages), converting to its format and layout, with `threads` threads. The
// tensors must have been checked against the pieces. Errors: Resources if
// writing fails.
Result<PackHashes> packWeights(const ProgramPlan &plan,
                               const TensorSource &source, int fd,
                               const std::string &path, uint64_t base,
                               int threads, const PackProgress &progress);

} // namespace gemmac
