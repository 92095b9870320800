// The safetensors header: JSON -> entries -> the checks that make them safe to
// follow. The index of shards is in ShardIndex.cpp. Must not know which tensors
// a model has.
#include "compiler/importer/Safetensors.h"

#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gemmac {
namespace {

const SafetensorsType types[] = {
    {"BF16", 16, SourceType::BF16},
    {"BOOL", 8, SourceType::Other},
    {"C64", 64, SourceType::Other},
    {"F16", 16, SourceType::F16},
    {"F32", 32, SourceType::F32},
    {"F4", 4, SourceType::Other},
    {"F64", 64, SourceType::Other},
    {"F6_E2M3", 6, SourceType::Other},
    {"F6_E3M2", 6, SourceType::Other},
    {"F8_E4M3", 8, SourceType::Other},
    {"F8_E5M2", 8, SourceType::Other},
    {"F8_E8M0", 8, SourceType::Other},
    {"F8_E4M3FNUZ", 8, SourceType::Other},
    {"F8_E5M2FNUZ", 8, SourceType::Other},
    {"I16", 16, SourceType::Other},
    {"I32", 32, SourceType::Other},
    {"I64", 64, SourceType::I64},
    {"I8", 8, SourceType::Other},
    {"U16", 16, SourceType::Other},
    {"U32", 32, SourceType::Other},
    {"U64", 64, SourceType::Other},
    {"U8", 8, SourceType::Other},
};

// The sizes or offsets in the field `key` of a tensor.
std::vector<int64_t> readSizes(const Json &tensor, const char *key,
                               const std::string &called,
                               const NamedFile &file) {
  const Json &list = tensor[key];
  if (!list.is_array())
    file.bad("{} expects an array as {}, got {}", called, key, shown(list));
  std::vector<int64_t> sizes;
  for (const Json &item : list)
    if (item.is_number_integer() && item.get<int64_t>() >= 0)
      sizes.push_back(item.get<int64_t>());
    else
      file.bad("{} expects integers of at least 0 as {}, got {}", called, key,
               shown(item));
  return sizes;
}

// {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
SafetensorsEntry readEntry(const std::string &name, const Json &value,
                           const NamedFile &file) {
  std::string called = "tensor " + gemmac::quoted(name);
  if (name.empty())
    file.bad("a tensor without a name");
  if (!value.is_object())
    file.bad("{} expects an object, got {}", called, shown(value));
  for (std::string_view field : {"dtype", "shape", "data_offsets"})
    if (!value.contains(field))
      file.bad("{} has no {}", called, field);
  SafetensorsEntry entry;
  entry.name = name;
  const Json &type = value["dtype"];
  if (type.is_string())
    entry.type = findSafetensorsType(type.get_ref<const std::string &>());
  if (!entry.type)
    file.bad("{} has unknown dtype {}", called, shown(type));
  entry.shape = readSizes(value, "shape", called, file);
  if (entry.shape.size() > safetensorsRank)
    file.bad("{} expects at most {} dimensions, got {}", called,
             safetensorsRank, entry.shape.size());
  std::vector<int64_t> offsets = readSizes(value, "data_offsets", called, file);
  if (offsets.size() != 2)
    file.bad("{} expects two data_offsets, got {}", called, offsets.size());
  entry.begin = uint64_t(offsets[0]);
  entry.end = uint64_t(offsets[1]);
  return entry;
}

std::string range(const SafetensorsEntry &e) {
  return fmt::format("[{}, {})", e.begin, e.end);
}

// dtype and shape must give the bytes between the offsets.
void checkSize(const SafetensorsEntry &e, uint64_t dataBytes,
               const NamedFile &file) {
  std::string tensor = "tensor " + gemmac::quoted(e.name);
  if (e.begin > e.end)
    file.bad("{} expects ascending data_offsets, got {}", tensor, range(e));
  if (e.end > dataBytes)
    file.bad("{} lies at {}, outside the data of {} bytes; is the file "
             "truncated? fetch it again",
             tensor, range(e), dataBytes);
  uint64_t bits = uint64_t(e.type->bits);
  bool overflow = false;
  bool empty = std::find(e.shape.begin(), e.shape.end(), 0) != e.shape.end();
  for (int64_t n : e.shape)
    overflow |= __builtin_mul_overflow(bits, uint64_t(n), &bits);
  if (empty)
    bits = 0;
  else if (overflow)
    file.bad("{} has an absurd shape {}", tensor, shapeText(e.shape));
  if (bits % 8 || bits / 8 != e.end - e.begin)
    file.bad("{}: shape {} of {} expects {} bytes, got {} at {}", tensor,
             shapeText(e.shape), e.type->name, bits / 8, e.end - e.begin,
             range(e));
}

// Sorted entries must tile the data.
void checkTiling(const std::vector<SafetensorsEntry> &entries,
                 uint64_t dataBytes, const NamedFile &file) {
  uint64_t at = 0;
  const SafetensorsEntry *previous = nullptr;
  for (const SafetensorsEntry &e : entries) {
    if (e.begin < at)
      file.bad("tensor {} at {} overlaps tensor {} at {}",
               gemmac::quoted(e.name), range(e), gemmac::quoted(previous->name),
               range(*previous));
    if (e.begin > at)
      file.bad("{} bytes belong to no tensor, a hole before tensor {} at {}",
               e.begin - at, gemmac::quoted(e.name), range(e));
    at = e.end;
    previous = &e;
  }
  if (at != dataBytes)
    file.bad("{} bytes after the last tensor belong to no tensor",
             dataBytes - at);
}

} // namespace

const SafetensorsType *findSafetensorsType(std::string_view name) {
  for (const SafetensorsType &type : types)
    if (name == type.name)
      return &type;
  return nullptr;
}

Result<std::vector<SafetensorsEntry>>
parseSafetensorsHeader(std::string_view json, uint64_t dataBytes,
                       const std::string &name) {
  return reading(name, [&] {
    NamedFile file{name};
    const Json header = orFail(parseJson(json, name, mostJsonValues, 8));
    if (!header.is_object())
      file.bad("header expects an object, got {}", shown(header));
    if (header.size() > safetensorsTensors)
      file.bad("more than {} tensors", safetensorsTensors);
    std::vector<SafetensorsEntry> entries;
    for (const auto &[key, value] : header.items()) {
      if (key != "__metadata__") {
        entries.push_back(readEntry(key, value, file));
        checkSize(entries.back(), dataBytes, file);
      } else if (!value.is_object() ||
                 !std::all_of(value.begin(), value.end(),
                              [](auto &text) { return text.is_string(); })) {
        file.bad("__metadata__ expects an object of strings");
      }
    }
    std::sort(entries.begin(), entries.end(),
              [](const SafetensorsEntry &a, const SafetensorsEntry &b) {
                return std::tie(a.begin, a.end, a.name) <
                       std::tie(b.begin, b.end, b.name);
              });
    checkTiling(entries, dataBytes, file);
    return entries;
  });
}

Result<SafetensorsHeader> parseSafetensors(std::string_view file,
                                           const std::string &name) {
  return reading(name, [&] {
    NamedFile in{name};
    if (file.size() < 8)
      in.bad("truncated: has {} bytes, expects a header length of 8",
             file.size());
    uint64_t length = 0;
    for (int i = 7; i >= 0; --i)
      length = length << 8 | uint8_t(file[size_t(i)]);
    if (length > file.size() - 8)
      in.bad("header length {} goes beyond the file of {} bytes; truncated, or "
             "not a safetensors file",
             length, file.size());
    if (length > safetensorsHeaderBytes)
      in.bad("header length {} is too long, expects at most {}", length,
             safetensorsHeaderBytes);
    SafetensorsHeader header;
    header.dataStart = 8 + length;
    header.entries = orFail(parseSafetensorsHeader(
        file.substr(8, length), file.size() - header.dataStart, name));
    return header;
  });
}

} // namespace gemmac
