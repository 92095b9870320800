// See AddedTokens.h.
#include "compiler/importer/AddedTokens.h"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <unordered_map>

namespace gemmac {
namespace {

struct FlagName {
  const char *key;
  gm_tok_flag flag;
};
const FlagName flagNames[] = {{"special", GM_TOK_SPECIAL},
                              {"normalized", GM_TOK_NORMALIZED},
                              {"lstrip", GM_TOK_LSTRIP},
                              {"rstrip", GM_TOK_RSTRIP},
                              {"single_word", GM_TOK_WORD}};

class Collector {
public:
  explicit Collector(const NamedFile &file) : file(file) {}

  // A token as the tokenizers library writes it. A text that is there stays.
  void add(const std::string &called, const Json &item, const Json &id) {
    const Json &text = member(item, "content");
    if (!text.is_string() || isText(text, ""))
      file.bad("{}.content expects a text, got {}", called, shown(text));
    if (!id.is_number_integer())
      file.bad("{}.id expects an integer, got {}", called, shown(id));
    AddedToken token{text.get<std::string>(), id.get<int64_t>()};
    for (const FlagName &name : flagNames) {
      const Json &value = member(item, name.key);
      if (isGiven(value) && !value.is_boolean())
        file.bad("{}.{} expects true or false, got {}", called, name.key,
                 shown(value));
      if (value == true)
        token.flags |= name.flag;
    }
    add(std::move(token));
  }

  void add(AddedToken token) {
    if (places.emplace(token.text, tokens.size()).second)
      tokens.push_back(std::move(token));
  }

  void sortById() {
    std::sort(tokens.begin(), tokens.end(),
              [](const AddedToken &a, const AddedToken &b) {
                return std::tie(a.id, a.text) < std::tie(b.id, b.text);
              });
  }

  std::vector<AddedToken> tokens;

private:
  const NamedFile &file;
  std::unordered_map<std::string, size_t> places;
};

// Texts of special tokens that files name without ids.
struct NamedTokens {
  std::vector<std::string> roles, extra; // "pad_token"; extra_special_tokens

  void read(const Json &config) {
    auto add = [](const Json &value, std::vector<std::string> &texts) {
      const Json &text = value.is_object() ? member(value, "content") : value;
      if (text.is_string() && !isText(text, ""))
        texts.push_back(text.get<std::string>());
    };
    if (!config.is_object())
      return;
    for (const auto &[key, value] : config.items())
      if (key.ends_with("_token"))
        add(value, roles);
    if (const Json &list = member(config, "extra_special_tokens");
        list.is_structured())
      for (const Json &value : list)
        add(value, extra);
  }
  bool hasRole(const std::string &text) const {
    return std::find(roles.begin(), roles.end(), text) != roles.end();
  }
};

void addDecoder(const Json &decoder, Collector &out, const NamedFile &file) {
  const char *called = "added_tokens_decoder of tokenizer_config.json";
  if (!decoder.is_object())
    file.bad("{} expects an object, got {}", called, shown(decoder));
  for (const auto &[key, item] : decoder.items()) {
    int64_t id = -1;
    const char *end = key.data() + key.size();
    auto [rest, error] = std::from_chars(key.data(), end, id);
    bool good = error == std::errc() && rest == end;
    out.add(fmt::format("{}[{}]", called, gemmac::quoted(key)), item,
            good ? Json(id) : Json(key));
  }
}

} // namespace

std::vector<AddedToken> readAddedTokens(const Json &list,
                                        const TokenizerFiles &beside,
                                        const NamedFile &file) {
  Collector out(file);
  NamedTokens named;
  named.read(beside.config);
  const Json &decoder = member(beside.config, "added_tokens_decoder");
  if (isGiven(decoder))
    addDecoder(decoder, out, file);
  else
    named.read(beside.special);
  if (isGiven(list) && !list.is_array())
    file.bad("added_tokens expects a list, got {}", shown(list));
  for (size_t i = 0; list.is_array() && i < list.size(); ++i)
    out.add(fmt::format("added_tokens[{}]", i), list[i], member(list[i], "id"));
  if (beside.added.is_object() && !isGiven(decoder))
    for (const auto &[text, id] : beside.added.items()) {
      uint8_t flag = named.hasRole(text) ? GM_TOK_SPECIAL : GM_TOK_NORMALIZED;
      if (!text.empty() && id.is_number_integer())
        out.add({text, id.get<int64_t>(), uint8_t(GM_TOK_ADDED | flag)});
    }
  out.sortById();
  for (AddedToken &token : out.tokens)
    if (named.hasRole(token.text))
      token.flags |= GM_TOK_SPECIAL;
  for (const std::vector<std::string> *texts : {&named.roles, &named.extra})
    for (const std::string &text : *texts)
      out.add({text, -1, GM_TOK_ADDED | GM_TOK_SPECIAL});
  return std::move(out.tokens);
}

} // namespace gemmac
