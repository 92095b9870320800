// Any bytes as a safetensors file, as the header of one (so that mutations need
// not keep the length right) and as an index of shards. What is accepted must
// tile the data; all of it is read, and its names are made canonical.
#include "compiler/importer/Safetensors.h"
#include "compiler/importer/TensorNames.h"

#include <cstdlib>

using namespace gemmac;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

void checkEntries(const std::vector<SafetensorsEntry> &entries,
                  uint64_t dataBytes) {
  uint64_t at = 0;
  for (const SafetensorsEntry &e : entries) {
    require(e.begin == at && e.end >= at && e.end <= dataBytes);
    require(e.type && !e.name.empty() && e.shape.size() <= 8);
    at = e.end;
  }
  require(at == dataBytes);
}

// Any name has a canonical one.
void checkNames(const std::vector<SafetensorsEntry> &entries) {
  std::vector<SourceTensor> tensors;
  for (const SafetensorsEntry &e : entries)
    tensors.push_back({.fileName = e.name});
  std::string prefix = decoderPrefix(tensors);
  for (const SafetensorsEntry &e : entries) {
    std::string name = canonicalName(e.name, prefix);
    require(name.size() <= e.name.size() + 16);
    if (auto expert = expertOf(name))
      require(expert->expert >= 0 && expert->stack.size() < name.size());
    (void)towerOf(name), (void)whyLeftOver(name);
  }
}

uint8_t sum(std::string_view bytes) {
  uint8_t total = 0;
  for (char c : bytes)
    total = uint8_t(total + uint8_t(c));
  return total;
}

// The largest end in the header, found as the largest number in the text: with
// that as the size of the data most mutated headers get past the first checks.
uint64_t largestNumber(std::string_view text) {
  uint64_t largest = 0, number = 0;
  for (char c : text) {
    bool digit = c >= '0' && c <= '9';
    number = digit && number < 1000000000 ? number * 10 + uint64_t(c - '0') : 0;
    largest = number > largest ? number : largest;
  }
  return largest;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  volatile uint8_t sink = 0;
  Result<SafetensorsHeader> file = parseSafetensors(text, "m.safetensors");
  if (file) {
    checkEntries(file->entries, size - file->dataStart);
    for (const SafetensorsEntry &e : file->entries)
      sink = sum(text.substr(file->dataStart + e.begin, e.end - e.begin));
  } else {
    require(file.error().message.size() < 2000);
  }
  std::string_view json = size > 8 ? text.substr(8) : text;
  uint64_t dataBytes = largestNumber(json);
  Result<std::vector<SafetensorsEntry>> header =
      parseSafetensorsHeader(json, dataBytes, "m.safetensors");
  if (header) {
    checkEntries(*header, dataBytes);
    checkNames(*header);
  }

  Result<ShardIndex> index = parseShardIndex(text, "index.json");
  if (index)
    for (size_t i = 0; i < index->tensors.size(); ++i) {
      require(index->tensors[i].shard < index->shards.size());
      require(i == 0 || index->tensors[i - 1].name < index->tensors[i].name);
    }
  (void)sink;
  return 0;
}
