// What verifiers of both dialects say. Must not know any dialect.
#pragma once

#include "mlir/IR/Operation.h"
#include "llvm/Support/FormatVariadic.h"

namespace gemmac {

// What is wrong with one op: the first thing is said, nothing after it.
class Check {
public:
  explicit Check(mlir::Operation *op) : op(op) {}
  operator llvm::LogicalResult() const { return llvm::success(isGood); }

  // Says `text` (of llvm::formatv) if `isRight` is not; gives whether all is
  // right so far.
  template <typename... Values>
  bool require(bool isRight, const char *text, const Values &...values) {
    if (isGood && !isRight)
      op->emitOpError(llvm::formatv(text, values...).str());
    return isGood &= isRight;
  }

protected:
  mlir::Operation *op;
  bool isGood = true;
};

} // namespace gemmac
