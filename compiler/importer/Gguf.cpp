// The header of a GGUF file -> entries and tensors -> the checks that make them
// safe to follow. Must not know which keys or tensors a model has.
#include "compiler/importer/Gguf.h"

#include "compiler/importer/Json.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <charconv>
#include <cstdio>
#include <new>
#include <unordered_set>

namespace gemmac {
namespace {

const GgufTensorType types[] = {
    {0, "F32", 1, 4, SourceType::F32},
    {1, "F16", 1, 2, SourceType::F16},
    {2, "Q4_0", 32, 18, SourceType::Q4_0},
    {3, "Q4_1", 32, 20, SourceType::Q4_1},
    {6, "Q5_0", 32, 22, SourceType::Q5_0},
    {7, "Q5_1", 32, 24, SourceType::Q5_1},
    {8, "Q8_0", 32, 34, SourceType::Q8_0},
    {9, "Q8_1", 32, 36, SourceType::Other},
    {10, "Q2_K", 256, 84, SourceType::Other},
    {11, "Q3_K", 256, 110, SourceType::Other},
    {12, "Q4_K", 256, 144, SourceType::Q4_K},
    {13, "Q5_K", 256, 176, SourceType::Q5_K},
    {14, "Q6_K", 256, 210, SourceType::Q6_K},
    {15, "Q8_K", 256, 292, SourceType::Other},
    {16, "IQ2_XXS", 256, 66, SourceType::Other},
    {17, "IQ2_XS", 256, 74, SourceType::Other},
    {18, "IQ3_XXS", 256, 98, SourceType::Other},
    {19, "IQ1_S", 256, 50, SourceType::Other},
    {20, "IQ4_NL", 32, 18, SourceType::Other},
    {21, "IQ3_S", 256, 110, SourceType::Other},
    {22, "IQ2_S", 256, 82, SourceType::Other},
    {23, "IQ4_XS", 256, 136, SourceType::Other},
    {24, "I8", 1, 1, SourceType::Other},
    {25, "I16", 1, 2, SourceType::Other},
    {26, "I32", 1, 4, SourceType::Other},
    {27, "I64", 1, 8, SourceType::I64},
    {28, "F64", 1, 8, SourceType::Other},
    {29, "IQ1_M", 256, 56, SourceType::Other},
    {30, "BF16", 1, 2, SourceType::BF16},
    {34, "TQ1_0", 256, 54, SourceType::Other},
    {35, "TQ2_0", 256, 66, SourceType::Other},
    {39, "MXFP4", 32, 17, SourceType::Other},
};

enum : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64 };
constexpr uint32_t I64 = 11, F64 = 12;

// Bytes of a scalar; 0 for strings, arrays and unknown types.
uint64_t scalarBytes(uint32_t type) {
  constexpr uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type <= F64 ? bytes[type] : 0;
}

const char *typeName(uint32_t type) {
  constexpr const char *names[] = {"u8",  "i8",  "u16",  "i16",    "u32",
                                   "i32", "f32", "bool", "string", "array",
                                   "u64", "i64", "f64"};
  return type <= F64 ? names[type] : "unknown";
}

// 0x1.0c6f7a0b5ed8dp-20 as f32 is meant as 1e-6.
double shortest(float value) {
  char text[40];
  auto [end, error] = std::to_chars(text, text + sizeof text, value);
  double result = value;
  if (error == std::errc())
    std::from_chars(text, end, result);
  return result;
}

uint64_t littleEndian(const char *at, uint64_t bytes) {
  uint64_t bits = 0;
  for (uint64_t i = bytes; i-- > 0;)
    bits = bits << 8 | uint8_t(at[i]);
  return bits;
}

GgufValue scalar(uint32_t type, const char *at) {
  GgufValue value;
  value.type = type;
  uint64_t bytes = scalarBytes(type), bits = littleEndian(at, bytes);
  if (type == F32 || type == F64) {
    value.kind = GgufValue::Kind::Number;
    value.number = type == F32 ? shortest(std::bit_cast<float>(uint32_t(bits)))
                               : std::bit_cast<double>(bits);
    return value;
  }
  if (type == Bool) {
    value.kind = GgufValue::Kind::Bool;
    value.boolean = bits != 0;
    return value;
  }
  bool isSigned = type == I8 || type == I16 || type == I32 || type == I64;
  if (isSigned && bytes < 8)
    value.integer = int64_t(bits << (64 - 8 * bytes)) >> (64 - 8 * bytes);
  else
    value.integer = int64_t(bits);
  value.number = double(value.integer);
  if (type == U64 && value.integer < 0) {
    value.kind = GgufValue::Kind::Number;
    value.number = double(bits);
  }
  return value;
}

// Reads front to back; after the first problem everything reads as zero.
class Reader {
public:
  Reader(std::string_view file, const std::string &name)
      : file(file), name(name) {}

  Result<GgufHeader> read();

private:
  bool fail(ExitCode code, const std::string &what) {
    if (!problem)
      problem = Error{code, name + ": " + what};
    return false;
  }
  template <typename... T>
  bool fail(ExitCode code, fmt::format_string<T...> text, T &&...arguments) {
    return fail(code, fmt::format(text, std::forward<T>(arguments)...));
  }
  template <typename... T>
  bool bad(fmt::format_string<T...> text, T &&...arguments) {
    return fail(ExitCode::BadInput, text, std::forward<T>(arguments)...);
  }

  // `bytes` more bytes, which `what` needs.
  bool need(uint64_t bytes, const char *what) {
    if (problem)
      return false;
    if (bytes <= file.size() - at)
      return true;
    return bad(
        "truncated: {} at byte {} expects {} bytes, the file has {} more{}",
        what, at, bytes, file.size() - at, where());
  }
  uint64_t number(uint64_t bytes, const char *what) {
    if (!need(bytes, what))
      return 0;
    uint64_t value = littleEndian(file.data() + at, bytes);
    at += bytes;
    return value;
  }
  std::string_view string(const char *what) {
    uint64_t size = number(8, what);
    if (!need(size, what))
      return {};
    at += size;
    return file.substr(at - size, size);
  }
  std::string where() const {
    return current.empty()
               ? ""
               : " (in " + std::string(inTensors ? "tensor " : "key ") +
                     gemmac::quoted(current) + ")";
  }

  bool readStart(uint64_t &tensors, uint64_t &entries);
  bool readEntry();
  bool readValue(uint32_t type, GgufValue &value, int depth);
  bool readArray(GgufValue &value, int depth);
  bool readTensor();
  bool readShape(GgufTensor &tensor);
  bool readAlignment();
  bool placeTensors();
  bool checkOverlap();

  std::string_view file;
  const std::string &name;
  uint64_t at = 0, alignment = 32;
  std::string_view current; // key or tensor, for messages
  bool inTensors = false;
  std::unordered_set<std::string_view> seen;
  std::optional<Error> problem;
  GgufHeader header;
};

bool Reader::readStart(uint64_t &tensors, uint64_t &entries) {
  if (file.substr(0, 23) == "version https://git-lfs")
    return bad("a git-lfs pointer, not the model; fetch it with \"git lfs "
               "pull\"");
  if (file.size() < 4 || !isGguf(file))
    return bad("expects the magic \"GGUF\", got {}; not a GGUF file",
               gemmac::quoted(file.substr(0, 4)));
  at = 4;
  uint64_t version = number(4, "the version");
  if (problem)
    return false;
  if (!(version & 0xffff) && version)
    return fail(ExitCode::Unsupported,
                "is big endian; convert the model on a little-endian machine");
  if (version == 1)
    return fail(ExitCode::Unsupported,
                "has GGUF version 1, expects 2 or 3; convert the model again");
  if (version < 1 || version > 3)
    return fail(
        ExitCode::Unsupported,
        "has GGUF version {}, expects 2 or 3; gemmac may be too old for it",
        version);
  header.version = uint32_t(version);
  tensors = number(8, "the number of tensors");
  entries = number(8, "the number of metadata keys");
  // A tensor takes at least 33 bytes, a key 14.
  uint64_t left = problem ? 0 : file.size() - at;
  struct {
    const char *what;
    uint64_t count, most, bytes;
  } const counts[] = {{" tensors", tensors, ggufTensors, 33},
                      {" metadata keys", entries, ggufEntries, 14}};
  for (const auto &c : counts) {
    if (c.count > c.most)
      return bad("names {}{}, expects at most {}", c.count, c.what, c.most);
    if (c.count > left / c.bytes)
      return bad(
          "names {}{}, more than fit into its {} bytes; truncated or broken",
          c.count, c.what, file.size());
  }
  return !problem;
}

bool Reader::readArray(GgufValue &value, int depth) {
  value.kind = GgufValue::Kind::Array;
  value.element = uint32_t(number(4, "the type of an array"));
  value.count = number(8, "the size of an array");
  if (problem)
    return false;
  if (depth >= ggufDepth)
    return bad("arrays are nested deeper than {}{}", ggufDepth, where());
  uint64_t begin = at, bytes = scalarBytes(value.element);
  if (value.element > F64)
    return bad("array at byte {} expects elements of type 0 to 12, got {}{}",
               at - 12, value.element, where());
  if (bytes && value.count > (file.size() - at) / bytes)
    return bad("truncated: an array of {} {} at byte {} goes beyond the file "
               "of {} bytes{}",
               value.count, typeName(value.element), at, file.size(), where());
  if (bytes)
    at += bytes * value.count;
  GgufValue item;
  for (uint64_t i = 0; !bytes && i < value.count; ++i)
    if (!readValue(value.element, item, depth + 1))
      return false;
  value.text = file.substr(begin, at - begin);
  return true;
}

bool Reader::readValue(uint32_t type, GgufValue &value, int depth) {
  if (type == Array) {
    value.type = type;
    return readArray(value, depth);
  }
  if (type == String) {
    value.kind = GgufValue::Kind::String;
    value.type = type;
    value.text = string("a string");
    return !problem;
  }
  uint64_t bytes = scalarBytes(type);
  if (!bytes)
    return bad("value at byte {} expects type 0 to 12, got {}{}", at, type,
               where());
  if (!need(bytes, "a value"))
    return false;
  value = scalar(type, file.data() + at);
  at += bytes;
  return true;
}

bool Reader::readEntry() {
  GgufEntry entry;
  entry.key = string("a metadata key");
  if (problem)
    return false;
  current = entry.key;
  if (entry.key.empty() || entry.key.size() > 65535)
    return bad("metadata key at byte {} expects 1 to 65535 bytes, got {}",
               at - entry.key.size(), entry.key.size());
  if (!seen.insert(entry.key).second)
    return bad("metadata key {} stands twice", gemmac::quoted(entry.key));
  if (!readValue(uint32_t(number(4, "the type of a value")), entry.value, 0))
    return false;
  header.entries.push_back(std::move(entry));
  return true;
}

bool Reader::readShape(GgufTensor &tensor) {
  std::string what = "tensor " + gemmac::quoted(tensor.name);
  uint64_t rank = number(4, "the rank of a tensor");
  if (problem)
    return false;
  if (rank < 1 || rank > 4)
    return bad("{} expects 1 to 4 dimensions, got {}", what, rank);
  constexpr uint64_t most = uint64_t(1) << 50;
  uint64_t elements = 1;
  for (uint64_t i = 0; i < rank; ++i) {
    uint64_t size = number(8, "the size of a tensor");
    if (problem)
      return false;
    if (size < 1 || size > most || elements > most / size)
      return bad("{} expects sizes of at least 1 and at most 2^50 elements, "
                 "got size {} in dimension {}",
                 what, size, i);
    elements *= size;
    tensor.shape.insert(tensor.shape.begin(), int64_t(size));
  }
  uint32_t id = uint32_t(number(4, "the type of a tensor"));
  tensor.begin = number(8, "the offset of a tensor");
  if (problem)
    return false;
  tensor.type = findGgufTensorType(id);
  if (!tensor.type)
    return fail(ExitCode::Unsupported,
                "{} has the unknown type {}; supported are F32, F16, BF16, "
                "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K",
                what, id);
  if (uint64_t(tensor.shape.back()) % tensor.type->elements)
    return bad("{} of type {} expects rows of a multiple of {} values, got {}",
               what, tensor.type->name, tensor.type->elements,
               tensor.shape.back());
  tensor.end = elements / tensor.type->elements * tensor.type->bytes; // size
  return true;
}

bool Reader::readTensor() {
  GgufTensor tensor;
  tensor.name = string("the name of a tensor");
  if (problem)
    return false;
  current = tensor.name;
  if (tensor.name.empty() || tensor.name.size() > 255)
    return bad("name of tensor {} expects 1 to 255 bytes, got {}",
               header.tensors.size(), tensor.name.size());
  if (!seen.insert(tensor.name).second)
    return bad("tensor {} stands twice", gemmac::quoted(tensor.name));
  if (!readShape(tensor))
    return false;
  header.tensors.push_back(std::move(tensor));
  return true;
}

bool Reader::readAlignment() {
  const GgufValue *value = header.find("general.alignment");
  if (!value)
    return true;
  if (!value->is(GgufValue::Kind::Integer) || value->integer < 1 ||
      value->integer > 1 << 20 ||
      !std::has_single_bit(uint64_t(value->integer)))
    return bad("general.alignment expects a power of two up to 2^20, got {}",
               value->describe());
  alignment = uint64_t(value->integer);
  return true;
}

// Offsets in the data become places in the file.
bool Reader::placeTensors() {
  uint64_t start = (at + alignment - 1) / alignment * alignment;
  if (header.tensors.empty())
    return true;
  if (start > file.size())
    return bad("truncated: the data start at byte {}, the file has {}", start,
               file.size());
  uint64_t data = file.size() - start;
  for (GgufTensor &t : header.tensors) {
    uint64_t offset = t.begin, bytes = t.end;
    std::string what = "tensor " + gemmac::quoted(t.name);
    if (offset % alignment)
      return bad("{} expects an offset that is a multiple of {}, got {}", what,
                 alignment, offset);
    if (offset > data || bytes > data - offset)
      return bad("{} of {} bytes at offset {} goes beyond the data of {} "
                 "bytes; the file is truncated",
                 what, bytes, offset, data);
    t.begin = start + offset;
    t.end = t.begin + bytes;
  }
  return checkOverlap();
}

bool Reader::checkOverlap() {
  std::vector<const GgufTensor *> order;
  for (const GgufTensor &t : header.tensors)
    order.push_back(&t);
  std::sort(
      order.begin(), order.end(), [](const GgufTensor *a, const GgufTensor *b) {
        return a->begin != b->begin ? a->begin < b->begin : a->name < b->name;
      });
  auto range = [](const GgufTensor &t) {
    return fmt::format("bytes {}..{}", t.begin, t.end);
  };
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor &a = *order[i - 1], &b = *order[i];
    if (b.begin < a.end)
      return bad("tensor {} at {} overlaps tensor {} at {}",
                 gemmac::quoted(b.name), range(b), gemmac::quoted(a.name),
                 range(a));
    if (b.begin - a.end >= alignment)
      return bad("{} bytes belong to no tensor, a hole before tensor {} at {}",
                 b.begin - a.end, gemmac::quoted(b.name), range(b));
  }
  return true;
}

Result<GgufHeader> Reader::read() {
  uint64_t tensors = 0, entries = 0;
  bool good = readStart(tensors, entries);
  for (uint64_t i = 0; good && i < entries; ++i)
    good = readEntry();
  seen.clear();
  inTensors = true;
  current = {};
  good = good && readAlignment();
  for (uint64_t i = 0; good && i < tensors; ++i)
    good = readTensor();
  good = good && placeTensors();
  if (!good)
    return *problem;
  return std::move(header);
}

} // namespace

const GgufTensorType *findGgufTensorType(uint32_t id) {
  for (const GgufTensorType &type : types)
    if (type.id == id)
      return &type;
  return nullptr;
}

std::string GgufValue::describe() const {
  switch (kind) {
  case Kind::Integer:
    return std::to_string(integer);
  case Kind::Number: {
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.9g", number);
    return digits;
  }
  case Kind::Bool:
    return boolean ? "true" : "false";
  case Kind::String:
    return gemmac::quoted(text);
  case Kind::Array:
    break;
  }
  return fmt::format("an array of {} {}", count, typeName(element));
}

GgufValue GgufValue::item(uint64_t i) const {
  assert(kind == Kind::Array && i < count && scalarBytes(element));
  return scalar(element, text.data() + i * scalarBytes(element));
}

std::vector<std::string_view> GgufValue::strings() const {
  std::vector<std::string_view> list;
  if (kind != Kind::Array || element != String)
    return list;
  list.reserve(count);
  const char *at = text.data();
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t size = littleEndian(at, 8);
    list.emplace_back(at + 8, size);
    at += 8 + size;
  }
  return list;
}

const GgufValue *GgufHeader::find(std::string_view key) const {
  for (const GgufEntry &entry : entries)
    if (entry.key == key)
      return &entry.value;
  return nullptr;
}

bool isGguf(std::string_view file) { return file.substr(0, 4) == "GGUF"; }

Result<GgufHeader> parseGguf(std::string_view file, const std::string &name) {
  try {
    return Reader(file, name).read();
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

} // namespace gemmac
