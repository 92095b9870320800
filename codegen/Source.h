// The tensors of a checkpoint as the packer wants them: an interface that the
// importer's readers implement. Must not know file formats.
#pragma once

#include "codegen/Dequantize.h"
#include "codegen/StoredForm.h"

#include <algorithm>
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
  std::string name;     // canonical: without what stands in front of all
  std::string fileName; // the name as it stands in the file
  SourceType type = SourceType::Other;
  std::string typeName;       // as the file spells it, for messages
  std::vector<int64_t> shape; // canonical
  // Of the kernel of a convolution, whose shape is that of a vector: its sizes,
  // (out, in, y, x) or (channels, 1, taps).
  std::vector<int64_t> kernel;
  const uint8_t *data = nullptr;
  uint64_t bytes = 0;
  int file = 0; // index into TensorSource::files
  // Where each member of a stack starts that the file has as tensors of their
  // own; `data` is null then. Empty: one run of bytes.
  std::vector<const uint8_t *> members;
  // How the values at `data` differ from the canonical ones.
  StoredForm form = {};

  // The byte at `offset`, and how many follow it there.
  const uint8_t *at(uint64_t offset) const {
    if (members.empty())
      return data + offset;
    uint64_t each = bytes / members.size();
    return members[offset / each] + offset % each;
  }
  uint64_t run(uint64_t offset) const {
    uint64_t each = bytes / std::max<uint64_t>(members.size(), 1);
    return members.empty() ? bytes - offset : each - offset % each;
  }

  int64_t elements() const {
    return std::reduce(shape.begin(), shape.end(), int64_t(1),
                       std::multiplies<>());
  }
  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
};

// Both are there, of one type, shape and form and the same bytes.
inline bool sameData(const SourceTensor *a, const SourceTensor *b) {
  return a && b && a->typeName == b->typeName && a->shape == b->shape &&
         a->form == b->form && a->data && b->data &&
         !std::memcmp(a->data, b->data, a->bytes);
}

struct SourceFile {
  std::string path;
  uint64_t bytes = 0;
  int64_t mtimeNs = 0, ctimeNs = 0;
  uint64_t inode = 0;
};

// A tensor of the checkpoint that the program does not use.
struct IgnoredTensor {
  std::string name; // as it stands in the file
  std::string file;
  std::string reason;
};

// What was found in a checkpoint, or odd about it, and how it was taken.
struct Finding {
  const char *about; // "layout", "head", "ignored", "ids", "end tokens", ...
  std::string text;
};

// How messages speak of a kind of checkpoint.
struct SourceWords {
  const char *sizes = "config.json"; // where the sizes of the model come from
  const char *describe = "describes";
  const char *types = "F32, F16 or BF16"; // that can be compiled
  const char *otherTypes = "use a checkpoint with such weights";
  bool showTools = true; // names and types show which tool quantised it
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
  // What else is known about a tensor of that canonical name that is missing.
  virtual std::string whyMissing(const std::string &) const { return ""; }
  // Why no program needs a tensor of that kind of file; nullptr: it may.
  virtual const char *whyUnused(const SourceTensor &) const { return nullptr; }
  virtual const std::vector<Finding> &findings() const {
    static const std::vector<Finding> none;
    return none;
  }
  virtual const SourceWords &words() const {
    static const SourceWords words;
    return words;
  }
};

} // namespace gemmac
