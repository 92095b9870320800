// The tokens of a vocabulary as a tree over their bytes, made once per program.
// Control tokens are known by their id alone. Knows no grammar.
#pragma once

#include "runtime/app/tokenizer.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gm::grammar {

class Vocabulary {
public:
  // One byte of some token. In preorder: a node's subtree is [i + 1, end), its
  // own tokens are [first, first of the next node) of `tokens`.
  struct Node {
    uint32_t end, first;
    uint8_t byte, depth; // depth of the first byte: 0
  };
  // A token of more bytes never comes.
  static constexpr size_t kLongest = 250;

  // Appends the bytes of a token; false for control tokens.
  using Source = std::function<bool(int32_t id, std::string &bytes)>;

  // Of ids 0 .. vocab - 1.
  Vocabulary(Source source, int64_t vocab);
  // `tokenizer` must stay; the model may have more ids.
  Vocabulary(const Tokenizer &tokenizer, int64_t vocab);

  int64_t size() const { return vocab; }
  size_t words() const { return size_t(vocab + 31) / 32; }
  size_t longest() const { return most; } // bytes of a token
  // Appends what token `id` adds to a text; false for control tokens.
  bool append_bytes(int32_t id, std::string &out) const {
    return source(id, out);
  }

  std::vector<Node> nodes; // one more than there are: its `first` is the end
  std::vector<int32_t> tokens;

private:
  const Source source;
  const int64_t vocab;
  size_t most = 0;
};

} // namespace gm::grammar
