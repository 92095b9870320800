// What verifiers of the gemma dialect check with: shapes of values against the
// symbols that an op names. Private to them; must not know targets or kernels.
#pragma once

#include "dialects/Check.h"
#include "dialects/gemma/Gemma.h"
#include "targets/Formats.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

namespace mlir::gemma {

inline std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (auto [i, dim] : llvm::enumerate(shape))
    text += (i ? ", " : "") + (dim < 0 ? "?" : std::to_string(dim));
  return text + "]";
}

// What is wrong with one op, its values and the symbols that it names.
// Attributes and values that the op does not have are right.
class Check : public gemmac::Check {
public:
  explicit Check(Operation *op) : gemmac::Check(op) {}
  Check(Operation *op, SymbolTableCollection &table)
      : gemmac::Check(op), table(&table) {}

  void columns(Value value, StringRef what, int64_t expected) {
    int64_t got = value ? columnsOf(value) : expected;
    require(got == expected, "expects {0} to have {1} columns, got {2}", what,
            expected, got);
  }
  // All values have one row per row of the step.
  void rows(ValueRange values) {
    auto rowsOf = [](Value value) {
      return cast<RankedTensorType>(value.getType()).getDimSize(0);
    };
    require(llvm::all_equal(llvm::map_range(values, rowsOf)),
            "expects operands and results with the same number of rows");
  }
  // [a, b) lies in [0, size); gives b - a.
  int64_t range(ArrayRef<int64_t> range, StringRef name, int64_t size) {
    require(range[0] >= 0 && range[0] < range[1] && range[1] <= size,
            "expects {0} [a, b) with 0 <= a < b <= {1}, got [{2}, {3})", name,
            size, range[0], range[1]);
    return range[1] - range[0];
  }
  // `pairs` of heads of `dim` columns, and the table that rotates them.
  void rope(Value table, int64_t pairs, int64_t dim) {
    require(pairs >= 1 && pairs <= dim / 2,
            "expects pairs in [1, {0}], got {1}", dim / 2, pairs);
    ArrayRef<int64_t> shape =
        cast<RankedTensorType>(table.getType()).getShape();
    require(shape[1] == pairs && shape[2] == 2,
            "expects a rope table of rows x {0} x 2, got {1}", pairs,
            shapeText(shape));
  }
  // `word`, where it stands, names a format for any of `uses`.
  void format(std::optional<StringRef> word, StringRef name, unsigned uses) {
    const std::vector<std::string> names = gemmac::formatNames(uses);
    require(!word || llvm::is_contained(names, *word),
            "expects {0} to be {1}, got \"{2}\"", name,
            llvm::join(names, " or "), word.value_or(""));
  }

  // The shape of the weight that the attribute `role` names, which must be
  // `shape` (-1: any size).
  SmallVector<int64_t> weight(StringRef role, ArrayRef<int64_t> shape) {
    SmallVector<int64_t> any(shape.size(), 1);
    auto name = op->getAttrOfType<FlatSymbolRefAttr>(role);
    if (!name || !isGood)
      return any;
    auto weight = table->lookupNearestSymbolFrom<WeightOp>(op, name);
    require(!!weight, "expects {0} to name a gemma.weight, got {1}", role,
            name);
    if (!weight)
      return any;
    ArrayRef<int64_t> got = weight.getTensorType().getShape();
    require(llvm::equal(shape, got,
                        [](int64_t want, int64_t size) {
                          return want < 0 || want == size;
                        }),
            "expects {0} {1} of shape {2}, got {3}", role, name,
            shapeText(shape), shapeText(got));
    return isGood ? llvm::to_vector(got) : any;
  }
  void vectors(ArrayRef<StringRef> roles, int64_t size) {
    for (StringRef role : roles)
      weight(role, {size});
  }
  // The matrices of a gated MLP: two of [F, in] and one of [in, F].
  void gated(int64_t in) {
    int64_t width = weight("gate", {-1, in})[0];
    weight("up", {width, in});
    weight("down", {in, width});
  }
  // Stacks [E, 2F, in] and [E, in, F] of experts (-1: any number of them).
  void experts(StringRef down, int64_t count, int64_t in) {
    SmallVector<int64_t> up = weight("gate_up", {count, -1, in});
    require(up[1] % 2 == 0,
            "expects gate_up with an even number of rows, got {0}", up[1]);
    weight(down, {up[0], in, up[1] / 2});
    weight("per_expert", {up[0]});
  }
  // Four bounds of one element for each of the matrices, or none.
  void bounds(int64_t matrices) {
    auto bounds = op->getAttrOfType<ArrayAttr>("bounds");
    if (!bounds)
      return;
    require(int64_t(bounds.size()) == 4 * matrices,
            "expects {0} bounds of {1} matrices, got {2}", 4 * matrices,
            matrices, bounds.size());
    for (auto name : bounds.getAsRange<FlatSymbolRefAttr>()) {
      auto weight = table->lookupNearestSymbolFrom<WeightOp>(op, name);
      require(weight &&
                  weight.getTensorType().getShape() == ArrayRef<int64_t>{1},
              "expects bound {0} to name a gemma.weight of shape [1]", name);
    }
  }
  // The kernel of a convolution of `in` channels with that result; gives the
  // channels of the result.
  int64_t convolution(Value result, int64_t bins, int64_t in) {
    const int64_t columns = columnsOf(result);
    require(columns % (bins / 2) == 0,
            "expects the result's columns to be a multiple of {0}, got {1}",
            bins / 2, columns);
    weight("weight", {columns / (bins / 2) * in * 9});
    return columns / (bins / 2);
  }
  // A kernel of any number of taps for each of `columns`.
  void taps(StringRef role, int64_t columns) {
    const int64_t size = weight(role, {-1})[0];
    require(size % columns == 0,
            "expects {0} to have a multiple of {1} elements, got {2}", role,
            columns, size);
  }
  void top(int64_t count, int64_t experts) {
    require(count <= experts, "expects top in [1, {0}], got {1}", experts,
            count);
  }

  struct Heads {
    int64_t count = 1, dim = 1;
    int64_t columns() const { return count * dim; }
  };
  // Those of keys and of values in the cache that the op names.
  Heads cache() {
    auto name = op->getAttrOfType<FlatSymbolRefAttr>("cache");
    if (!isGood)
      return {};
    auto cache = table->lookupNearestSymbolFrom<CacheOp>(op, name);
    require(!!cache, "expects cache to name a gemma.cache, got {0}", name);
    return cache ? Heads{cache.getHeads(), cache.getDim()} : Heads();
  }
  // `columns` are query heads for those of the cache.
  void queries(Heads heads, int64_t columns, StringRef what) {
    require(columns % heads.columns() == 0,
            "expects {0} to be a multiple of {1} ({2} heads of {3} in the "
            "cache), got {4}",
            what, heads.columns(), heads.count, heads.dim, columns);
  }

private:
  SymbolTableCollection *table = nullptr;
};

} // namespace mlir::gemma
