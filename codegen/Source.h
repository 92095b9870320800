// The tensors of a checkpoint as the packer wants them: an interface that the
// importer's readers implement. Must not know file formats.
#pragma once

#include "codegen/Dequantize.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
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

  int64_t elements() const {
    return std::reduce(shape.begin(), shape.end(), int64_t(1),
                       std::multiplies<>());
  }
  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
};

// Both are there, of one type and the same bytes.
inline bool sameData(const SourceTensor *a, const SourceTensor *b) {
  return a && b && a->type == b->type && a->bytes == b->bytes &&
         !std::memcmp(a->data, b->data, a->bytes);
}

struct SourceFile {
  std::string path;
  uint64_t bytes = 0;
  int64_t mtimeNs = 0, ctimeNs = 0;
};

// A tensor of the checkpoint that the program does not use.
struct IgnoredTensor {
  std::string name; // as it stands in the file
  std::string file;
  std::string reason;
};

// How messages speak of a kind of checkpoint.
struct SourceWords {
  const char *sizes = "config.json"; // where the sizes of the model come from
  const char *describe = "describes";
  const char *types = "F32, F16 or BF16"; // that can be compiled
  const char *otherTypes = "quantised checkpoints are not supported";
};

// All tensors of a checkpoint, in file order.
class TensorSource {
public:
  virtual ~TensorSource() = default;
  virtual const std::vector<SourceTensor> &tensors() const = 0;
  virtual const std::vector<SourceFile> &files() const = 0;
  // nullptr if there is no tensor of that canonical name.
  virtual const SourceTensor *find(const std::string &name) const = 0;
  // The name that the tensor of that canonical name has in such a file.
  virtual std::string nameInFile(const std::string &name) const { return name; }
  // Why no program needs a tensor of that kind of file; nullptr: it may.
  virtual const char *whyUnused(const SourceTensor &) const { return nullptr; }
  virtual const SourceWords &words() const {
    static const SourceWords words;
    return words;
  }
};

} // namespace gemmac
