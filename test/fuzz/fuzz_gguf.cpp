// Any bytes as a GGUF file: header, configuration, sampling defaults,
// tokenizer. What is accepted lies inside the file and does not overlap; all of
// it is read.
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/Tokenizer.h"
#include "runtime/app/tokenizer.h"

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

  // The model as a file in memory.
  int fd = memfd_create("m.gguf", 0);
  require(fd >= 0 && write(fd, data, size) == ssize_t(size));
  auto model = GgufModel::open("/proc/self/fd/" + std::to_string(fd));
  close(fd);
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
