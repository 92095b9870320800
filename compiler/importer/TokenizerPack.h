// Lays a checked tokenizer out as the blob of runtime/tokenizer_blob.h. Must
// not know where the pieces came from (tokenizer.json, GGUF).
#pragma once

#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"
#include "compiler/importer/Tokenizer.h"

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace gemmac {

// A BPE tokenizer with byte fallback; the views point into the reader's memory
// or `texts`.
struct TokenizerModel {
  std::vector<std::string_view> pieces; // by id, valid UTF-8
  std::vector<uint8_t> flags;           // gm_tok_flag, by id
  std::vector<bool> inModel;            // by id: a BPE piece, not only added
  std::unordered_map<std::string_view, int64_t> ids; // of the BPE pieces
  std::vector<gm_tok_merge> merges; // ids in range, no byte tokens
  std::array<uint32_t, 256> byteIds;
  std::vector<int64_t> unused; // ids that no token has
  int64_t beyond = 0;          // tokens left out: the model has no row for them
  std::deque<std::string> texts;

  void resize(size_t count) {
    pieces.resize(count);
    flags.resize(count, 0);
    inModel.resize(count, false);
  }
  // Makes the piece of `id` an added token, whose text is normalised where its
  // flags say so.
  void addToken(size_t id, std::string text, uint8_t flag);
  // Pieces without memory are those of unused ids.
  void findUnused();
};

// These fail in the name of `file`.

// Marks the byte tokens ("<0x0A>") among the pieces and fills `byteIds`; all
// 256 must be there.
void findByteTokens(TokenizerModel &model, const NamedFile &file);

// Appends the merges of the list called `called`, each "left right" or ["left",
// "right"], whose parts and whole must be pieces and no byte tokens. Needs
// findByteTokens.
void addMerges(TokenizerModel &model, const Json &merges, const char *called,
               const NamedFile &file);

// No pair (left, right) may stand twice in `merges`.
PackedTokenizer packTokenizerTables(const TokenizerModel &model,
                                    const NamedFile &file);

} // namespace gemmac
