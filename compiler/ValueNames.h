// The names that the text of a module gives its values: MLIR's parser drops
// them. Must not know what the ops mean.
#pragma once

#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/Operation.h"

#include <string>
#include <vector>

namespace gemmac {

// The names of the values in `text`, in the order of nameValues. Nothing if it
// cannot be parsed: MLIR's own parse will say why.
std::vector<std::string> valueNames(llvm::StringRef text,
                                    const mlir::DialectRegistry &registry);

// Gives the values below `root`, the module of that text, those names where
// they have none, as locations that a module is printed by.
void nameValues(mlir::Operation *root, llvm::ArrayRef<std::string> names);

} // namespace gemmac
