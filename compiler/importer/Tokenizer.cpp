// Reads tokenizer.json: the two large tables (vocab, merges) as events into one
// pool of characters, everything else as a small tree; then checks that this is
// the one kind of tokenizer that the runtime implements. Must not know the
// layout of the packed form.
#include "compiler/importer/Tokenizer.h"

#include "compiler/importer/File.h"
#include "compiler/importer/Json.h"
#include "compiler/importer/TokenizerPack.h"

#include <cstdio>
#include <new>
#include <unordered_map>

namespace gemmac {
namespace {

constexpr uint64_t mostBytes = uint64_t(1) << 30;      // of a tokenizer.json
constexpr std::string_view spaceMark = "\xE2\x96\x81"; // U+2581

// A string in the pool.
struct Text {
  uint32_t from, size;
};

struct VocabEntry {
  Text text;
  int64_t id;
};

struct MergeEntry {
  Text left, right; // adjacent in the pool
};

class TokenizerEvents : public JsonEvents {
public:
  JsonValue root; // without model.vocab and model.merges
  std::string pool;
  std::vector<VocabEntry> vocab;
  std::vector<MergeEntry> merges;
  bool sawVocab = false, sawMerges = false;

  bool null() override { return add(JsonValue::Kind::Null) != nullptr; }
  bool boolean(bool value) override {
    JsonValue *v = add(JsonValue::Kind::Bool);
    return v && (v->boolean = value, true);
  }
  bool integer(int64_t value) override {
    if (mode == Mode::Vocab) {
      vocab.back().id = value;
      return true;
    }
    JsonValue *v = add(JsonValue::Kind::Integer);
    return v && (v->integer = value, true);
  }
  bool number(double value) override {
    JsonValue *v = add(JsonValue::Kind::Number);
    return v && (v->number = value, true);
  }
  bool string(std::string &value) override {
    if (mode == Mode::Merges)
      return addMerge(value);
    if (mode == Mode::Pair)
      return addPart(value);
    JsonValue *v = add(JsonValue::Kind::String);
    return v && (v->text = std::move(value), true);
  }
  bool key(std::string &value) override {
    if (mode == Mode::Vocab)
      vocab.push_back({keep(value), -1});
    else
      stack.back()->keys.push_back(std::move(value));
    return true;
  }
  bool startObject() override {
    if (mode == Mode::Tree && inModel("vocab")) {
      mode = Mode::Vocab;
      return sawVocab = add(JsonValue::Kind::Object, Mode::Vocab) != nullptr;
    }
    return open(JsonValue::Kind::Object);
  }
  bool endObject() override {
    if (mode == Mode::Vocab)
      mode = Mode::Tree;
    else
      stack.pop_back();
    return true;
  }
  bool startArray() override {
    if (mode == Mode::Tree && inModel("merges")) {
      mode = Mode::Merges;
      return sawMerges = add(JsonValue::Kind::Array, Mode::Merges) != nullptr;
    }
    if (mode == Mode::Merges) {
      mode = Mode::Pair;
      parts = 0;
      return true;
    }
    return open(JsonValue::Kind::Array);
  }
  bool endArray() override {
    if (mode == Mode::Pair) {
      if (parts != 2)
        return fail(mergeName() + " expects two pieces, got " +
                    std::to_string(parts));
      mode = Mode::Merges;
      parts = 0;
      return true;
    }
    if (mode == Mode::Merges)
      mode = Mode::Tree;
    else
      stack.pop_back();
    return true;
  }

private:
  enum class Mode { Tree, Vocab, Merges, Pair };

  bool fail(std::string why) {
    problem = std::move(why);
    return false;
  }

  std::string mergeName() const {
    return "merge " + std::to_string(merges.size() - (parts > 0));
  }

  // The next value belongs to model.NAME.
  bool inModel(std::string_view name) const {
    return stack.size() == 2 && root.is(JsonValue::Kind::Object) &&
           root.keys.back() == "model" &&
           stack[1]->is(JsonValue::Kind::Object) &&
           stack[1]->keys.back() == name;
  }

  Text keep(std::string_view text) {
    Text kept{uint32_t(pool.size()), uint32_t(text.size())};
    pool += text;
    return kept;
  }

  // "left right"; pieces hold no space, except one that is a space alone.
  bool addMerge(std::string_view text) {
    size_t space = text.find(' ', 1);
    parts = 0;
    if (space == text.npos || space + 1 == text.size())
      return fail(mergeName() + " expects \"left right\", got " +
                  gemmac::quoted(text));
    Text left = keep(text.substr(0, space));
    merges.push_back({left, keep(text.substr(space + 1))});
    return true;
  }

  bool addPart(std::string_view text) {
    if (++parts == 1)
      merges.push_back({keep(text), {}});
    else if (parts == 2)
      merges.back().right = keep(text);
    return true;
  }

  // Adds a value to the innermost open one; `as` says which mode it may be in.
  JsonValue *add(JsonValue::Kind kind, Mode as = Mode::Tree) {
    if (mode == Mode::Vocab && as != mode) {
      Text text = vocab.back().text;
      fail("piece " +
           gemmac::quoted(std::string_view(pool).substr(text.from, text.size)) +
           " expects an id, got " + kindName(kind));
      return nullptr;
    }
    if (mode != as) {
      fail(mergeName() + " expects a string or a list of two, got " +
           kindName(kind));
      return nullptr;
    }
    if (++count > jsonTreeValues) {
      fail("more than " + std::to_string(jsonTreeValues) +
           " values beside vocab and merges");
      return nullptr;
    }
    JsonValue *v = stack.empty() ? &root : &stack.back()->items.emplace_back();
    v->kind = kind;
    return v;
  }
  bool open(JsonValue::Kind kind) {
    JsonValue *v = add(kind);
    if (v)
      stack.push_back(v);
    return v != nullptr;
  }

  Mode mode = Mode::Tree;
  int64_t parts = 0; // of the open merge
  int64_t count = 0;
  std::vector<JsonValue *> stack;
};

// Checks what was read and makes the model. Functions return false after
// setting `error`.
class Checker {
public:
  Checker(TokenizerEvents &file, std::string name,
          std::vector<std::string> &warnings)
      : file(file), name(std::move(name)), warnings(warnings) {}

  bool run(int64_t vocab) {
    return checkKind() && checkPipeline() && collect(vocab) && findBytes() &&
           resolveMerges();
  }

  TokenizerModel model;
  Error error;

private:
  bool fail(ExitCode code, const std::string &what) {
    error = {code, name + ": " + what};
    return false;
  }
  bool bad(const std::string &what) { return fail(ExitCode::BadInput, what); }

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
    return fail(ExitCode::Unsupported, what + " expects " +
                                           gemmac::quoted(text) + ", got " +
                                           describe(value));
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
      return bad("field model expects an object, got " + describe(bpe));
    if (!expect("model.type", bpe->find("type"), "BPE"))
      return false;
    if (!file.sawVocab)
      return bad("model.vocab expects an object of pieces, got " +
                 describe(bpe->find("vocab")));
    if (!file.sawMerges)
      return bad("model.merges expects a list of merges, got " +
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
        return fail(ExitCode::Unsupported,
                    std::string("model.") + s.key + " expects " +
                        (s.value ? "true" : "false") + ", got " + describe(v));
    }
    const char *const unused[] = {"dropout", "continuing_subword_prefix",
                                  "end_of_word_suffix"};
    for (const char *key : unused) {
      const JsonValue *v = bpe->find(key);
      bool empty = v && ((v->is(JsonValue::Kind::String) && v->text.empty()) ||
                         (v->is(JsonValue::Kind::Number) && v->number == 0));
      if (!absent(v) && !empty)
        return fail(ExitCode::Unsupported, std::string("model.") + key +
                                               " expects null, got " +
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
      warnings.push_back(name + ": post_processor " +
                         describe(find(post, "type")) +
                         " is ignored: the program adds <bos> itself");
    return checkReplace("decoder.decoders[0]", &steps->items[0], spaceMark,
                        " ") &&
           expect("decoder.decoders[1].type", steps->items[1].find("type"),
                  "ByteFallback") &&
           expect("decoder.decoders[2].type", steps->items[2].find("type"),
                  "Fuse");
  }

  std::string_view view(Text text) const {
    return std::string_view(file.pool).substr(text.from, text.size);
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
      return bad("added_tokens expects a list, got " + describe(list));
    std::unordered_map<std::string_view, size_t> seen;
    for (const JsonValue &item : list->items) {
      std::string what = "added_tokens[" + std::to_string(added.size()) + "]";
      const JsonValue *text = item.find("content"), *id = item.find("id");
      if (!text || !text->is(JsonValue::Kind::String) || text->text.empty())
        return bad(what + ".content expects a text, got " + describe(text));
      if (!id || !id->is(JsonValue::Kind::Integer))
        return bad(what + ".id expects an integer, got " + describe(id));
      for (const char *key : {"single_word", "lstrip", "rstrip", "normalized"})
        if (const JsonValue *v = item.find(key);
            !absent(v) && !(v->is(JsonValue::Kind::Bool) && !v->boolean))
          return fail(ExitCode::Unsupported,
                      "added token " + gemmac::quoted(text->text) +
                          " expects " + key + " false, got " + describe(v));
      if (!seen.emplace(text->text, added.size()).second)
        return bad("added token " + gemmac::quoted(text->text) +
                   " stands twice");
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
      return bad("piece " + gemmac::quoted(text) + " expects an id in 0.." +
                 std::to_string(count - 1) + " (ids have no holes), got " +
                 std::to_string(id));
    if (model.pieces[id].data())
      return bad("pieces " + gemmac::quoted(model.pieces[id]) + " and " +
                 gemmac::quoted(text) + " have the same id " +
                 std::to_string(id));
    model.pieces[id] = text;
    return true;
  }

  bool collect(int64_t vocab) {
    ids.reserve(file.vocab.size());
    for (const VocabEntry &entry : file.vocab)
      ids.emplace(view(entry.text), entry.id);
    std::vector<Added> added;
    if (!readAdded(added))
      return false;
    int64_t count = int64_t(file.vocab.size());
    for (const Added &token : added)
      count += !token.inModel;
    if (count != vocab)
      return bad("expects " + std::to_string(vocab) +
                 " pieces (the model's vocabulary size), got " +
                 std::to_string(count) +
                 "; take the tokenizer.json of this checkpoint");
    model.pieces.resize(count);
    model.flags.resize(count, 0);
    model.inModel.resize(count, false);
    for (const VocabEntry &entry : file.vocab) {
      if (!place(view(entry.text), entry.id))
        return false;
      model.inModel[entry.id] = true;
    }
    for (const Added &token : added) {
      if (!token.inModel) {
        if (!place(token.text, token.id))
          return false;
      } else if (int64_t id = ids.find(token.text)->second; id != token.id) {
        return bad("added token " + gemmac::quoted(token.text) +
                   " expects id " + std::to_string(id) + " as in vocab, got " +
                   std::to_string(token.id));
      }
      model.flags[token.id] |=
          GM_TOK_ADDED | (token.special ? GM_TOK_SPECIAL : 0);
    }
    return true;
  }

  // Marks the byte tokens; all 256 must be there.
  bool findBytes() {
    auto isHex = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') ||
             (c >= 'a' && c <= 'f');
    };
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      std::string_view p = model.pieces[id];
      if (p.size() == 6 && p.starts_with("<0x") && p.ends_with('>') &&
          isHex(p[3]) && isHex(p[4]))
        model.flags[id] |= GM_TOK_BYTE;
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", byte);
      auto hit = ids.find(text);
      if (hit == ids.end())
        return bad(std::string("expects all 256 byte tokens, but ") + text +
                   " is missing");
      model.byteIds[byte] = uint32_t(hit->second);
    }
    return true;
  }

  bool resolveMerges() {
    model.merges.reserve(file.merges.size());
    for (const MergeEntry &entry : file.merges) {
      std::string_view texts[] = {
          view(entry.left), view(entry.right),
          view({entry.left.from, entry.left.size + entry.right.size})};
      uint32_t found[3];
      for (int i = 0; i < 3; ++i) {
        auto hit = ids.find(texts[i]);
        const char *problem = nullptr;
        if (hit == ids.end() || texts[i].empty())
          problem = " is not in the vocabulary";
        else if (model.flags[hit->second] & GM_TOK_BYTE)
          problem = " is a byte token; those cannot merge";
        if (problem)
          return bad("merge " + std::to_string(model.merges.size()) + " of " +
                     gemmac::quoted(texts[0]) + " and " +
                     gemmac::quoted(texts[1]) + ": piece " +
                     gemmac::quoted(texts[i]) + problem);
        found[i] = uint32_t(hit->second);
      }
      model.merges.push_back(
          {found[0], found[1], uint32_t(model.merges.size()), found[2]});
    }
    return true;
  }

  TokenizerEvents &file;
  std::string name;
  std::vector<std::string> &warnings;
  std::unordered_map<std::string_view, int64_t> ids; // of model.vocab
};

} // namespace

Result<std::vector<uint8_t>>
packTokenizerText(std::string_view text, const std::string &name, int64_t vocab,
                  std::vector<std::string> &warnings) {
  if (text.size() > mostBytes)
    return Error{ExitCode::BadInput,
                 name + ": expects at most " + std::to_string(mostBytes) +
                     " bytes, got " + std::to_string(text.size())};
  try {
    TokenizerEvents file;
    if (Status read = readJson(text, name, file); !read)
      return read.error();
    Checker checker(file, name, warnings);
    if (!checker.run(vocab))
      return checker.error;
    Result<std::vector<uint8_t>> blob = packTokenizerTables(checker.model);
    if (!blob)
      return Error{blob.error().code, name + ": " + blob.error().message};
    return blob;
  } catch (const std::bad_alloc &) {
    return Error{ExitCode::Resources, name + ": not enough memory to read it"};
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
