// The tensors of a checkpoint as the packer wants them: an interface that the
// importer's readers implement. Must not know file formats.
#pragma once

#include "codegen/Dequantize.h"

#include <cstdint>
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

} // namespace gemmac
