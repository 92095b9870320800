// The file of vision and audio towers that stands beside a model in GGUF form
// (mmproj, architecture "clip"): the canonical names of its tensors and the
// form of their values, and what its metadata says, completed by what belongs
// to the type of projector and is stored nowhere (docs/model/vision.md#6.2 and
// audio.md#8). Private to GgufModel; must not know MLIR or where tensors lie.
#pragma once

#include "codegen/StoredForm.h"
#include "compiler/importer/Config.h"
#include "compiler/importer/Failure.h"
#include "compiler/importer/Gguf.h"

#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

// A tensor of such a file as the checkpoint of transformers has it.
struct TowerTensor {
  std::string name; // canonical
  std::vector<int64_t> shape;
  StoredForm form;
};

// `shape` is that in the file, `unified` whether the file is of a model without
// towers (12B). A name that is not known becomes one of its tower that nothing
// asks for.
TowerTensor towerTensor(std::string_view name, std::vector<int64_t> shape,
                        bool unified);

// The name in such a file of a tower's tensor of that canonical name; one that
// has none as it is.
std::string ggufTowerName(std::string_view canonical);

struct Towers {
  bool unified = false;
  bool sees = false, hears = false; // what the file has, wanted or not
  std::optional<VisionConfig> vision;
  std::optional<AudioConfig> audio;
};

// For the decoder `text`, which `model` is. Throws Failure: another projector
// (Unsupported), towers of another model, sizes that the tensors contradict. Of
// a tower that is not wanted nothing is looked at.
Towers readTowers(const GgufHeader &header, const NamedFile &file,
                  const ModelConfig &text, const std::string &model,
                  const WantedMedia &wanted = {});

} // namespace gemmac
