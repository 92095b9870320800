// Reads reference logits row by row from a safetensors file, or from a pipe
// that carries one: what `eval --logits` writes, or any file with
//   input_ids  I32 or I64 [tokens]
//   logits     F32 [tokens, vocabulary]
// Other tensors are skipped. Memory: one row, whatever the file.
#pragma once

#include "runtime/gemma.h"

#include <string>
#include <vector>

namespace gm {

class ReferenceFile {
public:
  ReferenceFile() = default;
  ReferenceFile(const ReferenceFile &) = delete;
  ~ReferenceFile();

  // Checks names, types and shapes: BAD_INPUT says what was expected and found.
  // "-" is the standard input. In a pipe input_ids stand before logits.
  Status open(const std::string &path, uint64_t tokens, int64_t vocab);
  // Checks that its next ids are `ids`. Before the first row.
  Status check_ids(const std::vector<int32_t> &ids);
  bool is_open() const { return fd >= 0; }
  // The next row of logits; valid until the next call.
  Status next_row(const float *&row);
  // A failure that names the row that was read last.
  Status bad_row(const char *what) const;

private:
  struct Tensor {
    std::string dtype;
    std::vector<uint64_t> shape;
    uint64_t begin = 0, end = 0; // in the data
    bool found = false;
  };
  class Header;

  Status read_header(Tensor &logits, Tensor &tokens);
  Status check_shapes(const Tensor &logits, const Tensor &tokens, uint64_t rows,
                      uint64_t vocab) const;
  Status seek(uint64_t offset);
  Status read(void *to, size_t bytes);
  Status bad(const std::string &what) const;

  std::string name;
  int fd = -1;
  bool seekable = false;
  uint64_t at = 0;   // bytes of the data that have been passed
  uint64_t data = 0; // where the data begins in the file
  uint64_t id = 0;   // ids that have been checked
  uint64_t row = 0;  // rows that have been read
  Tensor logits, tokens;
  std::vector<float> buffer;
};

} // namespace gm
