// What importers of towers share: layers' weights by short names, linears with
// bounds, and the function of a segment that ends in the projection to the
// decoder's width. Private to them; must not know files or targets.
#pragma once

#include "compiler/importer/ImportBuilder.h"

namespace gemmac {

class TowerBuilder : protected ImportBuilder {
protected:
  explicit TowerBuilder(mlir::ModuleOp module)
      : ImportBuilder(*module.getContext()), module(module) {
    b.setInsertionPointToEnd(module.getBody());
  }

  // Whose weights and values follow: layer `index` of tensors that begin with
  // `tensors`, symbols with `letter`.
  void enter(llvm::StringRef letter, int64_t index, llvm::StringRef tensors) {
    symbols = (letter + Twine(index) + ".").str();
    from = (tensors + Twine(index) + ".").str();
    prefix = symbols;
  }
  Symbol own(const Twine &name) { return symbol(symbols + name); }
  void own(const Twine &name, const Twine &tensor,
           mlir::ArrayRef<int64_t> shape) {
    weight(symbols + name, from + tensor, shape);
  }

  // The matrix of a linear and, if they are clipped, its four bounds.
  void linearWeight(const Twine &name, const Twine &tensor,
                    mlir::ArrayRef<int64_t> shape) {
    own(name, tensor + ".linear.weight", shape);
    for (llvm::StringRef bound : bounds)
      if (clipped)
        own(name + "." + bound, tensor + "." + bound, {1});
  }
  Value clippedLinear(const Twine &name, Value x, int64_t out) {
    auto clamp = [&](const Twine &what, Value value, unsigned first) -> Value {
      if (!clipped)
        return value;
      return mlir::gemma::ClampOp::create(
          b, at(name + what), value.getType(), value,
          own(name + "." + bounds[first]), own(name + "." + bounds[first + 1]));
    };
    Value y = linear(name + "_proj", clamp("_in", x, 0), own(name), out);
    return clamp("_out", y, 2);
  }
  Value bias(const Twine &name, Value x, Symbol weight) {
    return mlir::gemma::BiasOp::create(b, at(name), x.getType(), x, weight);
  }

  // Opens a function; its arguments are step arrays.
  mlir::Block *addSegment(llvm::StringRef name,
                          mlir::ArrayRef<mlir::Type> inputs,
                          mlir::ArrayRef<llvm::StringRef> names) {
    function = mlir::func::FuncOp::create(b, b.getUnknownLoc(), name,
                                          b.getFunctionType(inputs, {}));
    function->setAttr(mlir::gemma::segmentAttr, b.getStringAttr(name));
    mlir::Block *body = function.addEntryBlock();
    for (auto [i, name] : llvm::enumerate(names)) {
      function.setArgAttr(unsigned(i), mlir::gemma::argAttr,
                          b.getStringAttr(name));
      body->getArgument(unsigned(i))
          .setLoc(mlir::NameLoc::get(b.getStringAttr(name)));
    }
    b.setInsertionPointToStart(body);
    return body;
  }
  // Returns soft rows: the plain norm of `x` times `projection`.
  void finish(Value x, llvm::StringRef projection, int64_t hidden, double eps) {
    x = norm("normed", x, Symbol(), mlir::gemma::columnsOf(x), eps);
    Value soft = linear("soft", x, symbol(projection), hidden);
    mlir::func::ReturnOp::create(b, b.getUnknownLoc(), soft);
    function.setType(
        b.getFunctionType(function.getArgumentTypes(), mlir::TypeRange(soft)));
  }

  bool clipped = false;

private:
  static constexpr llvm::StringLiteral bounds[] = {"input_min", "input_max",
                                                   "output_min", "output_max"};

  mlir::ModuleOp module;
  mlir::func::FuncOp function;
  std::string symbols, from; // beginnings of the layer's names
};

} // namespace gemmac
