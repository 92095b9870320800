#include "targets/Layouts.h"

#include <cstdio>
#include <cstdlib>

namespace gemmac {

int64_t elementBytes(const std::string &format) {
  return format == "bf16" ? 2 : 4;
}

bool isQuantized(const std::string &format) { return format[0] == 'q'; }

int64_t encodedBytes(const std::string &encoding, int64_t elements) {
  return isQuantized(encoding) ? elements / quantBlock * activationBlockBytes
                               : elements * elementBytes(encoding);
}

int64_t rowStride(const std::string &encoding, int64_t columns) {
  return encoding == "i32" ? columns : roundUp(columns, 32);
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

static const Layout layouts[] = {
    {"f32_16", "f32", 16, 1},
    {"bf16_16x2", "bf16", 16, 2},
    {"f32_rows", "f32", 1, 1},
    {"bf16_rows", "bf16", 1, 1},
    {"q8_0_rows", "q8_0", 1, 32, 34},
    {"q4_0_rows", "q4_0", 1, 32, 18},
    {"q4_bf_rows", "q4_bf", 1, 32, 18},
    {"q8_0_16x32", "q8_0", 16, 32, 544},
    {"q8_0s_16x32", "q8_0", 16, 32, 544, true},
    {"q8_0_split_16x32", "q8_0", 16, 32, 352, false, Layout::FirstFive, 64},
    {"q8_0_low_16x32", "q8_0", 16, 32, 256, false, Layout::LastFour},
    {"q4_0_16x32", "q4_0", 16, 32, 288},
    {"q4_bf_16x32", "q4_bf", 16, 32, 288},
};

std::span<const Layout> allLayouts() { return layouts; }

const Layout *findLayout(const std::string &name) {
  for (const Layout &layout : layouts)
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
  if (format == "q8_0" && dot != DotKind::U8S8)
    return layoutFor("q8_0s_16x32", format);
  return layoutFor(format == "f32"       ? "f32_16"
                   : isQuantized(format) ? format + "_16x32"
                                         : format + "_16x2",
                   format);
}

const Layout &rowsLayout(const std::string &format) {
  return layoutFor(format + "_rows", format);
}

int64_t keyBlock(int64_t dim) {
  return dim % 128 == 0 ? 128 : dim % 64 == 0 ? 64 : 32;
}

int64_t keyPageBytes(const std::string &format, int64_t heads, int64_t dim) {
  if (isQuantized(format))
    return heads * pageKeys * (dim + dim / keyBlock(dim) * 4);
  return heads * dim * pageKeys * elementBytes(format);
}

int64_t valuePageBytes(const std::string &format, int64_t heads, int64_t dim) {
  if (isQuantized(format))
    return heads * pageKeys * (dim + 4);
  return keyPageBytes(format, heads, dim);
}

int64_t keyAddress(const std::string &format, int64_t dim, int64_t head,
                   int64_t key, int64_t d) {
  int64_t base = head * keyPageBytes(format, 1, dim);
  if (isQuantized(format))
    return base + ((key / 32 * (dim / 4) + d / 4) * 32 + key % 32) * 4 + d % 4;
  if (format == "f32")
    return base + (((key / 16) * dim + d) * 16 + key % 16) * 4;
  return base +
         ((((key / 32) * (dim / 2) + d / 2) * 32 + key % 32) * 2 + d % 2) * 2;
}

int64_t valueAddress(const std::string &format, int64_t dim, int64_t head,
                     int64_t key, int64_t d) {
  int64_t base = head * valuePageBytes(format, 1, dim);
  if (isQuantized(format))
    return base + ((d / 32 * (pageKeys / 4) + key / 4) * 32 + d % 32) * 4 +
           key % 4;
  if (format == "f32")
    return base + ((d / 16) * pageKeys + key) * 64 + d % 16 * 4;
  return base + ((((d / 32) * 32 + key / 2) * 32 + d % 32) * 2 + key % 2) * 2;
}

int64_t keyScaleAddress(int64_t dim, int64_t head, int64_t key, int64_t d) {
  return head * keyPageBytes("q8", 1, dim) + pageKeys * dim +
         (d / keyBlock(dim) * pageKeys + key) * 4;
}

int64_t valueScaleAddress(int64_t dim, int64_t head, int64_t key) {
  return head * valuePageBytes("q8", 1, dim) + pageKeys * dim + key * 4;
}

} // namespace gemmac
