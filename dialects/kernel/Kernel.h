// The kernel dialect's C++ interface: ops, places of values, and the bridge
// between IR and the plain tables of targets/.
#pragma once

#include "targets/Kernels.h"
#include "targets/Segments.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <optional>

namespace gemmac {

// Words of the enums of targets/ in IR (generated from KernelOps.td).
llvm::StringRef stringifyAxis(Axis axis);
std::optional<Axis> symbolizeAxis(llvm::StringRef word);
std::optional<Axis> symbolizeAxis(uint32_t value);
llvm::StringRef stringifyRowClass(RowClass rows);
std::optional<RowClass> symbolizeRowClass(llvm::StringRef word);
std::optional<RowClass> symbolizeRowClass(uint32_t value);

} // namespace gemmac

namespace mlir::kernel {

// Spaces that values live in: bytes per worker, per row of the step, per (row,
// split), or an array of gm_ctx.
enum class Space { Worker, Row, Key, Io };

} // namespace mlir::kernel

#include "dialects/kernel/KernelDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/kernel/KernelAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/kernel/KernelOps.h.inc"

namespace mlir::kernel {

inline constexpr llvm::StringLiteral segmentAttr = "kernel.segment";
inline constexpr llvm::StringLiteral rowsAttr = "kernel.rows";
inline constexpr llvm::StringLiteral memoryAttr = "kernel.memory";
inline constexpr llvm::StringLiteral ioAttr = "kernel.io";
// Of a call in the stage `native`: the name of the results of the kernel.call
// that it was.
inline constexpr llvm::StringLiteral callAttr = "kernel.call";
// Of a launch in the stage `native`: the kernel.
inline constexpr llvm::StringLiteral calleeAttr = "kernel.callee";
// Of the module: the target whose kernels it calls.
inline constexpr llvm::StringLiteral targetAttr = "kernel.target";
// Of a function: columns [a, b) of the per-layer-embedding table that its io
// `ple` holds. `pleMark` marks the table's kernel.weight: rows are gathered by
// the runtime, no kernel reads it.
inline constexpr llvm::StringLiteral pleAttr = "kernel.ple";
inline constexpr llvm::StringLiteral pleMark = "ple";

llvm::StringRef wordOf(Space space);
// `row + 64` or `io resid`; parsing gives null after an error.
std::string textOf(PlaceAttr place);
PlaceAttr parsePlace(AsmParser &p);
// The place of a result of a planned call.
PlaceAttr placeOf(OpResult result);

// The array of gm_ctx that an argument or a result of a function is; nothing
// without kernel.io (a value of another op is none).
std::optional<gemmac::Io> argumentIo(func::FuncOp func, Value argument);
std::optional<gemmac::Io> resultIo(func::FuncOp func, unsigned result);

// The symbols of a verified module, for passes that look up many: names that
// its calls and weights use are there.
class Symbols {
public:
  explicit Symbols(ModuleOp module) : table(module) {}
  DefOp def(CallOp call) const { return table.lookup<DefOp>(call.getCallee()); }
  const gemmac::Family &family(CallOp call) const {
    return *gemmac::findFamily(def(call).getFamily().str());
  }
  WeightOp weight(Attribute name) const {
    return table.lookup<WeightOp>(cast<FlatSymbolRefAttr>(name).getValue());
  }
  // Null for a call without one.
  CacheOp cache(CallOp call) const {
    return call.getCache() ? table.lookup<CacheOp>(*call.getCache())
                           : CacheOp();
  }

private:
  SymbolTable table;
};

// kernel.def attributes as the plain KernelSpec of targets/Kernels.h.
gemmac::KernelSpec specOf(DefOp def);
gemmac::KernelSpec specOf(llvm::StringRef family, gemmac::RowClass rows,
                          DictionaryAttr constants);
DictionaryAttr constantsAttr(MLIRContext *context,
                             const gemmac::Constants &constants);
// The scalars of a call in the order of its family, which must be its own.
llvm::SmallVector<int64_t> scalarsOf(CallOp call, const gemmac::Family &family);
DictionaryAttr scalarsAttr(MLIRContext *context, const gemmac::Family &family,
                           llvm::ArrayRef<int64_t> scalars);

// Encoding of an activation type ("f32", "bf16", "i32") and bytes of one row
// as stored (targets/Layouts.h rowBytes).
llvm::StringRef encodingOf(RankedTensorType type);
int64_t bytesPerRow(RankedTensorType type);
// Size of dimension 1, 1 of a vector.
int64_t columnsOf(Type type);

} // namespace mlir::kernel
