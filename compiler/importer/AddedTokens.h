// The tokens that a checkpoint's files add to the pieces of its BPE model, in
// the order in which transformers 5.24 adds them. Must not know pieces or ids
// of the model.
#pragma once

#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"
#include "runtime/tokenizer_blob.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gemmac {

struct AddedToken {
  std::string text;
  int64_t id = -1; // that its file says; -1: it says none
  uint8_t flags = GM_TOK_ADDED;
};

// The files beside a tokenizer.json that may name tokens; discarded: none.
struct TokenizerFiles {
  Json config = Json(Json::value_t::discarded);  // tokenizer_config.json
  Json added = Json(Json::value_t::discarded);   // added_tokens.json
  Json special = Json(Json::value_t::discarded); // special_tokens_map.json
};

// Those of `list`, added_tokens of the tokenizer.json called `file`, and of the
// files beside it, each text once.
std::vector<AddedToken> readAddedTokens(const Json &list,
                                        const TokenizerFiles &beside,
                                        const NamedFile &file);

} // namespace gemmac
