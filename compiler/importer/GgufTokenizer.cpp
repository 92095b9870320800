// tokenizer.ggml.* metadata -> the packed tokenizer. Must not know files,
// tensors or the layout of the packed form.
#include "compiler/importer/Failure.h"
#include "compiler/importer/Gguf.h"
#include "compiler/importer/Tokenizer.h"
#include "compiler/importer/TokenizerPack.h"

#include "llvm/Support/ConvertUTF.h"

#include <nlohmann/json.hpp>

namespace gemmac {
namespace {

constexpr uint64_t mostText = uint64_t(1) << 31; // bytes of all pieces

// What tokenizer.ggml.token_type says.
enum TokenType : int64_t {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6
};

bool isUtf8(std::string_view text) {
  const auto *at = reinterpret_cast<const llvm::UTF8 *>(text.data());
  return llvm::isLegalUTF8String(&at, at + text.size());
}

// Makes the model, whose pieces point into `metadata`.
class GgufTokenizer : NamedFile {
public:
  GgufTokenizer(const GgufHeader &metadata, const std::string &name,
                std::vector<std::string> &warnings)
      : NamedFile{name}, metadata(metadata), warnings(warnings) {}

  TokenizerModel run(int64_t rows) {
    checkKind();
    readPieces(rows);
    readTypes();
    model.findUnused();
    findByteTokens(model, *this);
    addMerges(model, get("merges"), "tokenizer.ggml.merges", *this);
    return std::move(model);
  }

private:
  const Json &get(const char *key) const {
    return metadata.find(std::string("tokenizer.ggml.") + key);
  }

  // llama.cpp writes model "gemma4"; others "llama" and pre "gemma4".
  void checkKind() {
    const Json &kind = get("model"), &pre = get("pre");
    if (!isText(kind, "gemma4") &&
        !(isText(kind, "llama") && isText(pre, "gemma4")))
      unsupported("tokenizer.ggml.model expects \"gemma4\", or \"llama\" with "
                  "tokenizer.ggml.pre \"gemma4\", got {} with {}",
                  shown(kind), shown(pre));
    if (get("add_space_prefix") == true)
      warnings.push_back(name + ": tokenizer.ggml.add_space_prefix is ignored: "
                                "Gemma 4 adds no space");
  }

  // Converters fill rows that no token has with such a piece.
  static bool isPadding(std::string_view piece, const Json &type) {
    return type == Unused && (piece.empty() || piece.starts_with("[PAD"));
  }

  // How many of the tokens are pieces of the model: behind them are padding
  // and added tokens that the model has no row for.
  size_t countPieces(const Json &tokens, const Json &types, int64_t rows) {
    size_t count = tokens.size();
    for (; count > 0; --count) {
      const Json &type = types[count - 1];
      bool added = type == Control || type == UserDefined;
      if (int64_t(count) > rows && added)
        ++model.beyond;
      else if (!isPadding(textOf(tokens, count - 1), type))
        break;
    }
    if (int64_t(count) > rows)
      bad("tokenizer.ggml.tokens expects at most {} pieces (the rows of "
          "token_embd.weight), got {}",
          rows, count);
    return count;
  }

  std::string_view textOf(const Json &tokens, size_t id) {
    if (!tokens[id].is_string() ||
        !isUtf8(tokens[id].get_ref<const std::string &>()))
      bad("tokenizer.ggml.tokens[{}] expects UTF-8, got {}", id,
          shown(tokens[id]));
    return tokens[id].get_ref<const std::string &>();
  }

  void readPieces(int64_t rows) {
    const Json &tokens = get("tokens"), &types = get("token_type");
    if (!tokens.is_array())
      bad("tokenizer.ggml.tokens expects an array of strings, got {}",
          shown(tokens));
    if (!types.is_array() || types.size() != tokens.size())
      bad("tokenizer.ggml.token_type expects an array of {} numbers, one per "
          "token, got {}",
          tokens.size(), shown(types));
    model.resize(countPieces(tokens, types, rows));
    size_t twice = 0, bytes = 0;
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      std::string_view text = textOf(tokens, id);
      if (isPadding(text, types[id]))
        continue;
      model.pieces[id] = text;
      model.inModel[id] = model.ids.emplace(text, int64_t(id)).second;
      twice += !model.inModel[id];
      if ((bytes += text.size()) > mostText)
        bad("tokenizer.ggml.tokens expects at most {} bytes of text", mostText);
    }
    if (twice)
      warnings.push_back(fmt::format(
          "{}: tokenizer.ggml.tokens: {}{} twice; the lowest id is used", name,
          twice, twice == 1 ? " piece stands" : " pieces stand"));
  }

  void readTypes() {
    const Json &types = get("token_type");
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      const Json &type = types[id];
      if (!type.is_number_integer() || type < Normal || type > Byte)
        bad("tokenizer.ggml.token_type[{}] expects 1 to 6, got {}", id,
            shown(type));
      if (type != Unknown && type != Control && type != UserDefined)
        continue;
      if (model.pieces[id].empty())
        bad("tokenizer.ggml.tokens[{}] is a special token and expects a text, "
            "got nothing",
            id);
      model.flags[id] |= GM_TOK_SPECIAL;
      if (model.inModel[id])
        model.flags[id] |= GM_TOK_ADDED;
    }
  }

  const GgufHeader &metadata;
  std::vector<std::string> &warnings;
  TokenizerModel model;
};

} // namespace

Result<std::optional<PackedTokenizer>>
packGgufTokenizer(const GgufHeader &metadata, const std::string &name,
                  int64_t rows, std::vector<std::string> &warnings) {
  return reading(name, [&]() -> std::optional<PackedTokenizer> {
    if (metadata.find("tokenizer.ggml.tokens").is_discarded())
      return {};
    return packTokenizerTables(
        GgufTokenizer(metadata, name, warnings).run(rows), NamedFile{name});
  });
}

} // namespace gemmac
