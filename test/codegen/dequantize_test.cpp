// The exact values of block-quantised rows, bit by bit against those that
// GGML's reference decoders give (test/golden/quant.safetensors).
#include "codegen/Dequantize.h"

#include "compiler/importer/Safetensors.h"
#include "test/compiler/importer/TestFiles.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <map>

using namespace gemmac;
using namespace gemmac::test;

namespace {

struct Golden {
  Golden() : file(readText(source("test/golden/quant.safetensors"))) {
    Result<SafetensorsHeader> header = parseSafetensors(file, "quant");
    if (!header)
      throw std::runtime_error(header.error().message);
    for (SafetensorsEntry &e : header->entries)
      byName[e.name] = {file.data() + header->dataStart + e.begin, e.shape};
  }
  struct Entry {
    const char *data;
    std::vector<int64_t> shape;
  };
  std::string file;
  std::map<std::string, Entry> byName;
};

// Every row of NAME (bytes) against NAME.values.
void check(const Golden &golden, const std::string &name, SourceType type) {
  const Golden::Entry &bytes = golden.byName.at(name);
  const Golden::Entry &values = golden.byName.at(name + ".values");
  int64_t rows = bytes.shape[0], cols = values.shape[1];
  ASSERT_EQ(sourceBytes(type, cols), bytes.shape[1]) << name;
  std::vector<float> got(cols);
  for (int64_t row = 0; row < rows; ++row) {
    auto *from =
        reinterpret_cast<const uint8_t *>(bytes.data) + row * bytes.shape[1];
    dequantizeRow(type, from, cols, got.data());
    EXPECT_EQ(0, memcmp(got.data(), values.data + row * cols * 4, cols * 4))
        << name << " row " << row;
  }
}

TEST(Dequantize, EqualsTheReferenceBitForBit) {
  Golden golden;
  int checked = 0;
  const std::pair<const char *, SourceType> types[] = {
      {".q8_0", SourceType::Q8_0}, {".q4_0", SourceType::Q4_0},
      {".q4_1", SourceType::Q4_1}, {".q5_0", SourceType::Q5_0},
      {".q5_1", SourceType::Q5_1}, {".q4_k", SourceType::Q4_K},
      {".q5_k", SourceType::Q5_K}, {".q6_k", SourceType::Q6_K}};
  for (const auto &[name, entry] : golden.byName)
    for (const auto &[ending, type] : types)
      if (name.ends_with(ending) && golden.byName.count(name + ".values")) {
        check(golden, name, type);
        ++checked;
      }
  EXPECT_GE(checked, 8 * 5 + 3 - 5);
}

TEST(Dequantize, PlainTypes) {
  const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x8001, 0x7c00, 0x8000};
  float got[6];
  dequantizeRow(SourceType::F16, reinterpret_cast<const uint8_t *>(halves), 6,
                got);
  EXPECT_EQ(got[0], 1);
  EXPECT_EQ(got[1], -2);
  EXPECT_EQ(got[2], 0x1p-24f);
  EXPECT_EQ(got[3], -0x1p-24f);
  EXPECT_TRUE(std::isinf(got[4]));
  EXPECT_TRUE(got[5] == 0 && std::signbit(got[5]));
  const uint16_t brains[] = {0x3f80, 0xc040};
  dequantizeRow(SourceType::BF16, reinterpret_cast<const uint8_t *>(brains), 2,
                got);
  EXPECT_EQ(got[0], 1);
  EXPECT_EQ(got[1], -3);
}

TEST(Dequantize, RoundsToBf16) {
  EXPECT_EQ(floatToBf16(1), 0x3f80);
  EXPECT_EQ(floatToBf16(std::bit_cast<float>(0x3f808000u)), 0x3f80); // tie
  EXPECT_EQ(floatToBf16(std::bit_cast<float>(0x3f818000u)), 0x3f82); // tie
  EXPECT_EQ(floatToBf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_TRUE(std::isnan(bf16ToFloat(floatToBf16(NAN))));
}

TEST(Dequantize, Sizes) {
  EXPECT_EQ(sourceBytes(SourceType::Q4_0, 64), 36);
  EXPECT_EQ(sourceBytes(SourceType::Q6_K, 512), 420);
  EXPECT_EQ(sourceBytes(SourceType::BF16, 3), 6);
  EXPECT_FALSE(isBlockType(SourceType::BF16));
  EXPECT_TRUE(isBlockType(SourceType::Q5_K));
  EXPECT_EQ(blockElements(SourceType::Q5_K), 256);
}

} // namespace
