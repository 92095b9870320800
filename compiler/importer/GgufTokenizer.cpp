// tokenizer.ggml.* metadata -> the packed tokenizer. Must not know files,
// tensors or the layout of the packed form.
#include "compiler/importer/Gguf.h"
#include "compiler/importer/Json.h"
#include "compiler/importer/Tokenizer.h"
#include "compiler/importer/TokenizerPack.h"

#include <new>

namespace gemmac {
namespace {

using Kind = GgufValue::Kind;

constexpr uint64_t mostText = uint64_t(1) << 31; // bytes of all pieces
constexpr uint64_t mostMerges = 1 << 24;

// What tokenizer.ggml.token_type says.
enum TokenType : int64_t {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6
};

// Well-formed UTF-8: shortest forms, no surrogates, at most U+10FFFF.
bool isUtf8(std::string_view text) {
  auto byte = [&](size_t i) {
    return i < text.size() ? uint8_t(text[i]) : uint8_t(0);
  };
  for (size_t i = 0; i < text.size();) {
    uint8_t first = byte(i);
    size_t length = first < 0x80                    ? 1
                    : first >= 0xC2 && first < 0xE0 ? 2
                    : first >= 0xE0 && first < 0xF0 ? 3
                    : first >= 0xF0 && first < 0xF5 ? 4
                                                    : 0;
    if (!length)
      return false;
    for (size_t j = 1; j < length; ++j)
      if ((byte(i + j) & 0xC0) != 0x80)
        return false;
    uint8_t second = byte(i + 1);
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
        (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
      return false;
    i += length;
  }
  return true;
}

// Functions return false after setting `error`.
class GgufTokenizer {
public:
  GgufTokenizer(const GgufHeader &metadata, const std::string &name,
                std::vector<std::string> &warnings)
      : metadata(metadata), name(name), warnings(warnings) {}

  bool run(int64_t vocab) {
    return checkKind() && readPieces(vocab) && readTypes() &&
           done(findByteTokens(model, ids)) && readMerges();
  }

  TokenizerModel model;
  Error error;

private:
  bool fail(ExitCode code, const std::string &what) {
    error = {code, name + ": " + what};
    return false;
  }
  template <typename... T>
  bool fail(ExitCode code, fmt::format_string<T...> text, T &&...arguments) {
    return fail(code, fmt::format(text, std::forward<T>(arguments)...));
  }
  template <typename... T>
  bool bad(fmt::format_string<T...> text, T &&...arguments) {
    return fail(ExitCode::BadInput, text, std::forward<T>(arguments)...);
  }
  bool done(const Status &status) {
    return status ? true : fail(status.error().code, status.error().message);
  }
  const GgufValue *get(const char *key) const {
    return metadata.find(std::string("tokenizer.ggml.") + key);
  }
  static std::string shown(const GgufValue *value) {
    return value ? value->describe() : "nothing";
  }

  // llama.cpp writes model "gemma4"; others "llama" and pre "gemma4".
  bool checkKind() {
    const GgufValue *kind = get("model"), *pre = get("pre");
    auto is = [](const GgufValue *value, std::string_view text) {
      return value && value->is(Kind::String) && value->text == text;
    };
    if (!is(kind, "gemma4") && !(is(kind, "llama") && is(pre, "gemma4")))
      return fail(ExitCode::Unsupported,
                  "tokenizer.ggml.model expects \"gemma4\", or \"llama\" with "
                  "tokenizer.ggml.pre \"gemma4\", got {} with {}",
                  shown(kind), shown(pre));
    const GgufValue *prefix = get("add_space_prefix");
    if (prefix && prefix->is(Kind::Bool) && prefix->boolean)
      warnings.push_back(name + ": tokenizer.ggml.add_space_prefix is ignored: "
                                "Gemma 4 adds no space");
    return true;
  }

  bool readPieces(int64_t vocab) {
    const GgufValue *tokens = get("tokens");
    model.pieces = tokens->strings();
    if (!tokens->is(Kind::Array) || (model.pieces.empty() && tokens->count > 0))
      return bad("tokenizer.ggml.tokens expects an array of strings, got {}",
                 tokens->describe());
    if (tokens->count != uint64_t(vocab))
      return bad("tokenizer.ggml.tokens expects {} pieces (the model's "
                 "vocabulary size), got {}",
                 vocab, tokens->count);
    if (tokens->text.size() > mostText)
      return bad("tokenizer.ggml.tokens expects at most {} bytes of text",
                 mostText);
    model.flags.resize(model.pieces.size(), 0);
    model.inModel.resize(model.pieces.size(), false);
    ids.reserve(model.pieces.size());
    size_t twice = 0;
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      if (!isUtf8(model.pieces[id]))
        return bad("tokenizer.ggml.tokens[{}] expects UTF-8, got {}", id,
                   gemmac::quoted(model.pieces[id]));
      bool fresh = ids.emplace(model.pieces[id], int64_t(id)).second;
      model.inModel[id] = fresh;
      twice += !fresh;
    }
    if (twice)
      warnings.push_back(fmt::format(
          "{}: tokenizer.ggml.tokens: {}{} twice; the lowest id is used", name,
          twice, twice == 1 ? " piece stands" : " pieces stand"));
    return true;
  }

  bool readTypes() {
    const GgufValue *types = get("token_type");
    if (!types || !types->is(Kind::Array) ||
        types->count != model.pieces.size() || types->element == 8 ||
        types->element == 9)
      return bad("tokenizer.ggml.token_type expects an array of {} numbers, "
                 "one per token, got {}",
                 model.pieces.size(), shown(types));
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      GgufValue type = types->item(id);
      if (!type.is(Kind::Integer) || type.integer < Normal ||
          type.integer > Byte)
        return bad("tokenizer.ggml.token_type[{}] expects 1 to 6, got {}", id,
                   type.describe());
      if (type.integer != Unknown && type.integer != Control &&
          type.integer != UserDefined)
        continue;
      if (model.pieces[id].empty())
        return bad("tokenizer.ggml.tokens[{}] is a special token and expects a "
                   "text, got nothing",
                   id);
      model.flags[id] |= GM_TOK_SPECIAL;
      if (model.inModel[id])
        model.flags[id] |= GM_TOK_ADDED;
    }
    return true;
  }

  // "left right"; pieces hold no space, except one that is a space alone.
  bool readMerges() {
    const GgufValue *merges = get("merges");
    if (!merges || !merges->is(Kind::Array) || merges->element != 8 ||
        merges->count > mostMerges)
      return bad("tokenizer.ggml.merges expects an array of at most {} "
                 "strings, got {}",
                 mostMerges, shown(merges));
    model.merges.reserve(merges->count);
    std::string whole;
    for (std::string_view text : merges->strings()) {
      size_t space = text.find(' ', 1);
      if (space == text.npos || space + 1 == text.size())
        return bad("tokenizer.ggml.merges[{}] expects \"left right\", got {}",
                   model.merges.size(), gemmac::quoted(text));
      std::string_view left = text.substr(0, space),
                       right = text.substr(space + 1);
      whole.assign(left);
      whole += right;
      if (!done(addMerge(model, ids, left, right, whole)))
        return false;
    }
    return true;
  }

  const GgufHeader &metadata;
  const std::string &name;
  std::vector<std::string> &warnings;
  PieceIds ids;
};

} // namespace

Result<std::optional<std::vector<uint8_t>>>
packGgufTokenizer(const GgufHeader &metadata, const std::string &name,
                  int64_t vocab, std::vector<std::string> &warnings) {
  if (!metadata.find("tokenizer.ggml.tokens"))
    return std::optional<std::vector<uint8_t>>();
  try {
    GgufTokenizer reader(metadata, name, warnings);
    if (!reader.run(vocab))
      return reader.error;
    Result<std::vector<uint8_t>> blob = packTokenizerTables(reader.model);
    if (!blob)
      return Error{blob.error().code, name + ": " + blob.error().message};
    return std::optional(std::move(*blob));
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

} // namespace gemmac
