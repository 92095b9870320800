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
      return refuse("{} expects sizes and offsets of at least 0, got {}",
                    tensor(), value);
    if (state == State::Offsets) {
      if (offsets == 2)
        return refuse("{} expects two data_offsets, got more", tensor());
      (offsets++ ? entries.back().end : entries.back().begin) = uint64_t(value);
      return true;
    }
    if (int64_t(entries.back().shape.size()) == safetensorsRank)
      return refuse("{} expects at most {} dimensions, got more", tensor(),
                    safetensorsRank);
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
      return refuse("{} has unknown dtype {}", tensor(), gemmac::quoted(value));
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
      return refuse("{} has unknown field {}", tensor(), gemmac::quoted(field));
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

  template <typename... T>
  bool refuse(fmt::format_string<T...> text, T &&...arguments) {
    problem = fmt::format(text, std::forward<T>(arguments)...);
    return false;
  }

  bool unexpected(const char *what) {
    switch (state) {
    case State::Start:
      return refuse("header expects an object, got {}", what);
    case State::Root:
      return refuse("entry {} expects an object, got {}", gemmac::quoted(field),
                    what);
    case State::Metadata:
      return refuse("__metadata__ expects strings, got {}", what);
    default:
      return refuse("{} has a wrong {}, got {}", tensor(),
                    gemmac::quoted(field), what);
    }
  }

  bool startTensor() {
    if (int64_t(entries.size()) == safetensorsTensors)
      return refuse("more than {} tensors", safetensorsTensors);
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
      return refuse("{} has no dtype", tensor());
    if (!hasShape)
      return refuse("{} has no shape", tensor());
    if (offsets != 2)
      return refuse("{} expects two data_offsets, got {}", tensor(), offsets);
    return true;
  }

  State state = State::Start;
  std::string field; // the key read last
  int offsets = 0;   // of the open tensor
  bool hasShape = false;
};

std::string range(const SafetensorsEntry &e) {
  return fmt::format("[{}, {})", e.begin, e.end);
}

std::string shapeText(const SafetensorsEntry &e) {
  std::string text = "[";
  for (size_t i = 0; i < e.shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(e.shape[i]);
  return text + "]";
}

template <typename... T>
Error bad(const std::string &name, fmt::format_string<T...> text,
          T &&...arguments) {
  return makeError(ExitCode::BadInput, "{}: {}", name,
                   fmt::format(text, std::forward<T>(arguments)...));
}

// dtype and shape must give the bytes between the offsets.
Status checkSize(const SafetensorsEntry &e, uint64_t dataBytes,
                 const std::string &name) {
  std::string tensor = "tensor " + gemmac::quoted(e.name);
  if (e.begin > e.end)
    return bad(name, "{} expects ascending data_offsets, got {}", tensor,
               range(e));
  if (e.end > dataBytes)
    return bad(name,
               "{} lies at {}, outside the data of {} bytes; is the file "
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
    return bad(name, "{} has an absurd shape {}", tensor, shapeText(e));
  if (bits % 8 || bits / 8 != e.end - e.begin)
    return bad(name, "{}: shape {} of {} expects {} bytes, got {} at {}",
               tensor, shapeText(e), e.type->name, bits / 8, e.end - e.begin,
               range(e));
  return Done{};
}

// Sorted entries must tile the data.
Status checkTiling(const std::vector<SafetensorsEntry> &entries,
                   uint64_t dataBytes, const std::string &name) {
  uint64_t at = 0;
  const SafetensorsEntry *previous = nullptr;
  for (const SafetensorsEntry &e : entries) {
    if (e.begin < at)
      return bad(name, "tensor {} at {} overlaps tensor {} at {}",
                 gemmac::quoted(e.name), range(e),
                 gemmac::quoted(previous->name), range(*previous));
    if (e.begin > at)
      return bad(name,
                 "{} bytes belong to no tensor, a hole before tensor {} at {}",
                 e.begin - at, gemmac::quoted(e.name), range(e));
    at = e.end;
    previous = &e;
  }
  if (at != dataBytes)
    return bad(name, "{} bytes after the last tensor belong to no tensor",
               dataBytes - at);
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
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

Result<SafetensorsHeader> parseSafetensors(std::string_view file,
                                           const std::string &name) {
  if (file.substr(0, 23) == "version https://git-lfs")
    return bad(name, "a git-lfs pointer, not the tensors; fetch them with "
                     "\"git lfs pull\"");
  if (file.size() < 8)
    return bad(name, "truncated: has {} bytes, expects a header length of 8",
               file.size());
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | uint8_t(file[size_t(i)]);
  if (length > file.size() - 8)
    return bad(name,
               "header length {} goes beyond the file of {} bytes; truncated, "
               "or not a safetensors file",
               length, file.size());
  if (length > safetensorsHeaderBytes)
    return bad(name, "header length {} is too long, expects at most {}", length,
               safetensorsHeaderBytes);
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
