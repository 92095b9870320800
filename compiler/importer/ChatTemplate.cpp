// Recognises the chat template of a checkpoint by the hash of its text: the
// program speaks the protocol in C++ (runtime/app/template.cpp), so the file
// only says which form. Must not know what the template says.
#include "compiler/importer/Failure.h"
#include "compiler/importer/File.h"
#include "compiler/importer/Tokenizer.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"

#include <nlohmann/json.hpp>

#include <array>

namespace gemmac {
namespace {

constexpr uint64_t mostBytes = 16 << 20; // of a template or tokenizer_config

// The two templates published on 2026-07-09.
constexpr std::string_view smallHash =
    "3beb16a140a78c7bf71cd86609f58e56f1594e670e95fe58bd6022f941d1cb1e";
constexpr std::string_view largeHash =
    "df269903ea2e27a6426bf65f34f530a571cc04bf9b92ad8928ffa909eb46ecc5";

std::string sha256(std::string_view text) {
  std::array<uint8_t, 32> hash = llvm::SHA256::hash(llvm::ArrayRef<uint8_t>(
      reinterpret_cast<const uint8_t *>(text.data()), text.size()));
  return llvm::toHex(hash, /*LowerCase=*/true);
}

// The text of the template; no value where the checkpoint has none.
std::optional<std::string> findTemplate(const std::string &folder) {
  if (hasFile(folder, "chat_template.jinja"))
    return orFail(readFile(joinPath(folder, "chat_template.jinja"), mostBytes));
  if (!hasFile(folder, "tokenizer_config.json"))
    return {};
  std::string path = joinPath(folder, "tokenizer_config.json");
  const Json config =
      orFail(parseJson(orFail(readFile(path, mostBytes)), path));
  const Json *value = &member(config, "chat_template");
  if (!isGiven(*value))
    return {};
  // Several templates by name: the one called "default" is the chat's.
  if (value->is_array())
    for (const Json &item : *value)
      if (isText(member(item, "name"), "default")) {
        value = &member(item, "template");
        break;
      }
  if (!value->is_string())
    NamedFile{path}.bad("chat_template expects a string or a list with a "
                        "template named \"default\"");
  return value->get<std::string>();
}

ChatTemplate recognise(std::string_view text, const std::string &name,
                       bool smallModel, std::vector<std::string> &warnings) {
  ChatTemplate found;
  found.sha256 = sha256(text);
  found.known = found.sha256 == smallHash || found.sha256 == largeHash;
  bool small = found.known ? found.sha256 == smallHash : smallModel;
  found.protocol = small ? ChatProtocol::Small : ChatProtocol::Large;
  if (!found.known)
    warnings.push_back(fmt::format(
        "{}: the chat template (sha256 {}) is not one of the two known ones; "
        "the program speaks the {} form of 2026-07-09 instead",
        name, found.sha256, small ? "small" : "large"));
  return found;
}

} // namespace

Result<ChatTemplate> readChatTemplate(const std::string &folder,
                                      bool smallModel,
                                      std::vector<std::string> &warnings) {
  return reading(folder, [&] {
    std::optional<std::string> text = findTemplate(folder);
    return text ? recognise(*text, folder, smallModel, warnings)
                : ChatTemplate();
  });
}

Result<ChatTemplate> readGgufChatTemplate(const GgufHeader &metadata,
                                          const std::string &name,
                                          bool smallModel,
                                          std::vector<std::string> &warnings) {
  return reading(name, [&] {
    const Json &text = metadata.find("tokenizer.chat_template");
    if (text.is_discarded())
      return ChatTemplate();
    if (!text.is_string())
      NamedFile{name}.bad("tokenizer.chat_template expects a string, got {}",
                          shown(text));
    return recognise(text.get_ref<const std::string &>(), name, smallModel,
                     warnings);
  });
}

} // namespace gemmac
