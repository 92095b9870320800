// What a checkpoint says of generation -> GenerationConfig: the files of a
// folder, and the rules that GGUF metadata share with them. Must not know
// tokenizers or templates.
#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/File.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace gemmac {

constexpr uint64_t generationBytes = 16 << 20;

static const GenerationKeys &fileKeys() {
  static const GenerationKeys keys = {
      .temperature = "temperature",
      .topK = "top_k",
      .topP = "top_p",
      .minP = "min_p",
      .suppress = "suppress_tokens",
      .stop = {"eos_token_id"},
      .ignored = {{"bad_words_ids"},
                  {"begin_suppress_tokens"},
                  {"constraints"},
                  {"dola_layers"},
                  {"encoder_no_repeat_ngram_size", 0},
                  {"encoder_repetition_penalty", 1},
                  {"epsilon_cutoff", 0, true},
                  {"eta_cutoff", 0, true},
                  {"exponential_decay_length_penalty"},
                  {"force_words_ids"},
                  {"forced_bos_token_id"},
                  {"forced_eos_token_id"},
                  {"guidance_scale", 1},
                  {"min_length", 0},
                  {"min_new_tokens", 0},
                  {"no_repeat_ngram_size", 0},
                  {"num_beams", 1},
                  {"penalty_alpha", 0},
                  {"repetition_penalty", 1},
                  {"sequence_bias"},
                  {"stop_strings"},
                  {"top_h", {}, true},
                  {"typical_p", 1, true},
                  {"watermarking_config"}}};
  return keys;
}

//===-- one file or object ------------------------------------------------===//

bool GenerationReader::isTrue(const Json &value) {
  if (value.is_boolean())
    return value.get<bool>();
  if (value.is_number())
    return value.get<double>() != 0;
  if (value.is_string())
    return !value.get_ref<const std::string &>().empty();
  return isGiven(value) && !value.empty();
}

const Json &GenerationReader::find(const char *key) const {
  for (const Fields &fields : objects)
    if (fields.has(key))
      return fields.get(key);
  return objects.back().get(key);
}

// A value outside of `low` to `high` stands for `otherwise`.
double GenerationReader::number(const char *key, double fallback, double low,
                                double high, double otherwise,
                                const char *meaning) const {
  const Json &value = find(key);
  if (!isGiven(value))
    return fallback;
  if (!value.is_number() && !value.is_boolean())
    file.bad("{} expects a number, got {}", key, shown(value));
  double number =
      value.is_boolean() ? double(value.get<bool>()) : value.get<double>();
  if (number >= low && number <= high)
    return number;
  warnings.push_back(fmt::format("{}: {} is {}, which is taken as {}",
                                 file.name, key, shown(value), meaning));
  return otherwise;
}

void GenerationReader::readSampling(bool sample,
                                    GenerationConfig &config) const {
  config.samplingFrom = file.name;
  warnOfIgnored(sample);
  if (!sample)
    return;
  const double most = HUGE_VAL, positive = 1e-300;
  config.temperature = number(keys.temperature, 1, positive, most, 0,
                              "0: always the most likely token");
  config.topK = int64_t(
      std::min(number(keys.topK, 50, 0, most, 0, "no limit"), 2147483647.0));
  config.topP = std::min(number(keys.topP, 1, 0, most, 1, "no limit"), 1.0);
  config.minP = number(keys.minP, 0, 0, 1, 0, "no limit");
}

void GenerationReader::warnOfIgnored(bool sample) const {
  for (const IgnoredKey &ignored : keys.ignored) {
    const Json &value = find(ignored.key);
    bool neutral = !isGiven(value) || (ignored.sampling && !sample) ||
                   (ignored.neutral && value == *ignored.neutral);
    if (!neutral)
      warnings.push_back(fmt::format("{}: {} ({}) is ignored", file.name,
                                     ignored.key, shown(value)));
  }
}

// Ids that no token has say nothing.
void GenerationReader::addIds(const char *key,
                              std::vector<int64_t> &ids) const {
  const Json &value = find(key);
  std::string strange;
  auto add = [&](const Json &item) {
    double id = item.is_number() ? item.get<double>() : NAN;
    if (id != std::floor(id))
      file.bad("{} expects token ids, got {}", key, shown(item));
    if (id >= 0 && id < double(vocab))
      ids.push_back(int64_t(id));
    else if (strange.empty())
      strange = shown(item);
  };
  if (value.is_array())
    std::for_each(value.begin(), value.end(), add);
  else
    add(value);
  if (!strange.empty())
    warnings.push_back(fmt::format("{}: {}: {} is no id of the {} tokens and "
                                   "is ignored",
                                   file.name, key, strange, vocab));
}

static void sortIds(std::vector<int64_t> &ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

void GenerationReader::readSuppress(GenerationConfig &config) const {
  if (has(keys.suppress))
    addIds(keys.suppress, config.suppress);
  sortIds(config.suppress);
}

void GenerationReader::readStop(GenerationConfig &config) const {
  std::vector<int64_t> stop;
  bool any = false;
  for (const char *key : keys.stop)
    if (has(key))
      addIds(key, stop), any = true;
  if (!any)
    return;
  sortIds(stop);
  config.stop = std::move(stop);
  config.stopFrom = file.name;
}

//===-- the files of a folder ---------------------------------------------===//

static void readGenerationText(const std::string &text, const std::string &name,
                               int64_t vocab,
                               std::vector<std::string> &warnings,
                               GenerationConfig &config) {
  const Json root = orFail(parseJson(text, name));
  NamedFile file{name};
  if (!root.is_object())
    file.bad("expects an object, got {}", shown(root));
  GenerationReader reader(fileKeys(), {Fields(root, "", file)}, vocab, file,
                          warnings);
  reader.readSampling(reader.isTrue("do_sample"), config);
  reader.readSuppress(config);
  reader.readStop(config);
}

// `alone`: no other file says how to generate.
static void readModelText(const std::string &text, const std::string &name,
                          int64_t vocab, bool alone,
                          std::vector<std::string> &warnings,
                          GenerationConfig &config) {
  const Json root = orFail(parseJson(text, name));
  NamedFile file{name};
  GenerationReader reader(
      fileKeys(),
      {Fields(root, "", file),
       Fields(member(root, "text_config"), "text_config.", file)},
      vocab, file, warnings);
  reader.readStop(config);
  if (!alone)
    return;
  reader.readSampling(reader.isTrue("do_sample"), config);
  reader.readSuppress(config);
  if (!reader.has("do_sample"))
    config.samplingFrom.clear();
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
    bool alone = !hasFile(folder, "generation_config.json");
    std::string path = joinPath(folder, "config.json");
    readModelText(orFail(readFile(path, generationBytes)), path, model.vocab,
                  alone, warnings, config);
    path = joinPath(folder, "generation_config.json");
    if (!alone)
      readGenerationText(orFail(readFile(path, generationBytes)), path,
                         model.vocab, warnings, config);
    return config;
  });
}

} // namespace gemmac
