// The kernel families: which operands, constants, axes and access each has.
// Plain data, so that recipes, barrier and memory planning, lowering, kernel
// bodies and tests read one truth. Must not know MLIR, Halide or LLVM.
#pragma once

#include "targets/Target.h"

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace gemmac {

// few: 1..8 rows (decode, verification, wanted rows); many: 1..C rows
// (prefill).
enum class RowClass { Few, Many };

// Compile-time constants of a body: integers, reals, format names. Ordered by
// name.
class Constants {
public:
  using Value = std::variant<int64_t, double, std::string>;
  Constants &set(const std::string &name, int64_t v) {
    return values[name] = v, *this;
  }
  Constants &set(const std::string &name, double v) {
    return values[name] = v, *this;
  }
  Constants &set(const std::string &name, const std::string &v) {
    return values[name] = v, *this;
  }
  Constants &set(const std::string &name, const char *v) {
    return values[name] = std::string(v), *this;
  }
  bool has(const std::string &name) const { return values.count(name); }
  // These abort if the constant is absent or of another type.
  int64_t integer(const std::string &name) const;
  double real(const std::string &name) const;
  const std::string &text(const std::string &name) const;
  const std::map<std::string, Value> &all() const { return values; }
  bool operator==(const Constants &other) const {
    return values == other.values;
  }

private:
  std::map<std::string, Value> values;
};

struct KernelSpec {
  std::string family;
  RowClass rows = RowClass::Few;
  Constants constants;
};

// Symbol of a body, e.g. "linear_bf16_1536_few"; different specs have different
// symbols.
std::string kernelSymbol(const KernelSpec &spec);

// How a call's units are divided (KernelOps.td, kernel.call).
enum class Axis { Blocks, Rows, Tiles, Splits, All, One };
const char *axisName(Axis axis);
bool parseAxis(const std::string &name, Axis &axis);

// Who may touch what: Own = unit i reads or writes only unit i's part (the same
// axis and n on both sides then need no barrier); Any = any part.
enum class Access { Own, Any };

struct Operand {
  std::string name;
  Access access = Access::Any;
  // "f32", "i32", or the name of the constant that holds the encoding ("act",
  // "format", "cache").
  std::string encoding;
  bool table = false;    // a step array of gm_ctx (immutable during a step)
  bool optional = false; // may be absent from the call; the body gets null
};

struct ResultOperand {
  std::string name;
  std::string encoding;
  Access access = Access::Own;
  int inPlaceWith = -1; // index of an input whose bytes this result may take
};

// The C signature of a body is
//   void k(inputs..., weights..., [k_pool, v_pool, pages, i32 page_stride],
//          results..., i32 rows, [i32 max_splits], i32 scalars..., i32 begin,
//          i32 end)
// every buffer a pointer; the bracketed cache operands if `cache`, max_splits
// if `partials`. begin == end is legal and does nothing. Rows of buffers are
// rowStride(encoding, columns) apart; `few` buffers have space for 8 rows,
// `many` buffers for round8(rows): bodies may compute and store that many.
struct Family {
  std::string name;
  std::string summary; // semantics, shapes, accumulation
  std::vector<std::string> constants;
  std::vector<Operand> inputs;
  std::vector<std::string> weights;
  bool cache = false;
  bool writesCache = false;
  bool partials = false; // touches per-(row, split) slots: gets max_splits
  std::vector<ResultOperand> results;
  std::vector<std::string> scalars;
  std::vector<Axis> few,
      many; // axes allowed per row class; empty = no such class
};

// One parameter of a body's C signature.
struct Parameter {
  // An operand's name, or k_pool, v_pool, pages, page_stride, rows, max_splits,
  // a scalar's, begin, end.
  std::string name;
  bool pointer; // else i32
};

const std::vector<Family> &kernelFamilies();
const Family *findFamily(const std::string &name);
// The weights of a body: those of its family but for what the constants switch
// off (`scale` unless scaled = 1, `low` unless format = splitFormat).
std::vector<std::string> kernelWeights(const KernelSpec &spec);
// The signature of a body.
std::vector<Parameter> kernelParameters(const KernelSpec &spec);

// Bytes per (row, split) of attention partials: o [H][hd], m [H], l [H] in f32.
int64_t partialBytes(int64_t heads, int64_t dim);

} // namespace gemmac
