// A tokenizer.json as read: the two large tables (vocab, merges) in one pool of
// characters, everything else as a small tree. Must not know what the runtime
// supports.
#pragma once

#include "compiler/importer/Json.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

struct TokenizerFile {
  // A string in the pool.
  struct Text {
    uint32_t from, size;
  };
  struct Piece {
    Text text;
    int64_t id;
  };
  struct Merge {
    Text left, right; // adjacent in the pool
  };

  std::string_view view(Text text) const {
    return std::string_view(pool).substr(text.from, text.size);
  }

  JsonValue root; // model.vocab and model.merges are empty here
  std::string pool;
  std::vector<Piece> vocab; // texts differ
  std::vector<Merge> merges;
  bool sawVocab = false, sawMerges = false;
};

// Merges may be written as "left right" or ["left", "right"]. `text` has less
// than 4 GB.
Result<TokenizerFile> readTokenizerFile(std::string_view text,
                                        const std::string &name);

} // namespace gemmac
