// What gemmac says on standard error about what it compiles.
#pragma once

#include "mlir/IR/Diagnostics.h"

#include <string>
#include <vector>

namespace gemmac {

struct Messages {
  bool remarks = false; // print those, too
  bool warnings = true;

  void warn(const std::vector<std::string> &lines) const;
  void remark(const std::vector<std::string> &lines) const;
  // From now on prints the remarks of passes in `context`, if at all.
  void listen(mlir::MLIRContext &context) const;
  // Prints a diagnostic of a pass in the same form. A diagnostic handler.
  llvm::LogicalResult report(mlir::Diagnostic &diagnostic) const;
  // A diagnostic behind its place: "l0.q: ..." or "FILE:LINE: ...".
  static std::string text(const mlir::Diagnostic &diagnostic);
};

} // namespace gemmac
