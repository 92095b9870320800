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

#include "dialects/kernel/KernelDialect.h.inc"
#define GET_OP_CLASSES
#include "dialects/kernel/KernelOps.h.inc"

namespace mlir::kernel {

inline constexpr llvm::StringLiteral segmentAttr = "kernel.segment";
inline constexpr llvm::StringLiteral rowsAttr = "kernel.rows";
inline constexpr llvm::StringLiteral memoryAttr = "kernel.memory";
inline constexpr llvm::StringLiteral ioAttr = "kernel.io";
// Of the module: the target whose kernels it calls.
inline constexpr llvm::StringLiteral targetAttr = "kernel.target";
// Of a function: columns [a, b) of the per-layer-embedding table that its io
// `ple` holds. `pleMark` marks the table's kernel.weight: rows are gathered by
// the runtime, no kernel reads it.
inline constexpr llvm::StringLiteral pleAttr = "kernel.ple";
inline constexpr llvm::StringLiteral pleMark = "ple";

// Where a value lives. `offset` counts bytes per unit of the class:
// Fixed: once; Worker: per worker; Row: per row of the step; Key: per (row,
// split). Io: an array of gm_ctx, `io`.
struct Place {
  enum class Class { Fixed, Worker, Row, Key, Io };
  Class place = Class::Fixed;
  int64_t offset = 0;
  gemmac::Io io = {}; // Io only
};
std::optional<Place> parsePlace(llvm::StringRef text);
std::string formatPlace(const Place &place);

// The array of gm_ctx that an argument or a result of a function is; nothing
// without kernel.io (a value of another op is none).
std::optional<gemmac::Io> argumentIo(func::FuncOp func, Value argument);
std::optional<gemmac::Io> resultIo(func::FuncOp func, unsigned result);

// The family of a call; null if callee or family are unknown.
const gemmac::Family *familyOf(CallOp call);
DefOp lookupDef(CallOp call);
WeightOp lookupWeight(Operation *user, FlatSymbolRefAttr name);
CacheOp lookupCache(Operation *user, FlatSymbolRefAttr name);

// kernel.def attributes as the plain KernelSpec of targets/Kernels.h.
gemmac::KernelSpec specOf(DefOp def);
gemmac::KernelSpec specOf(llvm::StringRef family, llvm::StringRef rows,
                          DictionaryAttr constants);
DictionaryAttr constantsAttr(MLIRContext *context,
                             const gemmac::Constants &constants);

// Encoding of an activation type ("f32", "bf16", "i32") and bytes of one row
// as stored (targets/Layouts.h rowBytes).
llvm::StringRef encodingOf(RankedTensorType type);
int64_t bytesPerRow(RankedTensorType type);
// Size of dimension 1, 1 of a vector.
int64_t columnsOf(Type type);

} // namespace mlir::kernel
