// Where every element of a packed weight, a cache page and an activation row
// lies. Written once, read by packer, recipes, kernels, runtime planning and
// tests. Plain data; must not know MLIR or Halide.
#pragma once

#include "runtime/abi.h"
#include "targets/Target.h"

#include <cstdint>
#include <span>
#include <string>

namespace gemmac {

inline constexpr int64_t pageKeys = GM_PAGE_KEYS; // keys of a cache page
inline constexpr int64_t splitKeys =
    GM_SPLIT_KEYS;                                // keys of an attention split
inline constexpr int64_t tileRows = GM_TILE_ROWS; // most rows of a tile
inline constexpr int64_t fewRows =
    GM_FEW_ROWS; // most rows of the row class `few`

constexpr int64_t roundUp(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}

// Bytes of one element of "f32", "bf16" or "i32".
int64_t elementBytes(const std::string &format);

// Quantised formats hold blocks of 32 values of a row: value = code * scale.
//   weights: q8_0 codes -127..127, f16 scale; q4_0 and q4_bf codes -8..7, f16
//   or bf16 scale
//   activations ("q8"): codes -127..127, f32 scale and -8 * (sum of the codes)
// An activation block is 40 bytes: i8 codes[32], f32 scale, i32 -8 * sum. With
// that word a kernel takes codes of weights as unsigned: + 8 for 4-bit ones,
// + 128 for 8-bit ones (16 times the word).
inline constexpr int64_t quantBlock = 32;
inline constexpr int64_t activationBlockBytes = 40;
bool isQuantized(const std::string &format); // of weights or activations
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
//   q8_0_rows, q4_0_rows, q4_bf_rows  [rows][cols/32] of {f16 or bf16 scale,
//              i8 codes[32] or u8 nibbles[16]}: the blocks of GGUF, 34 or 18
//              bytes; byte k of 4-bit ones as below
//   q8_0_16x32 [rows/16][cols/32] of {u8 [8 k groups][16 rows][4 k], f16
//              scales[16]}; bytes are codes + 128
//   q8_0s_16x32 the same, bytes are codes: for targets that multiply i8 by i8
//   q4_0_16x32, q4_bf_16x32 the same with {u8 [4 k groups][16 rows][4 k], f16
//              or bf16 scales[16]}; byte k of a row (k < 16) holds code + 8 of
//              column k in its low and of column 16 + k in its high nibble
//   q8_0_split_16x32 and q8_0_low_16x32 are the bytes of q8_0_16x32 in two
//              matrices, for a scan of the vocabulary that reads the first five
//              bits (family top_scan). split: [rows/16] of {[cols/32] of {the
//              upper nibbles as in q4_0_16x32, u8 [16 rows][4 k] whose bit g is
//              bit 3 of k group g, f16 scales[16]}, f32 bounds[16]}; low:
//              [rows/16][cols/32] of the lower nibbles as in q4_0_16x32.
//              bound of a row >= (|difference of the row and its first five
//              bits, whose other three are taken as 4| + rounding) in the
//              euclidean norm
// rows are padded to 16 and cols to 2 (bf16_16x2) with zeros; *_rows are not
// padded. cols of quantised layouts are multiples of 32.
struct Layout {
  std::string name;
  std::string format;
  int64_t rowGroup;         // 1 for *_rows
  int64_t colGroup;         // 2 for bf16_16x2, 32 for quantised layouts
  int64_t blockBytes = 0;   // of rowGroup x 32 values of a quantised layout
  bool signedCodes = false; // 8-bit codes as they are, else + 128
  // Of 8-bit codes: all bits, the first five or the last four.
  enum Bits { All, FirstFive, LastFour } bits = All;
  int64_t groupTail = 0; // bytes after the blocks of a row group

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
// As `matrixLayout` knows them: q8_0 in two matrices, and the second of them.
inline constexpr const char *splitFormat = "q8_0_split";
inline constexpr const char *lowFormat = "q8_0_low";

// Cache pages of 64 keys for `heads` K/V heads of size `dim`; head h of a page
// starts at h * (bytes / heads).
//   bf16: K [2 groups of 32 keys][dim/2][32 keys][2 lanes],
//         V [dim/32][32 key pairs][32 lanes][2 keys]
//   f32:  K [4 groups of 16 keys][dim][16 keys], V [dim/16][64 keys][16 lanes]
//   q8:   K u8 codes + 128 [2 groups of 32 keys][dim/4][32 keys][4 lanes], then
//         f32 scales [dim/b][64 keys], one for every key and block of b lanes;
//         V i8 codes [dim/32][16 key quads][32 lanes][4 keys], then f32 scales
//         [64], one for every key
// value = code * scale, codes -127..127; dim is a multiple of 32.
int64_t keyPageBytes(const std::string &format, int64_t heads, int64_t dim);
int64_t valuePageBytes(const std::string &format, int64_t heads, int64_t dim);
// Byte offsets of lane `d` of key `key` (0..63) of head `head` in a K or V
// page.
int64_t keyAddress(const std::string &format, int64_t dim, int64_t head,
                   int64_t key, int64_t d);
int64_t valueAddress(const std::string &format, int64_t dim, int64_t head,
                     int64_t key, int64_t d);
// Lanes of a query and of a key that share a scale in format q8, and byte
// offsets of the scales of a q8 page.
int64_t keyBlock(int64_t dim);
int64_t keyScaleAddress(int64_t dim, int64_t head, int64_t key, int64_t d);
int64_t valueScaleAddress(int64_t dim, int64_t head, int64_t key);

} // namespace gemmac
