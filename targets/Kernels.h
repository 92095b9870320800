// The kernel families: which operands, constants, axes and access each has, and
// the answers to what one asks of a call (units, sizes, what it reads). One
// table, asked by recipes, verifiers, planning, lowering, kernel bodies and
// tests. Must not know MLIR, Halide or LLVM.
#pragma once

#include "targets/Segments.h"
#include "targets/Target.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace gemmac {

struct Layout;

// few: 1..8 rows (decode, verification, wanted rows); many: 1..C rows
// (prefill).
enum class RowClass { Few, Many };
const char *rowClassName(RowClass rows);

// Compile-time constants of a body: integers, reals, format names. Ordered by
// name.
class Constants {
public:
  using Value = std::variant<int64_t, double, std::string>;
  Constants() = default;
  Constants(std::initializer_list<std::pair<const std::string, Value>> list)
      : values(list) {}
  Constants &set(const std::string &name, const Value &v) {
    return values[name] = v, *this;
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

// A constant that families have. Of one name there is one kind; a family may
// narrow the words.
struct KernelConstant {
  enum Kind { Integer, Real, Format };

  std::string name;
  Kind kind = Integer;
  std::string letter;              // of integers: in front of them in symbols
  std::string example;             // a value that bodies can be made for
  int64_t low = 1, high = 1 << 20; // of integers
  std::vector<std::string> words = {}; // of formats
  int64_t multiple = 1;                // that integers are of

  // Nothing if `text` is no value of this constant.
  std::optional<Constants::Value> parse(const std::string &text) const;
  // "to be f32, bf16 or q8".
  std::string expectation() const;
  bool holds(const Constants::Value &value) const;
};

struct KernelSpec {
  std::string family;
  RowClass rows = RowClass::Few;
  Constants constants;
};

// Symbol of a body, e.g. "linear_bf16_bf16_k1536_few": bodies that differ have
// different symbols. Reals as the shortest decimals that read back as the f32
// that bodies compute with.
std::string kernelSymbol(const KernelSpec &spec);

// How a call's units are divided (KernelOps.td, kernel.call).
enum class Axis { Blocks, Rows, Tiles, Splits, All, One };

// Who may touch what: Own = unit i reads or writes only unit i's part (the same
// axis and n on both sides then need no barrier); Any = any part.
enum class Access { Own, Any };

struct Family;

// A call from outside: what the rules of a family speak of. Columns are the
// sizes of dimension 1, 1 of vectors.
struct CallShape {
  const Family &family;
  const Constants &constants;
  Axis axis = Axis::Blocks;
  std::vector<int64_t> inputs = {}, results = {}; // columns
  std::vector<int64_t> weights = {};              // rows
  std::vector<int64_t> scalars = {};

  int64_t operator[](const char *constant) const {
    return constants.integer(constant);
  }
  int64_t scalar(std::string_view name) const;
  int64_t inputStride(size_t i) const; // elements between rows
  int64_t resultStride(size_t i) const;
};
using Rule = int64_t (*)(const CallShape &);

struct Operand {
  std::string name;
  Access access = Access::Any;
  // "f32", "i32", or the name of the constant that holds the encoding ("act",
  // "format", "cache").
  std::string encoding;
  Rule columns = nullptr; // null: any
  bool optional = false;  // may be absent from the call; the body gets null
  // A step array of gm_ctx (immutable during a step), of the two kinds of
  // caches if they differ.
  std::optional<Io> local = {}, global = local;
};

struct WeightOperand {
  std::string name;
  Rule columns;
  bool (*present)(const Constants &) = nullptr; // null: always
  bool isVector = false; // beside the matrix of a family that has one
  // Of matrices: as Operand::encoding.
  std::string encoding = "format";
  // Of a matrix with outputs of its own: its rows. Null: those of the family.
  Rule rows = nullptr;
  bool isPlain = false; // neither interleaved nor a stack, whatever the family
};

struct ResultOperand {
  std::string name;
  std::string encoding;
  Rule columns;
  Access access = Access::Own;
  int inPlaceWith = -1; // index of an input whose bytes this result may take
};

struct Scalar {
  std::string name;
  Rule value = nullptr; // null: whoever makes the call chooses it
  // A chosen first column: [value, value + width) lies in input `of`.
  Rule width = nullptr;
  int of = -1;
};

// What a family does with its matrix; other families have vectors only.
enum class MatrixUse {
  None,
  Lookup,  // a row of it per row
  Product, // every row of it is multiplied
  Scan     // as a product, but next to nothing is read of the lower bits
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
  std::vector<KernelConstant> constants;
  std::vector<Operand> inputs;
  MatrixUse matrix = MatrixUse::None;
  bool interleaved = false; // of two matrices, gate and up, 32:32
  bool stack = false;       // of `experts` matrices
  bool deviceOnly = false;  // no target for CPUs has bodies
  std::vector<WeightOperand> weights;
  bool cache = false;
  bool writesCache = false;
  bool partials = false; // touches per-(row, split) slots: gets max_splits
  std::vector<ResultOperand> results;
  std::vector<Scalar> scalars;
  std::vector<Axis> axes[2]; // allowed per RowClass; empty: no such class
  // More rows are faster in class many, if a segment has the choice.
  int32_t fewRows = GM_FEW_ROWS;
  // Of axis blocks: what a unit computes of the outputs, which are the columns
  // of result 0 unless said (and the rows of a matrix that is multiplied).
  Rule unit = nullptr, outputs = nullptr;
  Rule heads = nullptr; // of axes tiles and splits: units of each; null: 1

  const std::vector<Axis> &axesOf(RowClass rows) const {
    return axes[int(rows)];
  }
};

const std::vector<Family> &kernelFamilies();
const Family *findFamily(const std::string &name);

// What is wrong with a body of these constants, as an error says it; empty if
// it can be made.
std::string checkSpec(const KernelSpec &spec);
// Whether f32 rows multiply bf16 weights of the constant `format`.
bool isWidened(const KernelSpec &spec);

// What an operand's `encoding` means.
const std::string &operandEncoding(const std::string &declared,
                                   const Constants &constants);
// The weights of a body: those of its family but for what the constants switch
// off.
std::vector<WeightOperand> kernelWeights(const KernelSpec &spec);
const Layout &weightLayout(const KernelSpec &spec, const WeightOperand &weight,
                           DotKind dot);

// The units that a call must have, the outputs that they divide, and the rows
// of a matrix that is multiplied (of each member of a stack), by default the
// first one.
int64_t unitsOf(const CallShape &call);
int64_t outputsOf(const CallShape &call);
int64_t matrixRowsOf(const CallShape &call);
int64_t matrixRowsOf(const CallShape &call, const WeightOperand &weight);
// Adds results and scalars to a call of which inputs and weights are known;
// `chosen`: the scalars that no rule gives.
void complete(CallShape &call, const std::vector<int64_t> &chosen = {});

// One parameter of a body's C signature.
struct Parameter {
  // An operand's name, or k_pool, v_pool, pages, page_stride, rows, max_splits,
  // a scalar's, begin, end.
  std::string name;
  bool pointer; // else i32
};
std::vector<Parameter> kernelParameters(const KernelSpec &spec);
// Those of a kernel of a device: in the place of `rows` the numbers of the step
// (gm_numbers).
std::vector<Parameter> deviceParameters(const KernelSpec &spec);

// Whether a product of a device computes its rows of k columns itself: they lie
// in shared memory, of which sm_86 has 99 KiB a block, beside what products
// take themselves: 32 KiB, of f32 rows 64.
bool fitsPrologue(const std::string &act, int64_t k);

// Bytes per (row, split) of attention partials: o [H][hd], m [H], l [H] in f32.
int64_t partialBytes(int64_t heads, int64_t dim);

} // namespace gemmac
