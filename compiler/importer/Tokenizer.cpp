// Checks that a tokenizer.json is the one kind of tokenizer that the runtime
// implements and resolves its texts to ids. Must not know the layout of the
// packed form.
#include "compiler/importer/Tokenizer.h"

#include "compiler/importer/AddedTokens.h"
#include "compiler/importer/File.h"
#include "compiler/importer/TokenizerPack.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gemmac {
namespace {

constexpr uint64_t mostBytes = uint64_t(1) << 30;      // of a tokenizer.json
constexpr uint64_t mostBytesBeside = 64 << 20;         // of the other files
constexpr std::string_view spaceMark = "\xE2\x96\x81"; // U+2581

// Checks what was read and makes the model, whose pieces point into `root`.
class Checker : NamedFile {
public:
  Checker(const Json &root, const std::string &name,
          std::vector<std::string> &warnings)
      : NamedFile{name}, root(root), bpe(member(root, "model")),
        warnings(warnings) {}

  TokenizerModel run(int64_t rows, const TokenizerFiles &beside) {
    checkKind();
    checkPipeline();
    collect(rows, beside);
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

  // Gives `text` to `id`, which must be free and the row of one.
  void place(std::string_view text, const Json &id) {
    auto rows = int64_t(model.pieces.size());
    if (!id.is_number_integer() || id < 0 || id >= rows)
      bad("piece {} expects an id in 0..{} (the model has {} rows), got {}; "
          "take the tokenizer.json of this checkpoint",
          gemmac::quoted(text), rows - 1, rows, shown(id));
    std::string_view &piece = model.pieces[id.get<size_t>()];
    if (piece.data())
      bad("pieces {} and {} have the same id {}", gemmac::quoted(piece),
          gemmac::quoted(text), shown(id));
    piece = text;
  }

  void collect(int64_t rows, const TokenizerFiles &beside) {
    const auto &pieces = bpe["vocab"].get_ref<const Json::object_t &>();
    if (int64_t(pieces.size()) > rows)
      bad("expects at most {} pieces (the rows of the model's embedding), got "
          "{}; take the tokenizer.json of this checkpoint",
          rows, pieces.size());
    model.resize(size_t(rows));
    for (const auto &[text, id] : pieces) {
      place(text, id);
      model.ids.emplace(text, id.get<int64_t>());
      model.inModel[id.get<size_t>()] = true;
    }
    collectAdded(readAddedTokens(member(root, "added_tokens"), beside, *this));
    auto used = [](std::string_view piece) { return piece.data() != nullptr; };
    auto last = std::find_if(model.pieces.rbegin(), model.pieces.rend(), used);
    model.resize(size_t(model.pieces.rend() - last));
    model.findUnused();
  }

  // Tokens that are no pieces get the ids behind the pieces, in their order:
  // what their file says does not count, as for the tokenizers library.
  void collectAdded(std::vector<AddedToken> added) {
    auto rows = int64_t(model.pieces.size());
    auto next = int64_t(bpe["vocab"].size());
    std::string moved;
    for (AddedToken &token : added) {
      auto hit = model.ids.find(token.text);
      bool inModel = hit != model.ids.end();
      int64_t id = inModel ? hit->second : next;
      next = std::max(next, id + 1);
      if (moved.empty() && token.id >= 0 && token.id != id)
        moved = fmt::format("{} has id {}, not {}", gemmac::quoted(token.text),
                            id, token.id);
      if (id >= rows) {
        ++model.beyond;
        continue;
      }
      if (!inModel && model.pieces[size_t(id)].data())
        bad("pieces {} and {} have the same id {}",
            gemmac::quoted(model.pieces[size_t(id)]),
            gemmac::quoted(token.text), id);
      model.addToken(size_t(id), std::move(token.text), token.flags);
    }
    if (!moved.empty())
      warnings.push_back(fmt::format(
          "{}: added token {}: the tokenizers library counts on from the "
          "pieces of the model",
          name, moved));
  }

  const Json &root, &bpe;
  std::vector<std::string> &warnings;
  TokenizerModel model;
};

PackedTokenizer pack(std::string_view text, const std::string &name,
                     int64_t rows, const TokenizerFiles &beside,
                     std::vector<std::string> &warnings) {
  NamedFile file{name};
  if (text.size() > mostBytes)
    file.bad("expects at most {} bytes, got {}", mostBytes, text.size());
  const Json root = orFail(parseJson(text, name, mostJsonValues));
  return packTokenizerTables(Checker(root, name, warnings).run(rows, beside),
                             file);
}

// Discarded if there is no such file.
Json readBeside(const std::string &folder, const char *name) {
  if (!hasFile(folder, name))
    return Json(Json::value_t::discarded);
  std::string path = joinPath(folder, name);
  return orFail(parseJson(orFail(readFile(path, mostBytesBeside)), path));
}

// The same, but a file that is broken is left aside: tokenizer.json says what
// it said before there was that one.
Json readOldForm(const std::string &folder, const char *name,
                 std::vector<std::string> &warnings) {
  try {
    return readBeside(folder, name);
  } catch (const Failure &failure) {
    warnings.push_back(failure.error.message + "; the file is ignored");
    return Json(Json::value_t::discarded);
  }
}

} // namespace

Result<PackedTokenizer> packTokenizerText(std::string_view text,
                                          const std::string &name, int64_t rows,
                                          std::vector<std::string> &warnings) {
  return reading(name, [&] { return pack(text, name, rows, {}, warnings); });
}

Result<std::optional<PackedTokenizer>>
packTokenizer(const std::string &folder, int64_t rows,
              std::vector<std::string> &warnings) {
  std::string path = joinPath(folder, "tokenizer.json");
  return reading(path, [&]() -> std::optional<PackedTokenizer> {
    if (!hasFile(folder, "tokenizer.json"))
      return {};
    TokenizerFiles beside{
        readBeside(folder, "tokenizer_config.json"),
        readOldForm(folder, "added_tokens.json", warnings),
        readOldForm(folder, "special_tokens_map.json", warnings)};
    MappedFile file = orFail(MappedFile::open(path));
    return pack(file.text(), path, rows, beside, warnings);
  });
}

} // namespace gemmac
