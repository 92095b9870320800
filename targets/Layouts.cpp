#include "targets/Layouts.h"

#include <cassert>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace gemmac {

int64_t elementBytes(const std::string &format) {
  const Format &f = formatOf(format);
  assert(!f.isQuantized() && "blocks have no elements");
  return f.bits / 8;
}

int64_t encodedBytes(const std::string &encoding, int64_t elements) {
  return isQuantized(encoding)
             ? elements / blockValues * int64_t(sizeof(ActivationBlock))
             : elements * elementBytes(encoding);
}

int64_t rowStride(const std::string &encoding, int64_t columns) {
  return formatOf(encoding).code == Format::Code::I32
             ? columns
             : roundUp(columns, blockValues);
}

int64_t rowBytes(const std::string &encoding, int64_t columns) {
  return encodedBytes(encoding, rowStride(encoding, columns));
}

int64_t Layout::bytes(int64_t rows, int64_t cols) const {
  if (blockBytes)
    return paddedRows(rows) / rowGroup *
           (paddedCols(cols) / colGroup * blockBytes + groupTail);
  return paddedRows(rows) * paddedCols(cols) * elementBytes(format);
}

int64_t Layout::address(int64_t row, int64_t col, int64_t cols) const {
  if (blockBytes)
    return row / rowGroup * bytes(rowGroup, cols) + col / colGroup * blockBytes;
  int64_t group =
      row / rowGroup * (paddedCols(cols) / colGroup) + col / colGroup;
  return ((group * rowGroup + row % rowGroup) * colGroup + col % colGroup) *
         elementBytes(format);
}

// A layout of quantised blocks.
template <class Block>
static Layout blocked(const char *name, const char *format, int64_t rowGroup) {
  Layout layout{name, format, rowGroup, blockValues, sizeof(Block)};
  if constexpr (requires { &Block::scale; })
    layout.codesAt = offsetof(Block, codes);
  else if constexpr (requires { &Block::scales; })
    layout.scalesAt = offsetof(Block, scales);
  else
    layout.scalesAt = -1;
  return layout;
}

static std::vector<Layout> makeLayouts() {
  Layout bytes = blocked<GroupBlock8>("q8_0s_16x32", "q8_0", groupRows);
  bytes.signedCodes = true;
  Layout split = blocked<SplitBlock>("q8_0_split_16x32", "q8_0", groupRows);
  split.bits = Layout::FirstFive;
  split.groupTail = sizeof(SplitTail);
  Layout low = blocked<LowBlock>("q8_0_low_16x32", "q8_0", groupRows);
  low.bits = Layout::LastFour;
  return {
      {"f32_16", "f32", groupRows, 1},
      {"bf16_16x2", "bf16", groupRows, 2},
      {"f32_rows", "f32", 1, 1},
      {"bf16_rows", "bf16", 1, 1},
      blocked<RowBlock8>("q8_0_rows", "q8_0", 1),
      blocked<RowBlock4>("q4_0_rows", "q4_0", 1),
      blocked<RowBlock4>("q4_bf_rows", "q4_bf", 1),
      blocked<GroupBlock8>("q8_0_16x32", "q8_0", groupRows),
      bytes,
      split,
      low,
      blocked<GroupBlock4>("q4_0_16x32", "q4_0", groupRows),
      blocked<GroupBlock4>("q4_bf_16x32", "q4_bf", groupRows),
  };
}

std::span<const Layout> allLayouts() {
  static const std::vector<Layout> all = makeLayouts();
  return all;
}

const Layout *findLayout(const std::string &name) {
  for (const Layout &layout : allLayouts())
    if (layout.name == name)
      return &layout;
  return nullptr;
}

static const Layout &layoutFor(const std::string &name,
                               const std::string &format) {
  if (const Layout *layout = findLayout(name))
    return *layout;
  fprintf(stderr, "gemmac: no layout for format '%s'\n", format.c_str());
  abort();
}

const Layout &matrixLayout(const std::string &format, DotKind dot) {
  const Format &f = formatOf(format);
  if (!f.isQuantized())
    return layoutFor(format + (f.bits == 32 ? "_16" : "_16x2"), format);
  // 4-bit codes + 8 are signed bytes too, and a scanned head is unsigned.
  bool isSigned = f.bits == 8 && !f.may(Format::Head) && dot != DotKind::U8S8;
  return layoutFor(format + (isSigned ? "s_16x32" : "_16x32"), format);
}

const Layout &rowsLayout(const std::string &format) {
  return layoutFor(format + "_rows", format);
}

const CacheShape &cacheShapeOf(const std::string &format) {
  const Format &f = formatOf(format);
  return f.isQuantized() ? cacheQ8 : f.bits == 32 ? cacheF32 : cacheBf16;
}

int64_t keyPageBytes(const std::string &format, int64_t heads, int64_t dim) {
  return heads * keyPageBytes(cacheShapeOf(format), int32_t(dim));
}

int64_t valuePageBytes(const std::string &format, int64_t heads, int64_t dim) {
  return heads * valuePageBytes(cacheShapeOf(format), int32_t(dim));
}

} // namespace gemmac
