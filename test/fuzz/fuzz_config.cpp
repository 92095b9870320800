// Any text as config.json, generation_config.json and processor_config.json.
// Besides not crashing, what is accepted must keep the promises that later code
// relies on.
#include "compiler/importer/Config.h"
#include "test/fuzz/check_media.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

using namespace gemmac;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

void checkModel(const ModelConfig &m) {
  require(m.layers >= 1 && m.layers <= 1024);
  require(int64_t(m.layer.size()) == m.layers);
  require(m.hidden >= 1 && m.heads >= 1 && m.vocab >= 16 && m.window >= 1);
  require(m.embedScale > 0 && m.eps > 0 && m.softcap >= 0);
  require(m.experts == 0 || (m.topExperts >= 1 && m.topExperts <= m.experts));
  require(m.experts == 0 || m.expertFfn >= 1);
  require(m.pleWidth == 0 || m.pleVocab >= 1);
  require(m.layer.back().global && m.layer[0].ownsKv);
  for (int64_t i = 0; i < m.layers; ++i) {
    const LayerConfig &l = m.layer[size_t(i)];
    const LayerConfig &donor = m.layer.at(size_t(l.donor));
    const RopeConfig &rope = l.global ? m.globalRope : m.localRope;
    require(l.headDim >= 2 && l.headDim % 2 == 0 && l.ffn >= 1);
    require(l.kvHeads >= 1 && m.heads % l.kvHeads == 0);
    require(donor.ownsKv && donor.global == l.global && l.donor <= i);
    require(donor.headDim == l.headDim && donor.kvHeads == l.kvHeads);
    require(l.ownsKv == (l.donor == i));
    require(rope.dim == l.headDim && rope.theta >= 1);
    require(rope.pairs >= 1 && rope.pairs <= rope.dim / 2);
  }
}

void checkGeneration(const GenerationConfig &g, int64_t vocab) {
  require(g.temperature >= 0 && g.topK >= 0 && g.topP >= 0 && g.topP <= 1 &&
          g.minP >= 0 && g.minP <= 1);
  for (const std::vector<int64_t> *ids : {&g.stop, &g.suppress})
    for (size_t i = 0; i < ids->size(); ++i)
      require((*ids)[i] >= 0 && (*ids)[i] < vocab &&
              (i == 0 || (*ids)[i] > (*ids)[i - 1]));
}

// Where processor_config.json is; goes away with the program.
struct Folder {
  Folder() {
    path = (std::filesystem::temp_directory_path() / "fuzz-config-XXXXXX")
               .string();
    require(mkdtemp(path.data()) != nullptr);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

void checkProcessor(const std::string &text) {
  static const Folder folder;
  FILE *file =
      std::fopen((folder.path + "/processor_config.json").c_str(), "w");
  require(file &&
          std::fwrite(text.data(), 1, text.size(), file) == text.size());
  std::fclose(file);
  ModelConfig model;
  VisionConfig &vision = model.vision.emplace();
  vision.tower = false;
  vision.width = vision.output = vision.positions = 1;
  if (Status done = readProcessorConfig(folder.path, model); !done)
    require(!done.error().message.empty());
  checkMedia(model);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  std::vector<std::string> warnings;
  Result<ModelConfig> model = parseModelConfig(text, "config.json", warnings);
  if (model)
    checkModel(*model), checkMedia(*model);
  else
    require(!model.error().message.empty() &&
            model.error().message.size() < 2000);
  ModelConfig plain;
  plain.vocab = 262144;
  Result<GenerationConfig> generation =
      parseGenerationConfig(text, "generation_config.json", plain, warnings);
  if (generation)
    checkGeneration(*generation, plain.vocab);
  checkProcessor(text);
  return 0;
}
