// What all ops of the gemma dialect share: the dialect, its types, attributes,
// traits and interfaces.

#ifndef GEMMA_BASE
#define GEMMA_BASE

include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Gemma_Dialect : Dialect {
  let name = "gemma";
  let cppNamespace = "::mlir::gemma";
  let summary = "Gemma 4 on tensors";
  let description = [{
    Models the mathematics of a Gemma 4 decoder and of the towers that make soft
    rows of pictures and sounds for it: `func.func`s with the attribute
    `gemma.segment`, f32 activations `tensor<?xKxf32>` (one row per token of the
    step; per patch of a picture or frame of a sound), and two kinds of symbols: `gemma.weight` (a tensor of
    the checkpoint; its bytes never enter the IR) and `gemma.cache` (keys and
    values of one layer). It says nothing about formats of activations, memory,
    threads or instructions; the kernel dialect does.

    The importer emits primitives only; `optimize` forms the fused ops, each of
    which is defined as its expansion into primitives (`gemma-expand` undoes
    it). linalg is not used: generalising loses the names that kernels are
    chosen by.

    Values are real numbers as far as the semantics go: the reference evaluator
    computes them in double, kernels in f32 accumulation. Below, n is the number
    of rows, D the hidden size, H query heads, Hk key/value heads, hd the head
    size, P the per-layer-embedding width, V the vocabulary.

    `gemma.segment` is "step" or a segment of runtime/abi.h; such a function is
    one block. Arguments carry `gemma.arg = "<name>"`: ids, slot, pos,
    rope_local, rope_global, end, soft, resid, want, hidden, mask; of pictures
    and sounds pixels, position, rope_patch, encoded, features.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
}

// One row per token; the number of columns is always known.
def F32Rows : Type<And<[2DTensorOf<[F32]>.predicate,
                        CPred<"::llvm::cast<::mlir::ShapedType>($_self).getDimSize(1) > 0">]>,
                   "rows of f32 with a static number of columns", "::mlir::RankedTensorType">;

class Gemma_Op<string mnemonic, list<Trait> traits = []>
    : Op<Gemma_Dialect, mnemonic, traits>;
// Ops that compute stand in functions of one block: there values dominate their
// uses, and data flow is all that passes need to look at.
def Gemma_InOneBlock : PredOpTrait<"it stands in a func.func of one block",
    CPred<"::llvm::isa<::mlir::func::FuncOp>($_op.getParentOp()) && "
          "::llvm::hasSingleElement(*$_op.getParentRegion())">>;
class Gemma_ComputeOp<string mnemonic, list<Trait> traits = []>
    : Gemma_Op<mnemonic, !listconcat([Gemma_InOneBlock], traits)> {
  let results = (outs F32Rows:$result); // if not said otherwise
}
class Gemma_PureOp<string mnemonic, list<Trait> traits = []>
    : Gemma_ComputeOp<mnemonic, !listconcat([Pure], traits)>;

// Ops that name weights or caches check the symbols' shapes.
def Gemma_Symbols : DeclareOpInterfaceMethods<SymbolUserOpInterface>;

//===-- traits and interfaces ---------------------------------------------===//

// A primitive that no kernel computes: `optimize` leaves it in no segment.
def Gemma_OnlyFused : NativeOpTrait<"OnlyFused"> {
  let cppNamespace = "::mlir::gemma";
}

def Gemma_MatrixUser : OpInterface<"MatrixUser"> {
  let cppNamespace = "::mlir::gemma";
  let description = "An op that reads matrices and demands something of their formats.";
  let methods = [InterfaceMethod<
      "The matrices that it reads, and which of them belong together.",
      "::llvm::SmallVector<::mlir::gemma::MatrixRead>", "getMatrices">];
}

def Gemma_FusedOp : OpInterface<"FusedOp"> {
  let cppNamespace = "::mlir::gemma";
  let description = "An op that is defined as its expansion into primitives.";
  let methods = [InterfaceMethod<
      "Builds the primitives at `builder`; returns what replaces the results.",
      "::llvm::SmallVector<::mlir::Value>", "expand",
      (ins "::mlir::OpBuilder &":$builder)>];
}

// Ends a layer: multiplies its result by the layer's scalar, if it has one.
def Gemma_EndsLayer : OpInterface<"EndsLayer"> {
  let cppNamespace = "::mlir::gemma";
  let methods = [
    InterfaceMethod<"", "::mlir::FlatSymbolRefAttr", "getScaleAttr">,
    InterfaceMethod<"", "void", "setScaleAttr",
                    (ins "::mlir::FlatSymbolRefAttr":$scale)>];
}

def Gemma_Matrices : DeclareOpInterfaceMethods<Gemma_MatrixUser>;
class Gemma_FusedTraits<list<Trait> traits> {
  list<Trait> all = !listconcat([Gemma_Symbols, Gemma_Matrices,
      DeclareOpInterfaceMethods<Gemma_FusedOp>], traits);
}

//===-- types and attributes ----------------------------------------------===//

def I32Row : 1DTensorOf<[I32]>;
def I32Rows : 2DTensorOf<[I32]>;
def RopeTable : 3DTensorOf<[F32]>; // n x pairs x 2 (cos, sin)
defvar Sym = FlatSymbolRefAttr;
def OptSym : OptionalAttr<Sym>;
def Bounds : OptionalAttr<FlatSymbolRefArrayAttr>; // of clipped linears
def Range : ConfinedAttr<DenseI64ArrayAttr, [DenseArrayCount<2>]>;

// Sizes and counts, read as int64_t.
def Int : TypedSignlessIntegerAttrBase<I64, "int64_t", "whole number">;
def Count : ConfinedAttr<Int, [IntPositive]>;
def Finite : ConfinedAttr<F64Attr, [AttrConstraint<
    CPred<"::llvm::cast<::mlir::FloatAttr>($_self).getValue().isFinite()">, "finite">]>;
def Positive : ConfinedAttr<Finite, [AttrConstraint<
    CPred<"::llvm::cast<::mlir::FloatAttr>($_self).getValueAsDouble() > 0">, "positive">]>;
// Readers and writers of a cache.
def ReadCache : Arg<FlatSymbolRefAttr, "", [MemRead]>;
def WriteCache : Arg<FlatSymbolRefAttr, "", [MemWrite]>;

def ConfigAttr : AttrDef<Gemma_Dialect, "Config"> {
  let mnemonic = "config";
  let summary = "facts of the model's configuration";
  let description = [{
    Numbers and words by name, printed one to a line.

    ```mlir
    module attributes {gemma.config = #gemma.config<{hidden = 1536, softcap = 30.0}>} {}
    ```
  }];
  let parameters = (ins "::mlir::DictionaryAttr":$entries);
  let hasCustomAssemblyFormat = 1;
}

def SoftMode : I32Enum<"SoftMode", "the row of a soft token", [
    I32EnumCase<"Row", 0, "row">, I32EnumCase<"Zero", 1, "zero">]> {
  let cppNamespace = "::mlir::gemma";
}
def SoftModeAttr : EnumAttr<Gemma_Dialect, SoftMode, "soft_mode">;

#endif
