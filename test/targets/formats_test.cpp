// The table of formats answers for every format that something else knows.
#include "codegen/Dequantize.h"
#include "codegen/Quantize.h"
#include "targets/Layouts.h"
#include "targets/Target.h"

#include <gtest/gtest.h>

#include <set>

using namespace gemmac;

// Every format of matrices has a layout for matrices and one for rows, on every
// target, and names formats that exist.
TEST(Formats, Weights) {
  for (const Format &format : formats()) {
    if (!format.may(Format::Weight | Format::Head))
      continue;
    for (const Target &target : targets()) {
      const Layout &layout = matrixLayout(format.name, target.dot);
      EXPECT_EQ(layout.rowGroup, groupRows) << format.name;
      EXPECT_EQ(layout.blockBytes > 0, format.isQuantized()) << format.name;
      if (format.isQuantized())
        EXPECT_EQ(layout.colGroup, format.block) << format.name;
    }
    if (format.may(Format::Weight))
      EXPECT_EQ(rowsLayout(format.name).format, format.name);
    ASSERT_TRUE(findFormat(format.act)) << format.name;
    EXPECT_TRUE(formatOf(format.act).may(Format::Activation)) << format.name;
    EXPECT_EQ(formatOf(format.act).isQuantized(), format.isQuantized());
    for (const char *other : {format.wideAct, format.scan, format.low})
      EXPECT_TRUE(!*other || findFormat(other)) << format.name << ' ' << other;
  }
}

TEST(Formats, NamesAreUnique) {
  std::set<std::string> names;
  for (const Format &format : formats())
    EXPECT_TRUE(names.insert(format.name).second) << format.name;
}

// --quant's words mean formats of matrices.
TEST(Formats, Words) {
  for (const Format &format : formats()) {
    if (!format.may(Format::Quant))
      continue;
    const Format &means = *format.means ? formatOf(format.means) : format;
    EXPECT_TRUE(means.may(Format::Weight)) << format.name;
    EXPECT_EQ(means.bits, format.bits) << format.name;
  }
}

// Types of checkpoints are formats of sources, and the record says of quantised
// ones what the packer does with their blocks.
TEST(Formats, Sources) {
  std::set<std::string> words;
  for (int i = 0; i < int(SourceType::Other); ++i)
    if (const char *word = sourceWord(SourceType(i))) {
      words.insert(word);
      const Format &format = formatOf(word);
      EXPECT_TRUE(format.may(Format::Source)) << word;
      EXPECT_EQ(format.isQuantized(), isBlockType(SourceType(i))) << word;
      for (const Format &kept : formats())
        if (kept.may(Format::Weight) && keepsBits(kept.name, SourceType(i)))
          EXPECT_FALSE(isMoreExact(format, kept)) << kept.name << ' ' << word;
    }
  for (const std::string &name : formatNames(Format::Source))
    EXPECT_TRUE(words.count(name)) << name;
}

// Of two types in one weight the wider decides; formats that must agree take
// the more exact.
TEST(Formats, Order) {
  const char *const descending[] = {"f32",  "f16",  "bf16", "q8_0",
                                    "q6_k", "q5_k", "q5_1", "q5_0",
                                    "q4_k", "q4_1", "q4_0", "q4_bf"};
  for (size_t i = 0; i + 1 < std::size(descending); ++i)
    EXPECT_TRUE(
        isMoreExact(formatOf(descending[i]), formatOf(descending[i + 1])))
        << descending[i];
}
