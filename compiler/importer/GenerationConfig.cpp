// generation_config.json -> GenerationConfig, with config.json's special ids
// where it is silent. Must not know tokenizers or templates.
#include "compiler/importer/Config.h"

#include "compiler/importer/Fields.h"
#include "compiler/importer/File.h"

#include <algorithm>
#include <new>

namespace gemmac {
namespace {

using Kind = JsonValue::Kind;

constexpr uint64_t generationBytes = 16 << 20;

// Reads ids of one file against the vocabulary.
class IdReader {
public:
  IdReader(int64_t vocab, Problems &problems)
      : vocab(vocab), problems(problems) {}

  // A number or a list of numbers; ascending, each once. Absent leaves `ids`.
  void list(const Fields &fields, const char *key,
            std::vector<int64_t> &ids) const {
    const JsonValue *value = fields.get(key);
    if (!value)
      return;
    ids.clear();
    if (value->is(Kind::Array))
      for (const JsonValue &item : value->items)
        ids.push_back(check(fields.called(key), item));
    else
      ids.push_back(check(fields.called(key), *value));
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  }

  void one(const Fields &fields, const char *key, int64_t &id) const {
    if (const JsonValue *value = fields.get(key))
      id = check(fields.called(key), *value);
  }

private:
  int64_t check(const std::string &called, const JsonValue &value) const {
    if (value.is(Kind::Integer) && value.integer >= 0 && value.integer < vocab)
      return value.integer;
    problems.bad("{} expects token ids from 0 to {}, got {}", called, vocab - 1,
                 shown(value));
    return 0;
  }

  int64_t vocab;
  Problems &problems;
};

GenerationConfig defaults() {
  GenerationConfig config;
  config.stop = {1};
  return config;
}

void readIds(const Fields &fields, const IdReader &ids,
             GenerationConfig &config) {
  ids.one(fields, "bos_token_id", config.bos);
  ids.one(fields, "pad_token_id", config.pad);
  ids.list(fields, "eos_token_id", config.stop);
}

// Sets from config.json: the text part first, so that the top level wins.
Status readModelIds(const std::string &text, const std::string &name,
                    int64_t vocab, GenerationConfig &config) {
  Result<JsonValue> root = parseJson(text, name);
  if (!root)
    return root.error();
  Problems problems{name, {}};
  IdReader ids(vocab, problems);
  const JsonValue *nested = root->find("text_config");
  if (nested)
    readIds(Fields(*nested, "text_config.", problems), ids, config);
  readIds(Fields(*root, "", problems), ids, config);
  if (problems.first)
    return *problems.first;
  return Done{};
}

Status readGeneration(const std::string &text, const std::string &name,
                      int64_t vocab, std::vector<std::string> &warnings,
                      GenerationConfig &config) {
  Result<JsonValue> root = parseJson(text, name);
  if (!root)
    return root.error();
  if (!root->is(Kind::Object))
    return makeError(ExitCode::BadInput, "{}: expects an object, got {}", name,
                     shown(*root));
  Problems problems{name, {}};
  Fields fields(*root, "", problems);
  IdReader ids(vocab, problems);
  readIds(fields, ids, config);
  ids.list(fields, "suppress_tokens", config.suppress);
  config.temperature =
      fields.number("temperature", 0, 1000, config.temperature);
  config.topK = fields.integer("top_k", 0, int64_t(1) << 31, config.topK);
  config.topP = fields.number("top_p", 0, 1, config.topP);
  if (!fields.boolean("do_sample", true))
    config.temperature = 0;
  if (fields.number("repetition_penalty", 0, 1e6, 1.0) != 1)
    warnings.push_back(name + ": repetition_penalty is ignored");
  if (fields.has("min_p") && fields.number("min_p", 0, 1, 0.0) != 0)
    warnings.push_back(name + ": min_p is ignored; use --min-p when running");
  if (problems.first)
    return *problems.first;
  if (config.stop.empty())
    warnings.push_back(name + ": eos_token_id is empty; only -n ends a text");
  return Done{};
}

} // namespace

Result<GenerationConfig>
parseGenerationConfig(const std::string &text, const std::string &name,
                      const ModelConfig &model,
                      std::vector<std::string> &warnings) {
  try {
    GenerationConfig config = defaults();
    Status read = readGeneration(text, name, model.vocab, warnings, config);
    if (!read)
      return read.error();
    return config;
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

Result<GenerationConfig>
readGenerationConfig(const std::string &folder, const ModelConfig &model,
                     std::vector<std::string> &warnings) {
  try {
    GenerationConfig config = defaults();
    std::string modelPath = joinPath(folder, "config.json");
    Result<std::string> text = readFile(modelPath, generationBytes);
    if (!text)
      return text.error();
    Status read = readModelIds(*text, modelPath, model.vocab, config);
    if (!read)
      return read.error();
    std::string path = joinPath(folder, "generation_config.json");
    if (!hasFile(folder, "generation_config.json"))
      return config;
    text = readFile(path, generationBytes);
    if (!text)
      return text.error();
    read = readGeneration(*text, path, model.vocab, warnings, config);
    if (!read)
      return read.error();
    return config;
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources,
                     "{}: not enough memory to read its configuration", folder);
  }
}

} // namespace gemmac
