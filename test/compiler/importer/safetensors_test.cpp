// Safetensors headers and shard indices: each way in which they can be broken
// is refused by name.
#include "compiler/importer/Safetensors.h"

#include "test/compiler/importer/TestFiles.h"

using namespace gemmac;
using namespace gemmac::test;

namespace {

std::string problem(const std::string &file) {
  Result<SafetensorsHeader> header = parseSafetensors(file, "m.safetensors");
  if (header)
    return "accepted";
  EXPECT_EQ(header.error().code, ExitCode::BadInput);
  return header.error().message;
}

std::string entry(const std::string &name, const std::string &type,
                  const std::string &shape, const std::string &offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

const std::string a = entry("a", "BF16", "[2,3]", "[0,12]");
const std::string b = entry("b", "F32", "[]", "[12,16]");

TEST(Safetensors, ReadsInFileOrder) {
  std::string file = safetensors(
      "{\"__metadata__\":{\"format\":\"pt\"}," + b + "," + a + "}   ", 16);
  Result<SafetensorsHeader> header = parseSafetensors(file, "m");
  ASSERT_TRUE(header) << header.error().message;
  ASSERT_EQ(header->entries.size(), 2u);
  EXPECT_EQ(header->dataStart, file.size() - 16);
  const SafetensorsEntry &first = header->entries[0];
  EXPECT_EQ(first.name, "a");
  EXPECT_EQ(first.type->type, SourceType::BF16);
  EXPECT_EQ(first.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header->entries[1].shape.size(), 0u);
  EXPECT_EQ(header->entries[1].begin, 12u);
}

TEST(Safetensors, ReadsEmptyTensorsAndEveryType) {
  EXPECT_EQ(problem(safetensors(
                "{" + entry("e", "F32", "[0,7]", "[0,0]") + "," + a + "}", 12)),
            "accepted");
  for (const char *type : {"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0",
                           "F8_E4M3FNUZ", "F8_E5M2FNUZ"})
    EXPECT_EQ(
        problem(safetensors("{" + entry("t", type, "[4]", "[0,4]") + "}", 4)),
        "accepted");
  for (const char *type : {"I64", "U64", "F64"})
    EXPECT_EQ(
        problem(safetensors("{" + entry("t", type, "[4]", "[0,32]") + "}", 32)),
        "accepted");
  EXPECT_EQ(findSafetensorsType("I64")->type, SourceType::I64);
  EXPECT_EQ(findSafetensorsType("F16")->type, SourceType::F16);
  EXPECT_EQ(findSafetensorsType("U8")->type, SourceType::Other);
}

TEST(Safetensors, BrokenLength) {
  EXPECT_TRUE(has(problem(""), {"truncated", "0 bytes"}));
  EXPECT_TRUE(has(problem("1234567"), {"truncated", "7 bytes"}));
  std::string file = safetensors("{" + a + "}", 12);
  EXPECT_TRUE(has(problem(file.substr(0, 30)),
                  {"header length", "beyond the file of 30", "truncated"}));
  file[7] = '\xff';
  EXPECT_TRUE(has(problem(file), {"header length", "beyond the file"}));
  std::string longHeader =
      safetensors(std::string(safetensorsHeaderBytes + 1, ' '), 0);
  EXPECT_TRUE(has(problem(longHeader), {"header length", "too long"}));
}

TEST(Safetensors, BrokenJson) {
  EXPECT_TRUE(has(problem(safetensors("", 0)), {"JSON"}));
  EXPECT_TRUE(has(problem(safetensors("{\"a\"", 0)), {"JSON", "byte"}));
  // Offsets count from the start of the file.
  EXPECT_TRUE(has(problem(safetensors("{\"a\":1,\"a\":1}", 0)),
                  {"m.safetensors: at byte 18: duplicate key"}));
  EXPECT_TRUE(has(problem(safetensors("[]", 0)),
                  {"m.safetensors: header expects an object"}));
  EXPECT_TRUE(has(problem(safetensors("3", 0)), {"expects an object"}));
  EXPECT_TRUE(has(problem(safetensors("{\"a\":3}", 0)), {"\"a\"", "object"}));
  EXPECT_TRUE(has(problem(safetensors("{\"a\":{}}", 0)), {"\"a\"", "dtype"}));
  EXPECT_TRUE(has(problem(safetensors("{\"__metadata__\":{\"a\":{}}}", 0)),
                  {"__metadata__"}));
}

TEST(Safetensors, BrokenEntries) {
  auto one = [](const std::string &fields) {
    return problem(safetensors("{\"w\":{" + fields + "}}", 4));
  };
  EXPECT_TRUE(has(one(R"("dtype":"Q4","shape":[1],"data_offsets":[0,4])"),
                  {"\"w\"", "unknown dtype", "\"Q4\""}));
  EXPECT_TRUE(has(one(R"("dtype":3,"shape":[1],"data_offsets":[0,4])"),
                  {"\"w\"", "dtype"}));
  EXPECT_TRUE(has(one(R"("dtype":"F32","data_offsets":[0,4])"), {"shape"}));
  EXPECT_TRUE(has(one(R"("dtype":"F32","shape":[1])"), {"data_offsets"}));
  EXPECT_TRUE(has(one(R"("dtype":"F32","shape":[1],"data_offsets":[0])"),
                  {"data_offsets", "got 1"}));
  EXPECT_TRUE(has(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,4])"),
                  {"data_offsets", "got 3"}));
  EXPECT_TRUE(has(one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"),
                  {"\"w\"", "-1"}));
  EXPECT_TRUE(has(one(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])"),
                  {"\"w\"", "integers", "1.5"}));
  EXPECT_TRUE(has(one(R"("dtype":"F32","shape":[[1]],"data_offsets":[0,4])"),
                  {"\"w\"", "array"}));
  EXPECT_EQ(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1)"),
            "accepted"); // nobody reads it
  EXPECT_TRUE(has(one(R"("dtype":"F32","dtype":"F32","shape":[1])"),
                  {"duplicate key \"dtype\""}));
  EXPECT_TRUE(has(
      one(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0])"),
      {"at most 8 dimensions"}));
}

TEST(Safetensors, BrokenOffsets) {
  auto one = [](const std::string &shape, const std::string &offsets,
                size_t bytes) {
    return problem(
        safetensors("{" + entry("w", "F32", shape, offsets) + "}", bytes));
  };
  EXPECT_EQ(one("[2]", "[0,8]", 8), "accepted");
  EXPECT_TRUE(has(one("[2]", "[0,8]", 7), {"\"w\"", "outside", "truncated"}));
  EXPECT_TRUE(has(one("[2]", "[8,0]", 8), {"\"w\"", "ascending"}));
  EXPECT_TRUE(has(one("[3]", "[0,8]", 8),
                  {"\"w\"", "[3]", "F32", "12 bytes", "got 8"}));
  EXPECT_TRUE(has(one("[4294967296,4294967296]", "[0,8]", 8), {"absurd"}));
  EXPECT_TRUE(has(one("[2]", "[0,9223372036854775807]", 8), {"outside"}));
  EXPECT_TRUE(has(one("[2]", "[0,18446744073709551615]", 8), {"\"w\""}));
  EXPECT_TRUE(has(one("[2]", "[4,12]", 12), {"hole", "\"w\"", "4 bytes"}));
  EXPECT_TRUE(has(one("[2]", "[0,8]", 9), {"1 bytes after the last tensor"}));
  EXPECT_TRUE(has(problem(safetensors("{}", 9)), {"9 bytes after"}));
}

TEST(Safetensors, OverlapsHolesDuplicates) {
  auto two = [](const std::string &offsets, size_t bytes) {
    return problem(safetensors(
        "{" + a + "," + entry("c", "F32", "[1]", offsets) + "}", bytes));
  };
  EXPECT_EQ(two("[12,16]", 16), "accepted");
  EXPECT_TRUE(has(two("[10,14]", 14), {"\"c\"", "overlaps", "\"a\""}));
  EXPECT_TRUE(has(two("[0,4]", 12), {"overlaps"}));
  EXPECT_TRUE(has(two("[14,18]", 18), {"hole", "\"c\"", "2 bytes"}));
  EXPECT_TRUE(has(problem(safetensors("{" + a + "," + a + "}", 12)),
                  {"duplicate key \"a\""}));
}

TEST(Safetensors, TensorLimit) {
  std::string header = "{";
  for (int64_t i = 0; i <= safetensorsTensors; ++i)
    header += (i ? "," : "") + entry(std::to_string(i), "U8", "[0]", "[0,0]");
  EXPECT_TRUE(
      has(problem(safetensors(header + "}", 0)), {"more than 200000 tensors"}));
}

std::string indexProblem(const std::string &text) {
  Result<ShardIndex> index = parseShardIndex(text, "i.json");
  if (index)
    return "accepted";
  EXPECT_EQ(index.error().code, ExitCode::BadInput);
  return index.error().message;
}

TEST(ShardIndex, Reads) {
  Result<ShardIndex> index = parseShardIndex(
      R"({"metadata":{"total_size":1,"weight_map":{"x":"no"},"n":[{}]},
          "weight_map":{"b":"2.safetensors","a":"2.safetensors",
                        "c":"1.safetensors"}, "more": [1, {"a": 2}]})",
      "i.json");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(index->shards,
            (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  ASSERT_EQ(index->tensors.size(), 3u);
  EXPECT_EQ(index->tensors[0].name, "a");
  EXPECT_EQ(index->tensors[0].shard, 1u);
  EXPECT_EQ(index->tensors[2].shard, 0u);
}

TEST(ShardIndex, Broken) {
  EXPECT_TRUE(has(indexProblem("{"), {"i.json", "JSON", "byte"}));
  EXPECT_TRUE(has(indexProblem("[]"), {"expects an object"}));
  EXPECT_TRUE(has(indexProblem("{}"), {"weight_map is missing"}));
  EXPECT_TRUE(has(indexProblem(R"({"weight_map":{}})"), {"no tensor"}));
  EXPECT_TRUE(has(indexProblem(R"({"weight_map":[]})"), {"weight_map"}));
  EXPECT_TRUE(has(indexProblem(R"({"weight_map":{"a":1}})"), {"\"a\""}));
  EXPECT_TRUE(has(indexProblem(R"({"weight_map":{"a":{}}})"), {"\"a\""}));
  EXPECT_TRUE(has(indexProblem(R"({"weight_map":{"a":"x.safetensors",
                                                 "a":"x.safetensors"}})"),
                  {"duplicate key \"a\""}));
  for (const char *name : {"x.bin", "../x.safetensors", "/x.safetensors",
                           ".safetensors", "", "x\\u0000.safetensors"})
    EXPECT_TRUE(has(
        indexProblem(std::string(R"({"weight_map":{"a":")") + name + "\"}}"),
        {"\"a\"", ".safetensors"}));
}

} // namespace
