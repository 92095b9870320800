// Checks that a tokenizer.json is the one kind of tokenizer that the runtime
// implements and resolves its texts to ids. Must not know how the file is
// spelled nor the layout of the packed form.
#include "compiler/importer/Tokenizer.h"

#include "compiler/importer/File.h"
#include "compiler/importer/TokenizerFile.h"
#include "compiler/importer/TokenizerPack.h"

#include <new>
#include <unordered_map>

namespace gemmac {
namespace {

constexpr uint64_t mostBytes = uint64_t(1) << 30;      // of a tokenizer.json
constexpr std::string_view spaceMark = "\xE2\x96\x81"; // U+2581

// Checks what was read and makes the model. Functions return false after
// setting `error`.
class Checker {
public:
  Checker(const TokenizerFile &file, std::string name,
          std::vector<std::string> &warnings)
      : file(file), name(std::move(name)), warnings(warnings) {}

  bool run(int64_t vocab) {
    return checkKind() && checkPipeline() && collect(vocab) &&
           done(findByteTokens(model, ids)) && resolveMerges();
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

  static std::string describe(const JsonValue *value) {
    if (!value)
      return "nothing";
    if (value->is(JsonValue::Kind::String))
      return gemmac::quoted(value->text);
    if (value->is(JsonValue::Kind::Bool))
      return value->boolean ? "true" : "false";
    return kindName(value->kind);
  }

  // `value` must be the string `text`.
  bool expect(const std::string &what, const JsonValue *value,
              std::string_view text) {
    if (value && value->is(JsonValue::Kind::String) && value->text == text)
      return true;
    return fail(ExitCode::Unsupported, "{} expects {}, got {}", what,
                gemmac::quoted(text), describe(value));
  }

  static const JsonValue *find(const JsonValue *value, std::string_view key) {
    return value ? value->find(key) : nullptr;
  }
  static bool absent(const JsonValue *value) {
    return !value || value->is(JsonValue::Kind::Null);
  }

  bool checkKind() {
    const JsonValue *bpe = file.root.find("model");
    if (!bpe || !bpe->is(JsonValue::Kind::Object))
      return bad("field model expects an object, got {}", describe(bpe));
    if (!expect("model.type", bpe->find("type"), "BPE"))
      return false;
    if (!file.sawVocab)
      return bad("model.vocab expects an object of pieces, got {}",
                 describe(bpe->find("vocab")));
    if (!file.sawMerges)
      return bad("model.merges expects a list of merges, got {}",
                 describe(bpe->find("merges")));
    struct {
      const char *key;
      bool value, needed;
    } const switches[] = {{"byte_fallback", true, true},
                          {"ignore_merges", false, false}};
    for (const auto &s : switches) {
      const JsonValue *v = bpe->find(s.key);
      bool good = v && v->is(JsonValue::Kind::Bool) && v->boolean == s.value;
      if (!good && (s.needed || !absent(v)))
        return fail(ExitCode::Unsupported, "model.{} expects {}, got {}", s.key,
                    s.value ? "true" : "false", describe(v));
    }
    const char *const unused[] = {"dropout", "continuing_subword_prefix",
                                  "end_of_word_suffix"};
    for (const char *key : unused) {
      const JsonValue *v = bpe->find(key);
      bool empty = v && ((v->is(JsonValue::Kind::String) && v->text.empty()) ||
                         (v->is(JsonValue::Kind::Number) && v->number == 0));
      if (!absent(v) && !empty)
        return fail(ExitCode::Unsupported, "model.{} expects null, got {}", key,
                    describe(v));
    }
    return true;
  }

  // The Replace step at `value` must turn `from` into `to`.
  bool checkReplace(const std::string &what, const JsonValue *value,
                    std::string_view from, std::string_view to) {
    return expect(what + ".type", find(value, "type"), "Replace") &&
           expect(what + ".pattern.String",
                  find(find(value, "pattern"), "String"), from) &&
           expect(what + ".content", find(value, "content"), to);
  }

  bool checkPipeline() {
    const JsonValue &root = file.root;
    if (!checkReplace("normalizer", root.find("normalizer"), " ", spaceMark))
      return false;
    // Splitting at spaces does nothing: the normalizer has left none.
    const JsonValue *split = root.find("pre_tokenizer");
    if (!absent(split) &&
        !(expect("pre_tokenizer.type", find(split, "type"), "Split") &&
          expect("pre_tokenizer.pattern.String",
                 find(find(split, "pattern"), "String"), " ")))
      return false;
    const JsonValue *decoder = root.find("decoder");
    if (!expect("decoder.type", find(decoder, "type"), "Sequence"))
      return false;
    const JsonValue *steps = decoder->find("decoders");
    if (!steps || !steps->is(JsonValue::Kind::Array) ||
        steps->items.size() != 3)
      return fail(ExitCode::Unsupported,
                  "decoder.decoders expects Replace, ByteFallback and Fuse");
    const JsonValue *post = root.find("post_processor");
    if (!absent(post) && !(find(post, "type") &&
                           find(post, "type")->text == "TemplateProcessing"))
      warnings.push_back(fmt::format(
          "{}: post_processor {} is ignored: the program adds <bos> itself",
          name, describe(find(post, "type"))));
    return checkReplace("decoder.decoders[0]", &steps->items[0], spaceMark,
                        " ") &&
           expect("decoder.decoders[1].type", steps->items[1].find("type"),
                  "ByteFallback") &&
           expect("decoder.decoders[2].type", steps->items[2].find("type"),
                  "Fuse");
  }

  struct Added {
    std::string_view text;
    int64_t id;
    bool special, inModel;
  };

  bool readAdded(std::vector<Added> &added) {
    const JsonValue *list = file.root.find("added_tokens");
    if (absent(list))
      return true;
    if (!list->is(JsonValue::Kind::Array))
      return bad("added_tokens expects a list, got {}", describe(list));
    std::unordered_map<std::string_view, size_t> seen;
    for (const JsonValue &item : list->items) {
      std::string what = fmt::format("added_tokens[{}]", added.size());
      const JsonValue *text = item.find("content"), *id = item.find("id");
      if (!text || !text->is(JsonValue::Kind::String) || text->text.empty())
        return bad("{}.content expects a text, got {}", what, describe(text));
      if (!id || !id->is(JsonValue::Kind::Integer))
        return bad("{}.id expects an integer, got {}", what, describe(id));
      for (const char *key : {"single_word", "lstrip", "rstrip", "normalized"})
        if (const JsonValue *v = item.find(key);
            !absent(v) && !(v->is(JsonValue::Kind::Bool) && !v->boolean))
          return fail(ExitCode::Unsupported,
                      "added token {} expects {} false, got {}",
                      gemmac::quoted(text->text), key, describe(v));
      if (!seen.emplace(text->text, added.size()).second)
        return bad("added token {} stands twice", gemmac::quoted(text->text));
      const JsonValue *special = item.find("special");
      added.push_back({text->text, id->integer, special && special->boolean,
                       ids.count(text->text) != 0});
    }
    return true;
  }

  // Gives `text` to `id`, which must be free and in range.
  bool place(std::string_view text, int64_t id) {
    int64_t count = int64_t(model.pieces.size());
    if (id < 0 || id >= count)
      return bad("piece {} expects an id in 0..{} (ids have no holes), got {}",
                 gemmac::quoted(text), count - 1, id);
    if (model.pieces[id].data())
      return bad("pieces {} and {} have the same id {}",
                 gemmac::quoted(model.pieces[id]), gemmac::quoted(text), id);
    model.pieces[id] = text;
    return true;
  }

  bool collect(int64_t vocab) {
    ids.reserve(file.vocab.size());
    for (const TokenizerFile::Piece &entry : file.vocab)
      ids.emplace(file.view(entry.text), entry.id);
    std::vector<Added> added;
    if (!readAdded(added))
      return false;
    int64_t count = int64_t(file.vocab.size());
    for (const Added &token : added)
      count += !token.inModel;
    if (count != vocab)
      return bad("expects {} pieces (the model's vocabulary size), got {}; "
                 "take the tokenizer.json of this checkpoint",
                 vocab, count);
    model.pieces.resize(count);
    model.flags.resize(count, 0);
    model.inModel.resize(count, false);
    for (const TokenizerFile::Piece &entry : file.vocab) {
      if (!place(file.view(entry.text), entry.id))
        return false;
      model.inModel[entry.id] = true;
    }
    for (const Added &token : added) {
      if (!token.inModel) {
        if (!place(token.text, token.id))
          return false;
      } else if (int64_t id = ids.find(token.text)->second; id != token.id) {
        return bad("added token {} expects id {} as in vocab, got {}",
                   gemmac::quoted(token.text), id, token.id);
      }
      model.flags[token.id] |=
          GM_TOK_ADDED | (token.special ? GM_TOK_SPECIAL : 0);
    }
    return true;
  }

  bool done(const Status &status) {
    return status ? true : fail(status.error().code, status.error().message);
  }

  bool resolveMerges() {
    model.merges.reserve(file.merges.size());
    for (const TokenizerFile::Merge &m : file.merges)
      if (!done(addMerge(model, ids, file.view(m.left), file.view(m.right),
                         file.view({m.left.from, m.left.size + m.right.size}))))
        return false;
    return true;
  }

  const TokenizerFile &file;
  std::string name;
  std::vector<std::string> &warnings;
  PieceIds ids; // of model.vocab
};

} // namespace

Result<std::vector<uint8_t>>
packTokenizerText(std::string_view text, const std::string &name, int64_t vocab,
                  std::vector<std::string> &warnings) {
  if (text.size() > mostBytes)
    return makeError(ExitCode::BadInput, "{}: expects at most {} bytes, got {}",
                     name, mostBytes, text.size());
  try {
    Result<TokenizerFile> file = readTokenizerFile(text, name);
    if (!file)
      return file.error();
    Checker checker(*file, name, warnings);
    if (!checker.run(vocab))
      return checker.error;
    Result<std::vector<uint8_t>> blob = packTokenizerTables(checker.model);
    if (!blob)
      return Error{blob.error().code, name + ": " + blob.error().message};
    return blob;
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

Result<std::optional<std::vector<uint8_t>>>
packTokenizer(const std::string &folder, int64_t vocab,
              std::vector<std::string> &warnings) {
  if (!hasFile(folder, "tokenizer.json"))
    return std::optional<std::vector<uint8_t>>();
  std::string path = joinPath(folder, "tokenizer.json");
  Result<MappedFile> file = MappedFile::open(path);
  if (!file)
    return file.error();
  Result<std::vector<uint8_t>> blob =
      packTokenizerText(file->text(), path, vocab, warnings);
  if (!blob)
    return blob.error();
  return std::optional(std::move(*blob));
}

} // namespace gemmac
