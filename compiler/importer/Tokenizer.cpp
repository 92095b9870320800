// Checks that a tokenizer.json is the one kind of tokenizer that the runtime
// implements and resolves its texts to ids. Must not know the layout of the
// packed form.
#include "compiler/importer/Tokenizer.h"

#include "compiler/importer/Failure.h"
#include "compiler/importer/File.h"
#include "compiler/importer/TokenizerPack.h"

#include <nlohmann/json.hpp>

namespace gemmac {
namespace {

constexpr uint64_t mostBytes = uint64_t(1) << 30;      // of a tokenizer.json
constexpr std::string_view spaceMark = "\xE2\x96\x81"; // U+2581

// Checks what was read and makes the model, whose pieces point into `root`.
class Checker : NamedFile {
public:
  Checker(const Json &root, const std::string &name,
          std::vector<std::string> &warnings)
      : NamedFile{name}, root(root), bpe(member(root, "model")),
        warnings(warnings) {}

  TokenizerModel run(int64_t vocab) {
    checkKind();
    checkPipeline();
    collect(vocab);
    findByteTokens(model, *this);
    addMerges(model, member(bpe, "merges"), "model.merges", *this);
    return std::move(model);
  }

private:
  // `value` must be the string `text`.
  void expect(const std::string &what, const Json &value,
              std::string_view text) {
    if (!isText(value, text))
      unsupported("{} expects {}, got {}", what, gemmac::quoted(text),
                  shown(value));
  }

  void checkKind() {
    if (!bpe.is_object())
      bad("field model expects an object, got {}", shown(bpe));
    expect("model.type", member(bpe, "type"), "BPE");
    if (const Json &vocab = member(bpe, "vocab"); !vocab.is_object())
      bad("model.vocab expects an object of pieces, got {}", shown(vocab));
    if (const Json &value = member(bpe, "byte_fallback"); value != true)
      unsupported("model.byte_fallback expects true, got {}", shown(value));
    if (const Json &value = member(bpe, "ignore_merges");
        isGiven(value) && value != false)
      unsupported("model.ignore_merges expects false, got {}", shown(value));
    for (const char *key :
         {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
      if (const Json &value = member(bpe, key);
          isGiven(value) && !isText(value, "") && value != 0.0)
        unsupported("model.{} expects null, got {}", key, shown(value));
  }

  // The Replace step at `value` must turn `from` into `to`.
  void checkReplace(const std::string &what, const Json &value,
                    std::string_view from, std::string_view to) {
    expect(what + ".type", member(value, "type"), "Replace");
    expect(what + ".pattern.String", member(member(value, "pattern"), "String"),
           from);
    expect(what + ".content", member(value, "content"), to);
  }

  void checkPipeline() {
    checkReplace("normalizer", member(root, "normalizer"), " ", spaceMark);
    // Splitting at spaces does nothing: the normalizer has left none.
    if (const Json &split = member(root, "pre_tokenizer"); isGiven(split)) {
      expect("pre_tokenizer.type", member(split, "type"), "Split");
      expect("pre_tokenizer.pattern.String",
             member(member(split, "pattern"), "String"), " ");
    }
    const Json &decoder = member(root, "decoder");
    expect("decoder.type", member(decoder, "type"), "Sequence");
    const Json &steps = member(decoder, "decoders");
    if (!steps.is_array() || steps.size() != 3)
      unsupported("decoder.decoders expects Replace, ByteFallback and Fuse");
    checkReplace("decoder.decoders[0]", steps[0], spaceMark, " ");
    expect("decoder.decoders[1].type", member(steps[1], "type"),
           "ByteFallback");
    expect("decoder.decoders[2].type", member(steps[2], "type"), "Fuse");
    const Json &post = member(root, "post_processor");
    if (const Json &type = member(post, "type");
        isGiven(post) && !isText(type, "TemplateProcessing"))
      warnings.push_back(fmt::format(
          "{}: post_processor {} is ignored: the program adds <bos> itself",
          name, shown(type)));
  }

  struct Added {
    std::string_view text;
    const Json &id;
    bool special, inModel;
  };

  std::vector<Added> readAdded() {
    std::vector<Added> added;
    const Json &list = member(root, "added_tokens");
    if (isGiven(list) && !list.is_array())
      bad("added_tokens expects a list, got {}", shown(list));
    std::unordered_set<std::string_view> seen;
    for (size_t i = 0; list.is_array() && i < list.size(); ++i) {
      const Json &item = list[i], &text = member(item, "content"),
                 &id = member(item, "id");
      if (!text.is_string() || isText(text, ""))
        bad("added_tokens[{}].content expects a text, got {}", i, shown(text));
      if (!id.is_number_integer())
        bad("added_tokens[{}].id expects an integer, got {}", i, shown(id));
      for (const char *key : {"single_word", "lstrip", "rstrip", "normalized"})
        if (const Json &value = member(item, key);
            isGiven(value) && value != false)
          unsupported("added token {} expects {} false, got {}", shown(text),
                      key, shown(value));
      std::string_view content = text.get_ref<const std::string &>();
      if (!seen.insert(content).second)
        bad("added token {} stands twice", shown(text));
      added.push_back({content, id, member(item, "special") == true,
                       model.ids.contains(content)});
    }
    return added;
  }

  // Gives `text` to `id`, which must be free and in range.
  void place(std::string_view text, const Json &id) {
    auto count = int64_t(model.pieces.size());
    if (!id.is_number_integer() || id < 0 || id >= count)
      bad("piece {} expects an id in 0..{} (ids have no holes), got {}",
          gemmac::quoted(text), count - 1, shown(id));
    std::string_view &piece = model.pieces[id.get<size_t>()];
    if (piece.data())
      bad("pieces {} and {} have the same id {}", gemmac::quoted(piece),
          gemmac::quoted(text), shown(id));
    piece = text;
  }

  void collect(int64_t vocab) {
    const auto &pieces = bpe["vocab"].get_ref<const Json::object_t &>();
    for (const auto &[text, id] : pieces)
      model.ids.emplace(text, id.is_number_integer() ? id.get<int64_t>() : -1);
    std::vector<Added> added = readAdded();
    auto count = int64_t(pieces.size());
    for (const Added &token : added)
      count += !token.inModel;
    if (count != vocab)
      bad("expects {} pieces (the model's vocabulary size), got {}; take the "
          "tokenizer.json of this checkpoint",
          vocab, count);
    model.resize(size_t(count));
    for (const auto &[text, id] : pieces) {
      place(text, id);
      model.inModel[id.get<size_t>()] = true;
    }
    for (const Added &token : added) {
      if (!token.inModel)
        place(token.text, token.id);
      else if (int64_t id = model.ids.at(token.text); token.id != id)
        bad("added token {} expects id {} as in vocab, got {}",
            gemmac::quoted(token.text), id, shown(token.id));
      model.flags[token.id.get<size_t>()] |=
          GM_TOK_ADDED | (token.special ? GM_TOK_SPECIAL : 0);
    }
  }

  const Json &root, &bpe;
  std::vector<std::string> &warnings;
  TokenizerModel model;
};

} // namespace

Result<std::vector<uint8_t>>
packTokenizerText(std::string_view text, const std::string &name, int64_t vocab,
                  std::vector<std::string> &warnings) {
  return reading(name, [&] {
    NamedFile file{name};
    if (text.size() > mostBytes)
      file.bad("expects at most {} bytes, got {}", mostBytes, text.size());
    const Json root = orFail(parseJson(text, name, mostJsonValues));
    return packTokenizerTables(Checker(root, name, warnings).run(vocab), file);
  });
}

Result<std::optional<std::vector<uint8_t>>>
packTokenizer(const std::string &folder, int64_t vocab,
              std::vector<std::string> &warnings) {
  std::string path = joinPath(folder, "tokenizer.json");
  return reading(path, [&]() -> std::optional<std::vector<uint8_t>> {
    if (!hasFile(folder, "tokenizer.json"))
      return {};
    MappedFile file = orFail(MappedFile::open(path));
    return orFail(packTokenizerText(file.text(), path, vocab, warnings));
  });
}

} // namespace gemmac
