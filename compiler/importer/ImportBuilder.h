// What importers of parts of a model share: primitives of the gemma dialect
// with names, and the symbols that they name. Private to them; must not know
// files or targets.
#pragma once

#include "compiler/importer/Config.h"
#include "dialects/gemma/Gemma.h"
#include "mlir/IR/Builders.h"

namespace gemmac {

class ImportBuilder {
protected:
  using Value = mlir::Value;
  using Twine = llvm::Twine;
  using Symbol = mlir::FlatSymbolRefAttr;

  explicit ImportBuilder(mlir::MLIRContext &context) : b(&context) {}

  Symbol symbol(const Twine &name) {
    return Symbol::get(b.getStringAttr(name));
  }
  void weight(const Twine &name, const Twine &from,
              mlir::ArrayRef<int64_t> shape) {
    auto type = mlir::RankedTensorType::get(shape, b.getF32Type());
    mlir::gemma::WeightOp::create(
        b, b.getUnknownLoc(), b.getStringAttr(name), b.getStringAttr(from),
        mlir::TypeAttr::get(type), mlir::StringAttr(), mlir::ArrayAttr(),
        mlir::StringAttr(), mlir::StringAttr());
  }

  // Primitives; the location is `prefix` + name.
  mlir::Location at(const Twine &name) {
    return mlir::NameLoc::get(b.getStringAttr(prefix + name));
  }
  mlir::RankedTensorType rows(int64_t columns) {
    return mlir::RankedTensorType::get({mlir::ShapedType::kDynamic, columns},
                                       b.getF32Type());
  }
  mlir::FloatAttr f64(double value) { return b.getF64FloatAttr(value); }
  mlir::IntegerAttr i64(int64_t value) { return b.getI64IntegerAttr(value); }
  Value norm(const Twine &name, Value x, Symbol weight, int64_t size,
             double eps) {
    return mlir::gemma::RmsNormOp::create(b, at(name), x.getType(), x, weight,
                                          f64(eps), i64(size));
  }
  Value linear(const Twine &name, Value x, Symbol weight, int64_t out,
               mlir::DenseI64ArrayAttr range = {}) {
    return mlir::gemma::LinearOp::create(b, at(name), rows(out), x, weight,
                                         range);
  }
  Value geglu(const Twine &name, Value g, Value u) {
    return mlir::gemma::GegluOp::create(b, at(name), g.getType(), g, u);
  }
  Value add(const Twine &name, Value x, Value y) {
    return mlir::gemma::AddOp::create(b, at(name), x.getType(), x, y);
  }
  Value scale(const Twine &name, Value x, double factor) {
    return mlir::gemma::ScaleOp::create(b, at(name), x.getType(), x, Symbol(),
                                        f64(factor));
  }

  mlir::OpBuilder b;
  std::string prefix; // of the names of values: "" or "layers.3."
};

// Add the weights of a tower and the function that computes soft rows of one
// picture or one sound (Gemma4.h) at the end of `module`.
void importVision(mlir::ModuleOp module, const ModelConfig &config);
void importAudio(mlir::ModuleOp module, const ModelConfig &config);

} // namespace gemmac
