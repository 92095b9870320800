// Lays a checked tokenizer out as the blob of runtime/tokenizer_blob.h. Must
// not know where the pieces came from (tokenizer.json, GGUF).
#pragma once

#include "compiler/Result.h"
#include "runtime/tokenizer_blob.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace gemmac {

// A BPE tokenizer with byte fallback; the views point into the reader's memory.
struct TokenizerModel {
  std::vector<std::string_view> pieces; // by id, valid UTF-8
  std::vector<uint8_t> flags;           // gm_tok_flag, by id
  std::vector<bool> inModel;            // by id: a BPE piece, not only added
  std::vector<gm_tok_merge> merges;     // ids in range, no byte tokens
  std::array<uint32_t, 256> byteIds;
};

// The only possible error: a pair (left, right) stands twice in `merges`.
Result<std::vector<uint8_t>> packTokenizerTables(const TokenizerModel &model);

} // namespace gemmac
