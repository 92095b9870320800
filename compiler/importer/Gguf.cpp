// The header of a GGUF file -> entries and tensors -> the checks that make them
// safe to follow. Must not know which keys or tensors a model has.
#include "compiler/importer/Gguf.h"

#include "compiler/importer/Failure.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
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
    {40, "NVFP4", 64, 36, SourceType::Other},
    {41, "Q1_0", 128, 18, SourceType::Other},
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

Json scalar(uint32_t type, const char *at) {
  uint64_t bytes = scalarBytes(type), bits = littleEndian(at, bytes);
  if (type == F32)
    return shortest(std::bit_cast<float>(uint32_t(bits)));
  if (type == F64)
    return std::bit_cast<double>(bits);
  if (type == Bool)
    return bits != 0;
  bool isSigned = type == I8 || type == I16 || type == I32 || type == I64;
  if (isSigned)
    return int64_t(bits << (64 - 8 * bytes)) >> (64 - 8 * bytes);
  return int64_t(bits) < 0 ? Json(double(bits)) : Json(int64_t(bits));
}

// Reads front to back.
class Reader : NamedFile {
public:
  Reader(std::string_view file, const std::string &name)
      : NamedFile{name}, file(file) {}

  GgufHeader read();

private:
  // `bytes` more bytes, which `what` needs.
  void need(uint64_t bytes, const char *what) {
    if (bytes > file.size() - at)
      bad("truncated: {} at byte {} expects {} bytes, the file has {} more{}",
          what, at, bytes, file.size() - at, where());
  }
  uint64_t number(uint64_t bytes, const char *what) {
    need(bytes, what);
    at += bytes;
    return littleEndian(file.data() + at - bytes, bytes);
  }
  std::string_view string(const char *what) {
    uint64_t size = number(8, what);
    need(size, what);
    at += size;
    return file.substr(at - size, size);
  }
  std::string where() const {
    return current.empty()
               ? ""
               : " (in " + std::string(inTensors ? "tensor " : "key ") +
                     gemmac::quoted(current) + ")";
  }

  void readStart(uint64_t &tensors, uint64_t &entries);
  void readEntry(Json::object_t &entries);
  Json readValue(uint32_t type, int depth);
  Json readArray(int depth);
  void readTensor();
  void readShape(GgufTensor &tensor);
  void readAlignment();
  void placeTensors();
  void checkOverlap();

  std::string_view file;
  uint64_t at = 0, alignment = 32, values = 0;
  std::string_view current; // key or tensor, for messages
  bool inTensors = false;
  std::unordered_set<std::string_view> seen; // tensors
  GgufHeader header;
};

void Reader::readStart(uint64_t &tensors, uint64_t &entries) {
  if (file.size() < 4 || !isGguf(file))
    bad("expects the magic \"GGUF\", got {}; not a GGUF file",
        gemmac::quoted(file.substr(0, 4)));
  at = 4;
  uint64_t version = number(4, "the version");
  if (!(version & 0xffff) && version)
    unsupported("is big endian; convert the model on a little-endian machine");
  if (version == 1)
    unsupported("has GGUF version 1, expects 2 or 3; convert the model again");
  if (version < 1 || version > 3)
    unsupported(
        "has GGUF version {}, expects 2 or 3; gemmac may be too old for it",
        version);
  header.version = uint32_t(version);
  tensors = number(8, "the number of tensors");
  entries = number(8, "the number of metadata keys");
  // A tensor takes at least 33 bytes, a key 14.
  uint64_t left = file.size() - at;
  struct {
    const char *what;
    uint64_t count, most, bytes;
  } const counts[] = {{" tensors", tensors, ggufTensors, 33},
                      {" metadata keys", entries, ggufEntries, 14}};
  for (const auto &c : counts) {
    if (c.count > c.most)
      bad("names {}{}, expects at most {}", c.count, c.what, c.most);
    if (c.count > left / c.bytes)
      bad("names {}{}, more than fit into its {} bytes; truncated or broken",
          c.count, c.what, file.size());
  }
}

Json Reader::readArray(int depth) {
  auto type = uint32_t(number(4, "the type of an array"));
  uint64_t count = number(8, "the size of an array");
  if (depth >= ggufDepth)
    bad("arrays are nested deeper than {}{}", ggufDepth, where());
  if (type > F64)
    bad("array at byte {} expects elements of type 0 to 12, got {}{}", at - 12,
        type, where());
  // A string takes at least 8 bytes, an array 12.
  uint64_t bytes = type == String ? 8 : type == Array ? 12 : scalarBytes(type);
  if (count > (file.size() - at) / bytes)
    bad("truncated: an array of {} {} at byte {} goes beyond the file of {} "
        "bytes{}",
        count, typeName(type), at, file.size(), where());
  if ((values += count) > ggufValues)
    bad("arrays have more than {} elements in all{}", ggufValues, where());
  Json array = Json::array();
  for (uint64_t i = 0; i < count; ++i)
    array.push_back(readValue(type, depth + 1));
  return array;
}

Json Reader::readValue(uint32_t type, int depth) {
  if (type == Array)
    return readArray(depth);
  if (type == String)
    return std::string(string("a string"));
  uint64_t bytes = scalarBytes(type);
  if (!bytes)
    bad("value at byte {} expects type 0 to 12, got {}{}", at, type, where());
  need(bytes, "a value");
  at += bytes;
  return scalar(type, file.data() + at - bytes);
}

void Reader::readEntry(Json::object_t &entries) {
  current = {};
  std::string_view key = current = string("a metadata key");
  if (key.empty() || key.size() > 65535)
    bad("metadata key at byte {} expects 1 to 65535 bytes, got {}",
        at - key.size(), key.size());
  auto [place, fresh] = entries.emplace(key, nullptr);
  if (!fresh)
    bad("metadata key {} stands twice", gemmac::quoted(key));
  place->second = readValue(uint32_t(number(4, "the type of a value")), 0);
}

void Reader::readShape(GgufTensor &tensor) {
  std::string what = "tensor " + gemmac::quoted(tensor.name);
  uint64_t rank = number(4, "the rank of a tensor");
  if (rank < 1 || rank > 4)
    bad("{} expects 1 to 4 dimensions, got {}", what, rank);
  constexpr uint64_t most = uint64_t(1) << 50;
  uint64_t elements = 1;
  for (uint64_t i = 0; i < rank; ++i) {
    uint64_t size = number(8, "the size of a tensor");
    if (size < 1 || size > most || elements > most / size)
      bad("{} expects sizes of at least 1 and at most 2^50 elements, got size "
          "{} in dimension {}",
          what, size, i);
    elements *= size;
    tensor.shape.insert(tensor.shape.begin(), int64_t(size));
  }
  auto id = uint32_t(number(4, "the type of a tensor"));
  tensor.begin = number(8, "the offset of a tensor");
  tensor.type = findGgufTensorType(id);
  if (!tensor.type)
    unsupported("{} has the unknown type {}; gemmac may be too old for it, "
                "supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, "
                "Q4_K, Q5_K and Q6_K",
                what, id);
  if (uint64_t(tensor.shape.back()) % tensor.type->elements)
    bad("{} of type {} expects rows of a multiple of {} values, got {}", what,
        tensor.type->name, tensor.type->elements, tensor.shape.back());
  tensor.end = elements / tensor.type->elements * tensor.type->bytes; // size
}

void Reader::readTensor() {
  GgufTensor tensor;
  current = {};
  tensor.name = current = string("the name of a tensor");
  if (tensor.name.empty() || tensor.name.size() > 255)
    bad("name of tensor {} expects 1 to 255 bytes, got {}",
        header.tensors.size(), tensor.name.size());
  if (!seen.insert(tensor.name).second)
    bad("tensor {} stands twice", gemmac::quoted(tensor.name));
  readShape(tensor);
  header.tensors.push_back(std::move(tensor));
}

void Reader::readAlignment() {
  const Json &value = header.find("general.alignment");
  if (value.is_discarded())
    return;
  auto bytes = value.is_number_integer() ? value.get<int64_t>() : 0;
  if (bytes < 1 || bytes > 1 << 20 || !std::has_single_bit(uint64_t(bytes)))
    bad("general.alignment expects a power of two up to 2^20, got {}",
        shown(value));
  alignment = uint64_t(bytes);
}

// Offsets in the data become places in the file.
void Reader::placeTensors() {
  uint64_t start = (at + alignment - 1) / alignment * alignment;
  if (header.tensors.empty())
    return;
  if (start > file.size())
    bad("truncated: the data start at byte {}, the file has {}", start,
        file.size());
  uint64_t data = file.size() - start;
  for (GgufTensor &t : header.tensors) {
    uint64_t offset = t.begin, bytes = t.end;
    std::string what = "tensor " + gemmac::quoted(t.name);
    if (offset % alignment)
      bad("{} expects an offset that is a multiple of {}, got {}", what,
          alignment, offset);
    if (offset > data || bytes > data - offset)
      bad("{} of {} bytes at offset {} goes beyond the data of {} bytes; the "
          "file is truncated",
          what, bytes, offset, data);
    t.begin = start + offset;
    t.end = t.begin + bytes;
  }
  checkOverlap();
}

void Reader::checkOverlap() {
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
      bad("tensor {} at {} overlaps tensor {} at {}", gemmac::quoted(b.name),
          range(b), gemmac::quoted(a.name), range(a));
    // The size of Q8_1 is told in two ways; nothing of such a type is read.
    if (b.begin - a.end >= alignment && a.type->type != SourceType::Other)
      bad("{} bytes belong to no tensor, a hole before tensor {} at {}",
          b.begin - a.end, gemmac::quoted(b.name), range(b));
  }
}

GgufHeader Reader::read() {
  uint64_t tensors = 0, entries = 0;
  readStart(tensors, entries);
  Json metadata = Json::object();
  for (uint64_t i = 0; i < entries; ++i)
    readEntry(metadata.get_ref<Json::object_t &>());
  header.metadata = std::make_shared<const Json>(std::move(metadata));
  inTensors = true;
  readAlignment();
  for (uint64_t i = 0; i < tensors; ++i)
    readTensor();
  placeTensors();
  return std::move(header);
}

} // namespace

const GgufTensorType *findGgufTensorType(uint32_t id) {
  for (const GgufTensorType &type : types)
    if (type.id == id)
      return &type;
  return nullptr;
}

const Json &GgufHeader::find(std::string_view key) const {
  return member(*metadata, key);
}

bool isGguf(std::string_view file) { return file.substr(0, 4) == "GGUF"; }

Result<GgufHeader> parseGguf(std::string_view file, const std::string &name) {
  return reading(name, [&] { return Reader(file, name).read(); });
}

} // namespace gemmac
