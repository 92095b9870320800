// Finds the chat template of a checkpoint and recognises it: the program speaks
// the protocol in C++ (runtime/app/template.cpp), so the file only says which
// form. Must not know what any template says (KnownTemplates.h does).
#include "compiler/importer/Failure.h"
#include "compiler/importer/File.h"
#include "compiler/importer/KnownTemplates.h"
#include "compiler/importer/Tokenizer.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"

#include <nlohmann/json.hpp>

#include <array>

namespace gemmac {
namespace {

constexpr uint64_t mostBytes = 16 << 20; // of a template or tokenizer_config

std::string sha256(std::string_view text) {
  std::array<uint8_t, 32> hash = llvm::SHA256::hash(llvm::ArrayRef<uint8_t>(
      reinterpret_cast<const uint8_t *>(text.data()), text.size()));
  return llvm::toHex(hash, /*LowerCase=*/true);
}

struct Found {
  std::string text;  // empty: there is none
  std::string place; // for messages
};

bool isBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == text.npos;
}

Found found(std::string_view text, std::string place) {
  return isBlank(text) ? Found() : Found{std::string(text), std::move(place)};
}

// A text, or several by name: a list of {name, template} or an object. Of those
// the one called "default" is the chat's, or else the first.
Found pick(const Json &value, const std::string &place, const NamedFile &file) {
  Found first;
  auto wrong = [&](const Json &got) {
    file.bad("{} expects a text or texts by name, got {}", place, shown(got));
  };
  auto take = [&](const std::string &name, const Json &text) {
    if (!text.is_string())
      wrong(text);
    if (first.text.empty() || name == "default")
      first = found(text.get_ref<const std::string &>(),
                    fmt::format("{}, {}", place, gemmac::quoted(name)));
  };
  if (!isGiven(value))
    return {};
  if (value.is_string())
    return found(value.get_ref<const std::string &>(), place);
  if (!value.is_structured())
    wrong(value);
  for (const auto &[key, item] : value.items()) {
    const Json &name = member(item, "name");
    if (value.is_object())
      take(key, item);
    else
      take(name.is_string() ? name.get<std::string>() : key,
           member(item, "template"));
  }
  return first;
}

// Where tools put it; the first that has one counts, as for transformers.
struct Place {
  const char *file;
  const char *key; // nullptr: the file is the template
};
const Place places[] = {{"chat_template.jinja", nullptr},
                        {"tokenizer_config.json", "chat_template"},
                        {"chat_template.json", "chat_template"},
                        {"processor_config.json", "chat_template"}};

Found findIn(const std::string &folder) {
  for (const Place &place : places) {
    if (!hasFile(folder, place.file))
      continue;
    NamedFile file{joinPath(folder, place.file)};
    std::string text = orFail(readFile(file.name, mostBytes));
    Found here;
    if (!place.key)
      here = found(text, place.file);
    else if (Json root = orFail(parseJson(text, file.name)); root.is_object())
      here = pick(member(root, place.key),
                  fmt::format("{} of {}", place.key, place.file), file);
    if (!here.text.empty())
      return here;
  }
  return {};
}

Found findIn(const GgufHeader &metadata, const NamedFile &file) {
  const std::string key = "tokenizer.chat_template";
  if (Found own = pick(metadata.find(key), key, file); !own.text.empty())
    return own;
  Json named = Json::object();
  for (const auto &[name, value] : metadata.metadata->items())
    if (name.starts_with(key + "."))
      named[name.substr(key.size() + 1)] = value;
  return pick(named, key, file);
}

ChatTemplate recognise(const Found &found, const std::string &name,
                       bool smallModel, std::vector<std::string> &warnings) {
  ChatTemplate chat;
  if (found.text.empty())
    return chat;
  chat.place = found.place;
  chat.sha256 = sha256(found.text);
  if (const KnownTemplate *known = findTemplate(found.text)) {
    chat.known = true;
    chat.name = known->name;
    chat.differs = known->differs;
    chat.protocol = known->protocol;
    return chat;
  }
  const std::optional<ChatProtocol> implied = impliedProtocol(found.text);
  chat.protocol = implied      ? *implied
                  : smallModel ? ChatProtocol::Small
                               : ChatProtocol::Large;
  warnings.push_back(fmt::format(
      "{}: the chat template in {} (sha256 {}) is not a known one: {}, so the "
      "program speaks the {} form of 2026-07-09; --chat-template=small, large "
      "or none decides otherwise",
      name, chat.place, chat.sha256,
      !implied ? "it does not write Gemma 4's turns"
      : *implied == ChatProtocol::Large
          ? "it writes an empty thought where thinking is off"
          : "it writes Gemma 4's turns, and no empty thought",
      chatProtocolName(chat.protocol)));
  return chat;
}

} // namespace

const char *chatProtocolName(ChatProtocol protocol) {
  static const char *const names[] = {"none", "small", "large"};
  return names[int(protocol)];
}

Result<ChatTemplate> readChatTemplate(const std::string &folder,
                                      bool smallModel,
                                      std::vector<std::string> &warnings) {
  return reading(folder, [&] {
    return recognise(findIn(folder), folder, smallModel, warnings);
  });
}

Result<ChatTemplate> readGgufChatTemplate(const GgufHeader &metadata,
                                          const std::string &name,
                                          bool smallModel,
                                          std::vector<std::string> &warnings) {
  return reading(name, [&] {
    return recognise(findIn(metadata, NamedFile{name}), name, smallModel,
                     warnings);
  });
}

} // namespace gemmac
