// The formats of numbers: one record each, from which everybody asks what they
// want to know. A format is accuracy; where its bytes lie is a layout
// (Layouts.h). Plain data; must not know MLIR or Halide.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gemmac {

struct Format {
  // What holds a value: a float, or a code that is multiplied by a scale.
  enum class Code { F32, F16, BF16, I32, Quantized };
  enum class Scale { None, F32, F16, BF16 };
  // Where the word may stand.
  enum Use : unsigned {
    Weight = 1,     // format of a matrix in the file
    Activation = 2, // of rows between kernels
    Cache = 4,      // of keys and values
    Source = 8,     // of a tensor of a checkpoint
    Quant = 16,     // in --quant and lines of --quant-map
    Head = 32,      // of the matrix of the vocabulary alone, in kernels
  };

  const char *name;
  Code code;
  int bits; // of a value without its scale
  Scale scale;
  int block; // values of a row that share a scale; 1 without
  unsigned mayBe;
  // Of formats of matrices: the format of the activations that they multiply,
  // and one of more digits that products may have instead ("": none).
  const char *act = "", *wideAct = "";
  // The quantised format that holds codes and scales of this one as they are
  // ("": none but itself). What --quant means by a word that is no format of
  // matrices.
  const char *within = "", *means = "";
  // Stored in two matrices, of which a scan reads the first one alone: the
  // format that says so, and of that one the format of the second matrix.
  const char *scan = "", *low = "";

  bool may(unsigned use) const { return mayBe & use; }
  bool isQuantized() const { return code == Code::Quantized; }
};

// All of them, the most exact first: of two, the one that comes earlier holds
// what the other holds as well as can be.
const std::vector<Format> &formats();
// Nullptr if there is none of that name; `formatOf` aborts.
const Format *findFormat(std::string_view name);
const Format &formatOf(std::string_view name);
// Names of the formats that may be any of `uses`, in the order of `formats`.
std::vector<std::string> formatNames(unsigned uses);
// Whether a is more exact than b.
bool isMoreExact(const Format &a, const Format &b);

// q8_0 in two matrices, and the second of them, as `matrixLayout` knows them.
inline constexpr const char *splitFormat = "q8_0_split";
inline constexpr const char *lowFormat = "q8_0_low";

// Whether blocks of codes are meant, of weights, activations or a cache; false
// for what is no format.
bool isQuantized(std::string_view name);
// f32 rows times a matrix that has others as well: quantised, they are rounded
// inside the product; bf16, weights are widened.
bool isWideProduct(const Format &weight, const Format &act);

} // namespace gemmac
