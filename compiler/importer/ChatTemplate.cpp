// Recognises the chat template of a checkpoint by the hash of its text: the
// program speaks the protocol in C++ (runtime/app/template.cpp), so the file
// only says which form. Must not know what the template says.
#include "compiler/importer/File.h"
#include "compiler/importer/Json.h"
#include "compiler/importer/Tokenizer.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"

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
Result<std::optional<std::string>> findTemplate(const std::string &folder) {
  using Found = std::optional<std::string>;
  if (hasFile(folder, "chat_template.jinja")) {
    Result<std::string> text =
        readFile(joinPath(folder, "chat_template.jinja"), mostBytes);
    if (!text)
      return text.error();
    return Found(std::move(*text));
  }
  if (!hasFile(folder, "tokenizer_config.json"))
    return Found();
  std::string path = joinPath(folder, "tokenizer_config.json");
  Result<std::string> text = readFile(path, mostBytes);
  if (!text)
    return text.error();
  Result<JsonValue> config = parseJson(*text, path);
  if (!config)
    return config.error();
  const JsonValue *value = config->find("chat_template");
  if (!value || value->is(JsonValue::Kind::Null))
    return Found();
  // Several templates by name: the one called "default" is the chat's.
  if (value->is(JsonValue::Kind::Array))
    for (const JsonValue &item : value->items) {
      const JsonValue *name = item.find("name");
      if (name && name->text == "default") {
        value = item.find("template");
        break;
      }
    }
  if (!value || !value->is(JsonValue::Kind::String))
    return makeError(ExitCode::BadInput,
                     "{}: chat_template expects a string or a list with a "
                     "template named \"default\"",
                     path);
  return Found(value->text);
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
  Result<std::optional<std::string>> text = findTemplate(folder);
  if (!text)
    return text.error();
  return *text ? recognise(**text, folder, smallModel, warnings)
               : ChatTemplate();
}

Result<ChatTemplate> readGgufChatTemplate(const GgufHeader &metadata,
                                          const std::string &name,
                                          bool smallModel,
                                          std::vector<std::string> &warnings) {
  const GgufValue *text = metadata.find("tokenizer.chat_template");
  if (!text)
    return ChatTemplate();
  if (!text->is(GgufValue::Kind::String))
    return makeError(ExitCode::BadInput,
                     "{}: tokenizer.chat_template expects a string, got {}",
                     name, text->describe());
  return recognise(text->text, name, smallModel, warnings);
}

} // namespace gemmac
