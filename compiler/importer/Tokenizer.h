// From a checkpoint's tokenizer.json or GGUF metadata to the packed tokenizer
// that the program maps (runtime/tokenizer_blob.h), and which chat protocol its
// template speaks. Must not know MLIR, tensors or targets.
#pragma once

#include "compiler/importer/Gguf.h"
#include "runtime/tokenizer_blob.h"
#include "support/Result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// What was found of a vocabulary beside a model of `rows` tokens.
struct Vocabulary {
  int64_t pieces = 0;          // ids below it may be tokens: 0 = no tokenizer
  std::vector<int64_t> unused; // ids below `pieces` that no token has
  int64_t beyond = 0;          // added tokens that the model has no row for
  std::array<int32_t, GM_TOK_NAMED> named; // ids of gm_tok_name, -1: none

  bool speaksChat() const {
    return pieces && named[GM_TOK_TURN_OPEN] >= 0 &&
           named[GM_TOK_TURN_CLOSE] >= 0;
  }
};

// A tokenizer as the program maps it (runtime/tokenizer_blob.h).
struct PackedTokenizer {
  std::vector<uint8_t> blob;
  Vocabulary vocabulary;
};

// Packs FOLDER/tokenizer.json for a model of `rows` tokens, with the added
// tokens of tokenizer_config.json (or added_tokens.json) as transformers adds
// them. The vocabulary may have fewer entries than the model has rows (padding)
// and ids that nothing has; added tokens beyond the rows are dropped. No value:
// the file does not exist (the program then takes ids only). `warnings` gets
// one line per oddity that is not an error. Errors: unreadable, not JSON,
// deeper than 64, duplicate keys or ids, pieces beyond the rows, byte tokens
// missing, merges of unknown pieces (BadInput); another kind of model,
// normalizer, pre-tokenizer or decoder than Gemma's (Unsupported).
Result<std::optional<PackedTokenizer>>
packTokenizer(const std::string &folder, int64_t rows,
              std::vector<std::string> &warnings);

// The same from the text of a tokenizer.json alone; `name` is how messages call
// it. Entry point of the fuzz driver.
Result<PackedTokenizer> packTokenizerText(std::string_view text,
                                          const std::string &name, int64_t rows,
                                          std::vector<std::string> &warnings);

// The same from GGUF metadata. No value: there is no vocabulary. Of tokens that
// stand twice the lowest id is the one that texts become; unused ones
// ("[PAD262144]") are no tokens. Errors as above; another tokenizer than
// Gemma's is Unsupported.
Result<std::optional<PackedTokenizer>>
packGgufTokenizer(const GgufHeader &metadata, const std::string &name,
                  int64_t rows, std::vector<std::string> &warnings);

// The two forms of the chat protocol differ in the generation prompt only: with
// thinking off the large one adds an empty thought.
enum class ChatProtocol { None, Small, Large };
// "none", "small", "large"
const char *chatProtocolName(ChatProtocol protocol);

struct ChatTemplate {
  ChatProtocol protocol = ChatProtocol::None; // what the template speaks
  bool known = false; // it is one of importer/KnownTemplates.h
  std::string name;   // whose it is and of when, if it is known
  int differs = 0;    // KnownTemplate::differs
  std::string sha256; // of its text, lower-case hex; empty: there is none
  std::string place;  // where it was found, for messages
};

// Looks for the template where tools put it: FOLDER/chat_template.jinja, then
// `chat_template` in tokenizer_config.json, chat_template.json and
// processor_config.json. None: ChatProtocol::None. One that is not known, even
// without what means nothing in it: what its text implies, or else Small when
// `smallModel` (a model with per-layer embeddings), else Large, and a warning
// that names the hash. Errors: not JSON, a template that is no text.
Result<ChatTemplate> readChatTemplate(const std::string &folder,
                                      bool smallModel,
                                      std::vector<std::string> &warnings);

// The same for tokenizer.chat_template, or tokenizer.chat_template.NAME, of
// GGUF metadata.
Result<ChatTemplate> readGgufChatTemplate(const GgufHeader &metadata,
                                          const std::string &name,
                                          bool smallModel,
                                          std::vector<std::string> &warnings);

} // namespace gemmac
