// Lays a checked tokenizer out as the blob of runtime/tokenizer_blob.h. Must
// not know where the pieces came from (tokenizer.json, GGUF).
#pragma once

#include "runtime/tokenizer_blob.h"
#include "support/Result.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
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

using PieceIds = std::unordered_map<std::string_view, int64_t>;

// Marks the byte tokens ("<0x0A>") among the pieces and fills `byteIds`. Error:
// one of the 256 is missing.
Status findByteTokens(TokenizerModel &model, const PieceIds &ids);

// Appends the merge of `left` and `right` to `whole`. Errors: one of them is no
// piece or is a byte token. Needs findByteTokens.
Status addMerge(TokenizerModel &model, const PieceIds &ids,
                std::string_view left, std::string_view right,
                std::string_view whole);

// The only possible error: a pair (left, right) stands twice in `merges`.
Result<std::vector<uint8_t>> packTokenizerTables(const TokenizerModel &model);

} // namespace gemmac
