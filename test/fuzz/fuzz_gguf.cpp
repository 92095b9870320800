// Any bytes as a GGUF file: header, configuration, sampling defaults,
// tokenizer; as a file of towers beside a model. What is accepted lies inside
// the file and does not overlap; all of it is read.
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/Tokenizer.h"
#include "runtime/app/tokenizer.h"
#include "test/compiler/importer/GgufBuilder.h"
#include "test/fuzz/check_media.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <unistd.h>

using namespace gemmac;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

void checkError(const Error &error) {
  require(!error.message.empty() && error.message.size() < 4000);
}

void checkTensors(const GgufHeader &header, size_t size) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const GgufTensor &t : header.tensors) {
    require(t.begin < t.end && t.end <= size && t.type && !t.name.empty());
    require(!t.shape.empty() && t.shape.size() <= 4);
    ranges.push_back({t.begin, t.end});
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i)
    require(ranges[i - 1].second <= ranges[i].first);
}

void tokenize(const GgufHeader &header, std::vector<std::string> &warnings) {
  const Json &tokens = header.find("tokenizer.ggml.tokens");
  auto blob =
      packGgufTokenizer(header, "m.gguf", int64_t(tokens.size()), warnings);
  if (!blob)
    return checkError(blob.error());
  if (!*blob)
    return;
  gm::Tokenizer tokenizer;
  const std::vector<uint8_t> &bytes = (*blob)->blob;
  require((*blob)->vocabulary.pieces <= int64_t(tokens.size()));
  require(tokenizer.open(bytes.data(), bytes.size()).empty());
  std::vector<int32_t> ids;
  tokenizer.encode("ab \n<eos>\xc3\xa9", true, ids);
  tokenizer.decode(ids.data(), ids.size(), true);
}

// Bytes as a file in memory while the object lives.
struct MemoryFile {
  MemoryFile(const void *data, size_t size) : fd(memfd_create("m.gguf", 0)) {
    require(fd >= 0 && write(fd, data, size) == ssize_t(size));
  }
  ~MemoryFile() { close(fd); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd); }
  const int fd;
};

void addTowers(const std::string &path) {
  static const std::string text = test::GgufBuilder().file();
  static const MemoryFile decoder(text.data(), text.size());
  auto model = GgufModel::open(decoder.path());
  require(bool(model));
  std::vector<std::string> warnings;
  Result<ModelConfig> config = readGgufConfig(**model, warnings);
  require(bool(config));
  Status done = (*model)->addTowers(path, *config);
  if (!done)
    return checkError(done.error());
  require(config->vision || config->audio);
  checkMedia(*config);
  for (const SourceTensor &tensor : (*model)->tensors()) {
    require((*model)->find(tensor.name) != nullptr);
    (*model)->nameInFile(tensor.name);
    (*model)->whyUnused(tensor);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  Result<GgufHeader> header = parseGguf(text, "m.gguf");
  if (!header) {
    checkError(header.error());
    return 0;
  }
  checkTensors(*header, size);
  require(!header->metadata->dump(-1, ' ', true, Json::error_handler_t::replace)
               .empty());
  std::vector<std::string> warnings;
  tokenize(*header, warnings);

  MemoryFile file(data, size);
  if (header->find("general.architecture") == "clip")
    addTowers(file.path());
  auto model = GgufModel::open(file.path());
  if (!model) {
    checkError(model.error());
    return 0;
  }
  Result<ModelConfig> config = readGgufConfig(**model, warnings);
  if (!config) {
    checkError(config.error());
    return 0;
  }
  require(int64_t(config->layer.size()) == config->layers);
  Result<GenerationConfig> generation =
      readGgufGeneration(**model, *config, warnings);
  if (!generation)
    checkError(generation.error());
  return 0;
}
