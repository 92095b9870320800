// The safetensors header: JSON events -> entries -> the checks that make them
// safe to follow. The index of shards is in ShardIndex.cpp. Must not know which
// tensors a model has.
#include "compiler/importer/Safetensors.h"

#include "compiler/importer/Json.h"

#include <algorithm>
#include <new>

namespace gemmac {
namespace {

const SafetensorsType types[] = {
    {"BF16", 16, SourceType::BF16},    {"BOOL", 8, SourceType::Other},
    {"C64", 64, SourceType::Other},    {"F16", 16, SourceType::F16},
    {"F32", 32, SourceType::F32},      {"F4", 4, SourceType::Other},
    {"F64", 64, SourceType::Other},    {"F6_E2M3", 6, SourceType::Other},
    {"F6_E3M2", 6, SourceType::Other}, {"F8_E4M3", 8, SourceType::Other},
    {"F8_E5M2", 8, SourceType::Other}, {"F8_E8M0", 8, SourceType::Other},
    {"I16", 16, SourceType::Other},    {"I32", 32, SourceType::Other},
    {"I64", 64, SourceType::I64},      {"I8", 8, SourceType::Other},
    {"U16", 16, SourceType::Other},    {"U32", 32, SourceType::Other},
    {"U64", 64, SourceType::Other},    {"U8", 8, SourceType::Other},
};

// {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, ...,
//  "__metadata__": {"key": "text"}}
class HeaderBuilder : public JsonEvents {
public:
  std::vector<SafetensorsEntry> entries;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number(double) override { return unexpected("a number"); }

  bool integer(int64_t value) override {
    if (state != State::Shape && state != State::Offsets)
      return unexpected("an integer");
    if (value < 0)
      return refuse(tensor() +
                    " expects sizes and offsets of at least 0, got " +
                    std::to_string(value));
    if (state == State::Offsets) {
      if (offsets == 2)
        return refuse(tensor() + " expects two data_offsets, got more");
      (offsets++ ? entries.back().end : entries.back().begin) = uint64_t(value);
      return true;
    }
    if (int64_t(entries.back().shape.size()) == safetensorsRank)
      return refuse(tensor() + " expects at most " +
                    std::to_string(safetensorsRank) + " dimensions, got more");
    entries.back().shape.push_back(value);
    return true;
  }

  bool string(std::string &value) override {
    if (state == State::Metadata)
      return true;
    if (state != State::Tensor || field != "dtype")
      return unexpected("a string");
    entries.back().type = findSafetensorsType(value);
    if (!entries.back().type)
      return refuse(tensor() + " has unknown dtype " + gemmac::quoted(value));
    return true;
  }

  bool startObject() override {
    switch (state) {
    case State::Start:
      state = State::Root;
      return true;
    case State::Root:
      if (field == "__metadata__") {
        state = State::Metadata;
        return true;
      }
      return startTensor();
    default:
      return unexpected("an object");
    }
  }

  bool key(std::string &value) override {
    field = std::move(value);
    if (state == State::Tensor && field != "dtype" && field != "shape" &&
        field != "data_offsets")
      return refuse(tensor() + " has unknown field " + gemmac::quoted(field));
    return true;
  }

  bool endObject() override {
    if (state == State::Tensor && !finishTensor())
      return false;
    state = State::Root;
    return true;
  }

  bool startArray() override {
    if (state == State::Tensor && field == "shape") {
      hasShape = true;
      state = State::Shape;
      return true;
    }
    if (state == State::Tensor && field == "data_offsets") {
      state = State::Offsets;
      return true;
    }
    return unexpected("an array");
  }

  bool endArray() override {
    state = State::Tensor;
    return true;
  }

private:
  enum class State { Start, Root, Metadata, Tensor, Shape, Offsets };

  std::string tensor() const {
    return "tensor " + gemmac::quoted(entries.back().name);
  }

  bool refuse(std::string why) {
    problem = std::move(why);
    return false;
  }

  bool unexpected(const char *what) {
    switch (state) {
    case State::Start:
      return refuse(std::string("header expects an object, got ") + what);
    case State::Root:
      return refuse("entry " + gemmac::quoted(field) +
                    " expects an object, got " + what);
    case State::Metadata:
      return refuse("__metadata__ expects strings, got " + std::string(what));
    default:
      return refuse(tensor() + " has a wrong " + gemmac::quoted(field) +
                    ", got " + what);
    }
  }

  bool startTensor() {
    if (int64_t(entries.size()) == safetensorsTensors)
      return refuse("more than " + std::to_string(safetensorsTensors) +
                    " tensors");
    if (field.empty())
      return refuse("a tensor without a name");
    entries.emplace_back().name = std::move(field);
    offsets = 0;
    hasShape = false;
    state = State::Tensor;
    return true;
  }

  bool finishTensor() {
    if (!entries.back().type)
      return refuse(tensor() + " has no dtype");
    if (!hasShape)
      return refuse(tensor() + " has no shape");
    if (offsets != 2)
      return refuse(tensor() + " expects two data_offsets, got " +
                    std::to_string(offsets));
    return true;
  }

  State state = State::Start;
  std::string field; // the key read last
  int offsets = 0;   // of the open tensor
  bool hasShape = false;
};

std::string range(const SafetensorsEntry &e) {
  return "[" + std::to_string(e.begin) + ", " + std::to_string(e.end) + ")";
}

std::string shapeText(const SafetensorsEntry &e) {
  std::string text = "[";
  for (size_t i = 0; i < e.shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(e.shape[i]);
  return text + "]";
}

Error bad(const std::string &name, const std::string &what) {
  return {ExitCode::BadInput, name + ": " + what};
}

// dtype and shape must give the bytes between the offsets.
Status checkSize(const SafetensorsEntry &e, uint64_t dataBytes,
                 const std::string &name) {
  std::string tensor = "tensor " + gemmac::quoted(e.name);
  if (e.begin > e.end)
    return bad(name,
               tensor + " expects ascending data_offsets, got " + range(e));
  if (e.end > dataBytes)
    return bad(name, tensor + " lies at " + range(e) +
                         ", outside the data of " + std::to_string(dataBytes) +
                         " bytes; is the file truncated? fetch it again");
  uint64_t bits = uint64_t(e.type->bits);
  bool overflow = false;
  bool empty = std::find(e.shape.begin(), e.shape.end(), 0) != e.shape.end();
  for (int64_t n : e.shape)
    overflow |= __builtin_mul_overflow(bits, uint64_t(n), &bits);
  if (empty)
    bits = 0;
  else if (overflow)
    return bad(name, tensor + " has an absurd shape " + shapeText(e));
  if (bits % 8 || bits / 8 != e.end - e.begin)
    return bad(name, tensor + ": shape " + shapeText(e) + " of " +
                         e.type->name + " expects " + std::to_string(bits / 8) +
                         " bytes, got " + std::to_string(e.end - e.begin) +
                         " at " + range(e));
  return Done{};
}

// Sorted entries must tile the data.
Status checkTiling(const std::vector<SafetensorsEntry> &entries,
                   uint64_t dataBytes, const std::string &name) {
  uint64_t at = 0;
  const SafetensorsEntry *previous = nullptr;
  for (const SafetensorsEntry &e : entries) {
    if (e.begin < at)
      return bad(name, "tensor " + gemmac::quoted(e.name) + " at " + range(e) +
                           " overlaps tensor " +
                           gemmac::quoted(previous->name) + " at " +
                           range(*previous));
    if (e.begin > at)
      return bad(name, std::to_string(e.begin - at) +
                           " bytes belong to no tensor, a hole before tensor " +
                           gemmac::quoted(e.name) + " at " + range(e));
    at = e.end;
    previous = &e;
  }
  if (at != dataBytes)
    return bad(name, std::to_string(dataBytes - at) +
                         " bytes after the last tensor belong to no tensor");
  return Done{};
}

} // namespace

const SafetensorsType *findSafetensorsType(std::string_view name) {
  for (const SafetensorsType &type : types)
    if (name == type.name)
      return &type;
  return nullptr;
}

const char *sourceTypeName(SourceType type) {
  for (const SafetensorsType &t : types)
    if (t.type == type && type != SourceType::Other)
      return t.name;
  return "other";
}

Result<std::vector<SafetensorsEntry>>
parseSafetensorsHeader(std::string_view json, uint64_t dataBytes,
                       const std::string &name) {
  try {
    HeaderBuilder builder;
    Status read = readJson(json, name, builder, 8);
    if (!read)
      return read.error();
    std::vector<SafetensorsEntry> entries = std::move(builder.entries);
    for (const SafetensorsEntry &e : entries) {
      Status good = checkSize(e, dataBytes, name);
      if (!good)
        return good.error();
    }
    std::sort(entries.begin(), entries.end(),
              [](const SafetensorsEntry &a, const SafetensorsEntry &b) {
                if (a.begin != b.begin)
                  return a.begin < b.begin;
                return a.end != b.end ? a.end < b.end : a.name < b.name;
              });
    Status good = checkTiling(entries, dataBytes, name);
    if (!good)
      return good.error();
    return entries;
  } catch (const std::bad_alloc &) {
    return Error{ExitCode::Resources, name + ": not enough memory to read it"};
  }
}

Result<SafetensorsHeader> parseSafetensors(std::string_view file,
                                           const std::string &name) {
  if (file.substr(0, 23) == "version https://git-lfs")
    return bad(name, "a git-lfs pointer, not the tensors; fetch them with "
                     "\"git lfs pull\"");
  if (file.size() < 8)
    return bad(name, "truncated: has " + std::to_string(file.size()) +
                         " bytes, expects a header length of 8");
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | uint8_t(file[size_t(i)]);
  if (length > file.size() - 8)
    return bad(name, "header length " + std::to_string(length) +
                         " goes beyond the file of " +
                         std::to_string(file.size()) +
                         " bytes; truncated, or not a safetensors file");
  if (length > safetensorsHeaderBytes)
    return bad(name, "header length " + std::to_string(length) +
                         " is too long, expects at most " +
                         std::to_string(safetensorsHeaderBytes));
  SafetensorsHeader header;
  header.dataStart = 8 + length;
  Result<std::vector<SafetensorsEntry>> entries = parseSafetensorsHeader(
      file.substr(8, length), file.size() - header.dataStart, name);
  if (!entries)
    return entries.error();
  header.entries = std::move(*entries);
  return header;
}

} // namespace gemmac
