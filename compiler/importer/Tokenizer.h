// From a checkpoint's tokenizer.json or GGUF metadata to the packed tokenizer
// that the program maps (runtime/tokenizer_blob.h), and which chat protocol its
// template speaks. Must not know MLIR, tensors or targets.
#pragma once

#include "compiler/importer/Gguf.h"
#include "support/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// Packs FOLDER/tokenizer.json for a model of `vocab` tokens. No value: the file
// does not exist (the program then takes ids only). `warnings` gets one line
// per oddity that is not an error. Errors: unreadable, not JSON, deeper than
// 64, duplicate keys or pieces, ids with holes, a size other than `vocab`, byte
// tokens missing, merges of unknown pieces (BadInput); another kind of model,
// normalizer, pre-tokenizer or decoder than Gemma's (Unsupported).
Result<std::optional<std::vector<uint8_t>>>
packTokenizer(const std::string &folder, int64_t vocab,
              std::vector<std::string> &warnings);

// The same from the text of a tokenizer.json; `name` is how messages call it.
// Entry point of the fuzz driver.
Result<std::vector<uint8_t>>
packTokenizerText(std::string_view text, const std::string &name, int64_t vocab,
                  std::vector<std::string> &warnings);

// The same from GGUF metadata. No value: there is no vocabulary. Of tokens that
// stand twice the lowest id is the one that texts become. Errors as above;
// another tokenizer than Gemma's is Unsupported.
Result<std::optional<std::vector<uint8_t>>>
packGgufTokenizer(const GgufHeader &metadata, const std::string &name,
                  int64_t vocab, std::vector<std::string> &warnings);

// The two forms of the chat protocol differ in the generation prompt only: with
// thinking off the large one adds an empty thought.
enum class ChatProtocol { None, Small, Large };

struct ChatTemplate {
  ChatProtocol protocol = ChatProtocol::None; // what the program will speak
  bool known = false; // the file is one of the two of 2026-07-09
  std::string sha256; // of the template text, lower-case hex; empty = no file
};

// Looks at FOLDER/chat_template.jinja, else at `chat_template` in
// FOLDER/tokenizer_config.json. Neither: ChatProtocol::None (a base model). Any
// other text than the two known ones: Small when `smallModel` (a model with
// per-layer embeddings), else Large, and a warning that names the hash.
Result<ChatTemplate> readChatTemplate(const std::string &folder,
                                      bool smallModel,
                                      std::vector<std::string> &warnings);

// The same for tokenizer.chat_template of GGUF metadata.
Result<ChatTemplate> readGgufChatTemplate(const GgufHeader &metadata,
                                          const std::string &name,
                                          bool smallModel,
                                          std::vector<std::string> &warnings);

} // namespace gemmac
