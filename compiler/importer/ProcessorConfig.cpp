// processor_config.json and the files that older versions of transformers wrote
// instead -> the budgets of pictures and of the frames of films, as
// transformers 5.24 finds them. Must not know tensors or MLIR.
#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/File.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gemmac {
namespace {

constexpr uint64_t processorBytes = 16 << 20;

// The budgets that the models are trained for; transformers refuses others.
constexpr int64_t budgets[] = {70, 140, 280, 560, 1120};

std::optional<Json> readObject(const std::string &folder, const char *name) {
  if (!hasFile(folder, name))
    return {};
  NamedFile file{joinPath(folder, name)};
  Json root =
      orFail(parseJson(orFail(readFile(file.name, processorBytes)), file.name));
  if (!root.is_object())
    file.bad("expects an object, got {}", shown(root));
  return root;
}

// The budget in the first of the files that there is: the member `nested` of
// processor_config.json, then whole files. Without one `fallback`.
int64_t findBudget(const std::string &folder, const char *nested,
                   std::initializer_list<const char *> older,
                   int64_t fallback) {
  NamedFile file{joinPath(folder, "processor_config.json")};
  std::string prefix = std::string(nested) + ".";
  std::optional<Json> object = readObject(folder, "processor_config.json");
  if (object) {
    Json inner = member(*object, nested);
    object.reset();
    if (isGiven(inner))
      object = inner;
  }
  for (const char *name : older) {
    if (object)
      break;
    object = readObject(folder, name);
    file.name = joinPath(folder, name);
    prefix.clear();
  }
  if (!object)
    return fallback;
  Fields fields(*object, prefix, file);
  const char *key = "max_soft_tokens";
  if (!fields.has(key))
    return fallback;
  const int64_t budget = fields.integer(key, 1, limits::budget);
  if (std::find(std::begin(budgets), std::end(budgets), budget) ==
      std::end(budgets))
    file.unsupported("{} expects 70, 140, 280, 560 or 1120, got {}",
                     fields.called(key), budget);
  return budget;
}

} // namespace

Status readProcessorConfig(const std::string &folder, ModelConfig &model) {
  if (!model.vision)
    return Done{};
  return reading(folder, [&] {
    VisionConfig &vision = *model.vision;
    vision.budget = findBudget(folder, "image_processor",
                               {"preprocessor_config.json"}, vision.budget);
    vision.filmBudget = findBudget(
        folder, "video_processor",
        {"video_preprocessor_config.json", "preprocessor_config.json"},
        vision.filmBudget);
    return Done{};
  });
}

} // namespace gemmac
