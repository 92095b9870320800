// The symbols of the stage `select`: which packed weights, caches and kernel
// bodies the recipes have asked for. Knows layouts; must not know recipes or
// row classes' schedules.
#pragma once

#include "dialects/gemma/Gemma.h"
#include "dialects/kernel/Kernel.h"
#include "targets/Layouts.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace gemmac {

// A packed weight as a recipe sees it. `rows` and `cols` are logical.
struct WeightRef {
  mlir::FlatSymbolRefAttr name;
  std::string format, act;
  int64_t rows = 0, cols = 0;
  // Of format splitFormat: the lower bits.
  mlir::FlatSymbolRefAttr low = {};

  // As weights of a call.
  llvm::SmallVector<mlir::FlatSymbolRefAttr> names() const {
    if (low)
      return {name, low};
    return {name};
  }
};

// Creates kernel symbols on demand, each once, in front of the module's other
// ops. A request that cannot be met emits an error at `user` and fails; ops
// have verified that weights and caches exist and have their shapes, and
// Packing::check that they have formats.
class KernelSymbols {
public:
  KernelSymbols(mlir::ModuleOp module, const Target &target);
  const Target &target;

  // Shape and formats of a checkpoint tensor, without packing it.
  WeightRef describe(mlir::FlatSymbolRefAttr tensor);
  // One matrix [out, in], or a stack [E, out, in]. In format splitFormat if it
  // is the head and the target can scan that. Whole blocks of columns and
  // `rows` rows, if said: what the tensor has not is zeros.
  WeightRef matrix(mlir::FlatSymbolRefAttr tensor, int64_t rows = 0);
  // Matrices of one width and format below each other; with `interleave` gate
  // and up in blocks of so many rows: two matrices, or one stack of [E, 2F, in]
  // whose rows 0..F-1 are the gate. `rows` as of `matrix`.
  WeightRef merged(llvm::StringRef name,
                   llvm::ArrayRef<mlir::FlatSymbolRefAttr> tensors,
                   int64_t interleave = 0, int64_t rows = 0);
  // Rows [begin, end) of a packed weight. The same bytes where the layout
  // allows it.
  mlir::FailureOr<WeightRef> view(mlir::Operation *user, llvm::StringRef name,
                                  const WeightRef &weight, int64_t begin,
                                  int64_t end);
  // A table of tables [n, rows, columns] as one of n * rows rows.
  WeightRef table(mlir::FlatSymbolRefAttr tensor);
  // A vector or a scalar, in f32.
  WeightRef vector(mlir::FlatSymbolRefAttr tensor);
  // A table whose rows the runtime gathers; operand of no kernel.
  WeightRef gathered(mlir::FlatSymbolRefAttr tensor);
  mlir::FailureOr<mlir::kernel::CacheOp> cache(mlir::Operation *user,
                                               mlir::FlatSymbolRefAttr name);
  mlir::FlatSymbolRefAttr body(const KernelSpec &spec, mlir::Location loc);

  // "layers.0.q" and "qkv" -> "layers.0.qkv".
  static std::string siblingName(mlir::FlatSymbolRefAttr tensor,
                                 llvm::StringRef last);

private:
  bool isScanned(mlir::gemma::WeightOp weight) const;
  // Rows [begin, end) of a tensor, or of the parts that the checkpoint has.
  llvm::SmallVector<mlir::Attribute> pieces(mlir::gemma::WeightOp tensor,
                                            int64_t begin, int64_t end);
  // The weight `what`, but for its name, of these pieces.
  WeightRef add(const std::string &key, llvm::StringRef name,
                mlir::Location loc, llvm::ArrayRef<mlir::Attribute> pieces,
                WeightRef what, const Layout &layout, int64_t stack = 1,
                int64_t interleave = 0);
  std::string unique(llvm::StringRef name);

  mlir::OpBuilder builder;
  llvm::StringMap<mlir::gemma::WeightOp> tensors;
  llvm::StringMap<mlir::gemma::CacheOp> sourceCaches;
  llvm::StringMap<WeightRef> weights; // by what they hold
  llvm::StringMap<mlir::kernel::CacheOp> caches;
  llvm::StringSet<> names, created, bodies;
  llvm::StringSet<> heads; // weights of gemma.top
};

} // namespace gemmac
