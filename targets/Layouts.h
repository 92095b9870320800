// Where every element of a packed weight, a cache page and an activation row
// lies. Written once, read by packer, recipes, kernels, runtime planning and
// tests. Plain data; must not know MLIR or Halide.
#pragma once

#include "targets/Formats.h"
#include "targets/Target.h"
#include "targets/blocks.h"

#include <cstdint>
#include <span>
#include <string>

namespace gemmac {

inline constexpr int64_t pageKeys = GM_PAGE_KEYS;
inline constexpr int64_t splitKeys = GM_SPLIT_KEYS;
inline constexpr int64_t tileRows = GM_TILE_ROWS;
inline constexpr int64_t fewRows = GM_FEW_ROWS;

constexpr int64_t roundUp(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}

// Bytes of one element of a format without blocks.
int64_t elementBytes(const std::string &format);

// Bytes of `elements` elements of an activation row, whole blocks if quantised.
int64_t encodedBytes(const std::string &encoding, int64_t elements);

// Elements and bytes from one activation row to the next. f32 and bf16 rows are
// padded to 32 elements, so that kernels may store whole blocks (the padding
// holds anything and is never read); i32 rows are not padded.
int64_t rowStride(const std::string &encoding, int64_t columns);
int64_t rowBytes(const std::string &encoding, int64_t columns);

// A layout of a weight matrix of `rows` (outputs) x `cols` (inputs, k).
//   f32_16    [rows/16][cols][16]         f32, vector kernels
//   bf16_16x2 [rows/16][cols/2][16][2]    bf16, pair dot products
//   f32_rows, bf16_rows  [rows][cols]     looked up by row (PLE table), vectors
//   q8_0_rows, q4_0_rows, q4_bf_rows  [rows][cols/32] of RowBlock8 or
//              RowBlock4: the blocks of GGUF
//   q8_0_16x32 [rows/16][cols/32] of GroupBlock8, bytes are codes + 128
//   q8_0s_16x32 the same, bytes are codes: for targets that multiply i8 by i8
//   q4_0_16x32, q4_bf_16x32  [rows/16][cols/32] of GroupBlock4
//   q8_0_split_16x32, q8_0_low_16x32  the bytes of q8_0_16x32 in two matrices:
//              [rows/16] of {[cols/32] of SplitBlock, SplitTail} and
//              [rows/16][cols/32] of LowBlock
// rows are padded to 16 and cols to 2 (bf16_16x2) with zeros; *_rows are not
// padded. cols of quantised layouts are multiples of their block (blocks.h).
struct Layout {
  std::string name;
  std::string format;
  int64_t rowGroup;         // 1 for *_rows
  int64_t colGroup;         // 2 for bf16_16x2, else the format's block
  int64_t blockBytes = 0;   // of rowGroup x block values if quantised
  bool signedCodes = false; // 8-bit codes as they are, else + 128
  // Of 8-bit codes: all bits, the first five or the last four.
  enum Bits { All, FirstFive, LastFour } bits = All;
  int64_t groupTail = 0; // bytes after the blocks of a row group
  // Offsets in a block: of the scales (-1: it has none), of the codes.
  int64_t scalesAt = 0, codesAt = 0;

  // Two codes of a row to a byte.
  bool hasNibbles() const { return bits != All || formatOf(format).bits == 4; }

  int64_t paddedRows(int64_t rows) const { return roundUp(rows, rowGroup); }
  int64_t paddedCols(int64_t cols) const { return roundUp(cols, colGroup); }
  int64_t bytes(int64_t rows, int64_t cols) const;
  // Byte offset of element (row, col); of a quantised layout: of the block that
  // holds it.
  int64_t address(int64_t row, int64_t col, int64_t cols) const;
};

std::span<const Layout> allLayouts();
// nullptr if there is none of that name.
const Layout *findLayout(const std::string &name);
// The layout that matrices (kernels: linear*, experts*, logits, embed) and
// looked-up tables and vectors of a format have. Aborts on an unknown format.
// Where an element lies does not depend on the dot product, how it is written
// may.
const Layout &matrixLayout(const std::string &format,
                           DotKind dot = DotKind::U8S8);
const Layout &rowsLayout(const std::string &format);

// Cache pages of 64 keys for `heads` K/V heads of size `dim`, a multiple of 32
// (blocks.h); head h of a page starts at h * (bytes / heads).
const CacheShape &cacheShapeOf(const std::string &format);
int64_t keyPageBytes(const std::string &format, int64_t heads, int64_t dim);
int64_t valuePageBytes(const std::string &format, int64_t heads, int64_t dim);
} // namespace gemmac
