// Which matrices are stored as one and which multiply one rounded activation,
// as the ops that read them say (MatrixUser). Asked by whoever chooses formats
// and by recipes, so that they cannot differ. Must not know targets or layouts.
#pragma once

#include "dialects/gemma/Gemma.h"

#include "llvm/ADT/EquivalenceClasses.h"

#include <map>
#include <vector>

namespace gemmac {

// One matrix of the file.
struct Pack {
  llvm::SmallVector<mlir::FlatSymbolRefAttr>
      parts;            // in the order of their rows
  unsigned joined = 0;  // of them, in front: readers that may be left out
  bool together = true; // all readers multiply one activation
};

class Packing {
public:
  explicit Packing(mlir::ModuleOp module);

  // Every read of a matrix, in the order of the module.
  struct Read : mlir::gemma::MatrixRead {
    mlir::gemma::MatrixUser op;
    mlir::gemma::WeightOp matrix;
  };
  std::vector<Read> reads;
  // Matrices that must have one format; those whose formats must ask for one
  // format of activations.
  llvm::EquivalenceClasses<mlir::Operation *> stored, rounded;

  // Whether formats are there and agree, as recipes take for granted; an error
  // at the reader if not.
  llvm::LogicalResult check() const;
  // What `op` reads `matrix` as part of; formats must be there.
  Pack of(mlir::gemma::MatrixUser op, mlir::FlatSymbolRefAttr matrix) const;

private:
  std::map<mlir::gemma::MatrixKey, Pack> packs;
};

} // namespace gemmac
