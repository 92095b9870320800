// Sampling defaults and special ids -> GenerationConfig:
// generation_config.json, with config.json's ids where it is silent, and what
// GGUF metadata spell alike. Must not know tokenizers or templates.
#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/File.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gemmac {

constexpr uint64_t generationBytes = 16 << 20;

static const GenerationKeys &jsonKeysOf() {
  static const GenerationKeys keys = {.temperature = "temperature",
                                      .topK = "top_k",
                                      .topP = "top_p",
                                      .penalty = "repetition_penalty",
                                      .bos = "bos_token_id",
                                      .pad = "pad_token_id",
                                      .suppress = "suppress_tokens",
                                      .stop = {"eos_token_id"}};
  return keys;
}

void sortIds(std::vector<int64_t> &ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

void readSpecialIds(const Fields &fields, const GenerationKeys &keys,
                    int64_t vocab, GenerationConfig &config) {
  config.bos = fields.integer(keys.bos, 0, vocab - 1, config.bos);
  config.pad = fields.integer(keys.pad, 0, vocab - 1, config.pad);
  std::optional<std::vector<int64_t>> stop;
  for (const char *key : keys.stop)
    if (auto ids = fields.integers(key, 0, vocab - 1)) {
      if (!stop)
        stop.emplace();
      stop->insert(stop->end(), ids->begin(), ids->end());
    }
  config.stop = stop.value_or(config.stop);
  sortIds(config.stop);
}

void readGeneration(const Fields &fields, const GenerationKeys &keys,
                    int64_t vocab, GenerationConfig &config,
                    const NamedFile &file, std::vector<std::string> &warnings) {
  readSpecialIds(fields, keys, vocab, config);
  config.suppress =
      fields.integers(keys.suppress, 0, vocab - 1).value_or(config.suppress);
  sortIds(config.suppress);
  config.temperature =
      fields.number(keys.temperature, 0, 1000, config.temperature);
  config.topK = fields.integer(keys.topK, 0, int64_t(1) << 31, config.topK);
  config.topP = fields.number(keys.topP, 0, 1, config.topP);
  if (fields.number(keys.penalty, 0, 1e6, 1.0) != 1)
    warnings.push_back(
        fmt::format("{}: {} is ignored", file.name, keys.penalty));
}

// Sets from config.json: the text part first, so that the top level wins.
static void readModelIds(const std::string &text, const std::string &name,
                         int64_t vocab, GenerationConfig &config) {
  const Json root = orFail(parseJson(text, name));
  NamedFile file{name};
  readSpecialIds(Fields(member(root, "text_config"), "text_config.", file),
                 jsonKeysOf(), vocab, config);
  readSpecialIds(Fields(root, "", file), jsonKeysOf(), vocab, config);
}

static void readGenerationText(const std::string &text, const std::string &name,
                               int64_t vocab,
                               std::vector<std::string> &warnings,
                               GenerationConfig &config) {
  const Json root = orFail(parseJson(text, name));
  NamedFile file{name};
  if (!root.is_object())
    file.bad("expects an object, got {}", shown(root));
  Fields fields(root, "", file);
  readGeneration(fields, jsonKeysOf(), vocab, config, file, warnings);
  if (!fields.boolean("do_sample", true))
    config.temperature = 0;
  if (fields.number("min_p", 0, 1, 0.0) != 0)
    warnings.push_back(name + ": min_p is ignored; use --min-p when running");
  if (config.stop.empty())
    warnings.push_back(name + ": eos_token_id is empty; only -n ends a text");
}

Result<GenerationConfig>
parseGenerationConfig(const std::string &text, const std::string &name,
                      const ModelConfig &model,
                      std::vector<std::string> &warnings) {
  return reading(name, [&] {
    GenerationConfig config;
    readGenerationText(text, name, model.vocab, warnings, config);
    return config;
  });
}

Result<GenerationConfig>
readGenerationConfig(const std::string &folder, const ModelConfig &model,
                     std::vector<std::string> &warnings) {
  return reading(folder, [&] {
    GenerationConfig config;
    std::string path = joinPath(folder, "config.json");
    readModelIds(orFail(readFile(path, generationBytes)), path, model.vocab,
                 config);
    path = joinPath(folder, "generation_config.json");
    if (hasFile(folder, "generation_config.json"))
      readGenerationText(orFail(readFile(path, generationBytes)), path,
                         model.vocab, warnings, config);
    return config;
  });
}

} // namespace gemmac
