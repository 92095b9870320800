// See TokenizerFile.h: an event reader, because as a tree the true vocabulary
// would be hundreds of megabytes. Must not know what the runtime supports.
#include "compiler/importer/TokenizerFile.h"

namespace gemmac {
namespace {

class TokenizerEvents : public JsonTree {
public:
  TokenizerFile file;

  bool integer(int64_t value) override {
    if (mode != Mode::Vocab)
      return JsonTree::integer(value);
    file.vocab.back().id = value;
    return true;
  }
  bool string(std::string &value) override {
    return mode == Mode::Merges ? addMerge(value)
           : mode == Mode::Pair ? addPart(value)
                                : JsonTree::string(value);
  }
  bool key(std::string &value) override {
    if (mode != Mode::Vocab)
      return JsonTree::key(value);
    file.vocab.push_back({keep(value), -1});
    return true;
  }
  bool startObject() override {
    if (mode != Mode::Tree || !inModel("vocab"))
      return JsonTree::startObject();
    file.sawVocab = add(JsonValue::Kind::Object);
    mode = Mode::Vocab;
    return file.sawVocab;
  }
  bool endObject() override {
    if (mode != Mode::Vocab)
      return JsonTree::endObject();
    mode = Mode::Tree;
    return true;
  }
  bool startArray() override {
    if (mode == Mode::Tree && inModel("merges")) {
      file.sawMerges = add(JsonValue::Kind::Array);
      mode = Mode::Merges;
      return file.sawMerges;
    }
    if (mode != Mode::Merges)
      return JsonTree::startArray();
    mode = Mode::Pair;
    parts = 0;
    return true;
  }
  bool endArray() override {
    if (mode == Mode::Pair) {
      if (parts != 2)
        return fail("{} expects two pieces, got {}", mergeName(), parts);
      mode = Mode::Merges;
      parts = 0;
      return true;
    }
    if (mode != Mode::Merges)
      return JsonTree::endArray();
    mode = Mode::Tree;
    return true;
  }

private:
  enum class Mode { Tree, Vocab, Merges, Pair };

  std::string mergeName() const {
    return fmt::format("merge {}", file.merges.size() - (parts > 0));
  }

  // The next value belongs to model.NAME.
  bool inModel(std::string_view name) const {
    return stack.size() == 2 && root.is(JsonValue::Kind::Object) &&
           root.keys.back() == "model" &&
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
      return fail("{} expects \"left right\", got {}", mergeName(),
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

  // Nothing but ids, strings and pairs stands in the two tables.
  JsonValue *add(JsonValue::Kind kind) override {
    if (mode == Mode::Tree)
      return JsonTree::add(kind);
    if (mode == Mode::Vocab)
      fail("piece {} expects an id, got {}",
           gemmac::quoted(file.view(file.vocab.back().text)), kindName(kind));
    else
      fail("{} expects a string or a list of two, got {}", mergeName(),
           kindName(kind));
    return nullptr;
  }

  Mode mode = Mode::Tree;
  int64_t parts = 0; // of the open merge
};

} // namespace

Result<TokenizerFile> readTokenizerFile(std::string_view text,
                                        const std::string &name) {
  TokenizerEvents events;
  Status read = readJson(text, name, events);
  if (!read)
    return read.error();
  events.file.root = std::move(events.root);
  return std::move(events.file);
}

} // namespace gemmac
