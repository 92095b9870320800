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

  TokenizerModel run(int64_t vocab) {
    checkKind();
    readPieces(vocab);
    readTypes();
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

  void readPieces(int64_t vocab) {
    const Json &tokens = get("tokens");
    if (!tokens.is_array())
      bad("tokenizer.ggml.tokens expects an array of strings, got {}",
          shown(tokens));
    if (int64_t(tokens.size()) != vocab)
      bad("tokenizer.ggml.tokens expects {} pieces (the model's vocabulary "
          "size), got {}",
          vocab, tokens.size());
    model.resize(tokens.size());
    size_t twice = 0, bytes = 0;
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (!tokens[id].is_string() ||
          !isUtf8(tokens[id].get_ref<const std::string &>()))
        bad("tokenizer.ggml.tokens[{}] expects UTF-8, got {}", id,
            shown(tokens[id]));
      model.pieces[id] = tokens[id].get_ref<const std::string &>();
      model.inModel[id] =
          model.ids.emplace(model.pieces[id], int64_t(id)).second;
      twice += !model.inModel[id];
      if ((bytes += model.pieces[id].size()) > mostText)
        bad("tokenizer.ggml.tokens expects at most {} bytes of text", mostText);
    }
    if (twice)
      warnings.push_back(fmt::format(
          "{}: tokenizer.ggml.tokens: {}{} twice; the lowest id is used", name,
          twice, twice == 1 ? " piece stands" : " pieces stand"));
  }

  void readTypes() {
    const Json &types = get("token_type");
    if (!types.is_array() || types.size() != model.pieces.size())
      bad("tokenizer.ggml.token_type expects an array of {} numbers, one per "
          "token, got {}",
          model.pieces.size(), shown(types));
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

Result<std::optional<std::vector<uint8_t>>>
packGgufTokenizer(const GgufHeader &metadata, const std::string &name,
                  int64_t vocab, std::vector<std::string> &warnings) {
  return reading(name, [&]() -> std::optional<std::vector<uint8_t>> {
    if (metadata.find("tokenizer.ggml.tokens").is_discarded())
      return {};
    return packTokenizerTables(
        GgufTokenizer(metadata, name, warnings).run(vocab), NamedFile{name});
  });
}

} // namespace gemmac
