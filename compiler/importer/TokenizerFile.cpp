// See TokenizerFile.h: an event reader, because as a tree the true vocabulary
// would be hundreds of megabytes. Must not know what the runtime supports.
#include "compiler/importer/TokenizerFile.h"

namespace gemmac {
namespace {

class TokenizerEvents : public JsonEvents {
public:
  TokenizerFile file;

  bool null() override { return add(JsonValue::Kind::Null) != nullptr; }
  bool boolean(bool value) override {
    JsonValue *v = add(JsonValue::Kind::Bool);
    return v && (v->boolean = value, true);
  }
  bool integer(int64_t value) override {
    if (mode == Mode::Vocab) {
      file.vocab.back().id = value;
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
      file.vocab.push_back({keep(value), -1});
    else
      stack.back()->keys.push_back(std::move(value));
    return true;
  }
  bool startObject() override {
    if (mode == Mode::Tree && inModel("vocab")) {
      mode = Mode::Vocab;
      return file.sawVocab =
                 add(JsonValue::Kind::Object, Mode::Vocab) != nullptr;
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
      return file.sawMerges =
                 add(JsonValue::Kind::Array, Mode::Merges) != nullptr;
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
    return "merge " + std::to_string(file.merges.size() - (parts > 0));
  }

  // The next value belongs to model.NAME.
  bool inModel(std::string_view name) const {
    return stack.size() == 2 && file.root.is(JsonValue::Kind::Object) &&
           file.root.keys.back() == "model" &&
           stack[1]->is(JsonValue::Kind::Object) &&
           stack[1]->keys.back() == name;
  }

  TokenizerFile::Text keep(std::string_view text) {
    TokenizerFile::Text kept{uint32_t(file.pool.size()), uint32_t(text.size())};
    file.pool += text;
    return kept;
  }

  // "left right"; pieces hold no space, except one that is a space alone.
  bool addMerge(std::string_view text) {
    size_t space = text.find(' ', 1);
    parts = 0;
    if (space == text.npos || space + 1 == text.size())
      return fail(mergeName() + " expects \"left right\", got " +
                  gemmac::quoted(text));
    TokenizerFile::Text left = keep(text.substr(0, space));
    file.merges.push_back({left, keep(text.substr(space + 1))});
    return true;
  }

  bool addPart(std::string_view text) {
    if (++parts == 1)
      file.merges.push_back({keep(text), {}});
    else if (parts == 2)
      file.merges.back().right = keep(text);
    return true;
  }

  // Adds a value to the innermost open one; `as` says which mode it may be in.
  JsonValue *add(JsonValue::Kind kind, Mode as = Mode::Tree) {
    if (mode == Mode::Vocab && as != mode) {
      TokenizerFile::Text text = file.vocab.back().text;
      fail("piece " +
           gemmac::quoted(
               std::string_view(file.pool).substr(text.from, text.size)) +
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
    JsonValue *v =
        stack.empty() ? &file.root : &stack.back()->items.emplace_back();
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

} // namespace

Result<TokenizerFile> readTokenizerFile(std::string_view text,
                                        const std::string &name) {
  TokenizerEvents events;
  Status read = readJson(text, name, events);
  if (!read)
    return read.error();
  return std::move(events.file);
}

} // namespace gemmac
