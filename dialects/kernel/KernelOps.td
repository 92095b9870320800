// The kernel dialect: which kernel runs on which bytes, in which order, and
// who runs which part of it. Lowered to straight-line LLVM IR.

#ifndef KERNEL_OPS
#define KERNEL_OPS

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Kernel_Dialect : Dialect {
  let name = "kernel";
  let cppNamespace = "::mlir::kernel";
  let summary = "calls of specialised kernels, barriers and places";
  let description = [{
    A program after `select`: straight-line functions whose ops are calls of
    named, specialised kernels (`kernel.def`), reading packed weights
    (`kernel.weight`) and paged caches (`kernel.cache`). All workers execute the
    same function; each runs its share of the units of every call (SPMD).
    `plan` adds barriers, a place for every result and an offset for every
    weight and cache. Values stay tensors to the end: there is no bufferization
    and no memref; `kernel-to-llvm` maps a value to an address.

    Which families exist, their operands, axes and access is plain data in
    `targets/Kernels.h`; layouts are in `targets/Layouts.h`. The ops check
    themselves against these tables.

    Functions are `func.func @<segment>_<class>` with the attributes
    `kernel.segment`, `kernel.rows = "few" | "many"` and, after plan,
    `kernel.memory` (bytes per unit of every space). Every argument and every
    result carries `kernel.io = "<name>"`, the name of an array of `gm_ctx`
    (GM_IO_LIST of runtime/abi.h). A function that reads rows of the per-layer
    embeddings has `kernel.ple = array<i64: a, b>`: columns [a, b) of the table
    whose `kernel.weight` has the unit attribute `ple`. The module's
    `kernel.target` names the hardware.
  }];
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
  let useDefaultAttributePrinterParser = 1;
}

//===-- attributes --------------------------------------------------------===//

// The C++ enums stand in targets/, which does not know MLIR; here are the words.
class TargetEnum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::gemmac";
  let genSpecializedAttr = 0;
}

def AxisEnum : TargetEnum<"Axis", "how the units of a call are divided", [
  I32EnumAttrCase<"Blocks", 0, "blocks">, I32EnumAttrCase<"Rows", 1, "rows">,
  I32EnumAttrCase<"Tiles", 2, "tiles">, I32EnumAttrCase<"Splits", 3, "splits">,
  I32EnumAttrCase<"All", 4, "all">, I32EnumAttrCase<"One", 5, "one">]>;
def RowClassEnum : TargetEnum<"RowClass", "a row class", [
  I32EnumAttrCase<"Few", 0, "few">, I32EnumAttrCase<"Many", 1, "many">]>;

class Kernel_Attr<string name, string attrMnemonic> : AttrDef<Kernel_Dialect, name> {
  let mnemonic = attrMnemonic;
}
class Kernel_Enum<TargetEnum enum, string name> : EnumAttr<Kernel_Dialect, enum, name> {
  let cppNamespace = "::mlir::kernel";
}
def AxisAttr : Kernel_Enum<AxisEnum, "axis">;
def RowClassAttr : Kernel_Enum<RowClassEnum, "rows">;

def PlaceAttr : Kernel_Attr<"Place", "place"> {
  let summary = "where a value lives";
  let description = [{
    `offset` bytes per unit into a space of the arena: `worker` (a copy per
    worker), `row` (per row of the step), `key` (per row and split); or the
    array `io` of gm_ctx.

    ```
    #kernel.place<row + 64>
    #kernel.place<io resid>
    ```
  }];
  let parameters = (ins "::mlir::kernel::Space":$space, "int64_t":$offset, "::gemmac::Io":$io);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    static PlaceAttr at(MLIRContext *context, Space space, int64_t offset) {
      return get(context, space, offset, {});
    }
    static PlaceAttr at(MLIRContext *context, ::gemmac::Io io) {
      return get(context, Space::Io, 0, io);
    }
  }];
}
def PlaceArray : TypedArrayAttrBase<PlaceAttr, "places of results">;

def PieceAttr : Kernel_Attr<"Piece", "piece"> {
  let summary = "rows and columns of a source tensor";
  let description = [{
    Rows `[row0, row1)` and columns `[col0, col1)`; of a stack, of every member.

    ```
    #kernel.piece<"layers.0.self_attn.q_proj.weight" rows 0 to 2048 cols 0 to 1536>
    ```
  }];
  let parameters = (ins StringRefParameter<"tensor">:$tensor, "int64_t":$row0, "int64_t":$row1,
                        "int64_t":$col0, "int64_t":$col1);
  let assemblyFormat = "`<` $tensor `rows` $row0 `to` $row1 `cols` $col0 `to` $col1 `>`";
  let genVerifyDecl = 1;
}
def PieceArray : TypedArrayAttrBase<PieceAttr, "pieces">;

def MemoryAttr : Kernel_Attr<"Memory", "memory"> {
  let summary = "bytes that a function needs";
  let description = [{
    Per unit of every space (PlaceAttr).

    ```
    #kernel.memory<worker = 1024, row = 384, key = 0>
    ```
  }];
  let parameters = (ins "int64_t":$worker, "int64_t":$row, "int64_t":$key);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

// An integer of at least `low`, signed in C++.
class Size<int low> : ConfinedAttr<I64Attr, [IntMinValue<low>]> {
  let returnType = "int64_t";
  let convertFromStorage = "$_self.getInt()";
}

//===-- ops ---------------------------------------------------------------===//

class Kernel_Op<string mnemonic, list<Trait> traits = []>
    : Op<Kernel_Dialect, mnemonic, traits>;

def DefOp : Kernel_Op<"def", [Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "one specialised kernel body";
  let description = [{
    A body of `family` for these `constants` and row class. The symbol is
    derived from them (`kernelSymbol` in targets/Kernels.h).

    ```mlir
    kernel.def @linear_bf16_bf16_k1536_few = linear few {act = bf16, format = bf16, k = 1536}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$family, RowClassAttr:$rows,
                       DictionaryAttr:$constants);
  let assemblyFormat = [{
    $sym_name `=` custom<Word>($family) `` $rows custom<Constants>($constants)
    attr-dict
  }];
  let hasVerifier = 1;
}

def WeightOp : Kernel_Op<"weight", [Symbol, HasParent<"::mlir::ModuleOp">,
                                    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a packed weight";
  let description = [{
    A matrix of `rows` x `cols` (a vector: 1 x cols) in `format` and `layout`,
    `stack` of them one after the other (experts). Its rows are the rows of the
    `pieces` in order. With `interleave 32` the two pieces alternate in blocks of
    32 rows, each padded to a multiple of 32 with zero rows (gate and up).
    Of a quantised format `rows` and `cols` may be those of the pieces rounded up
    to a block: the rest is zeros, which the results and activations of a gated
    MLP that is no multiple of 32 wide have, too.
    Every matrix is padded with zeros as its layout says; `bytes` is the packed
    size. After plan, `offset` is the position in the weight section.

    A view of another weight names its `rows` rows from `view_row` on, shares its
    bytes and has no pieces.

    ```mlir
    kernel.weight @l0.q bf16 in bf16_16x2 2048 x 1536 pieces [#kernel.piece<"layers.0.self_attn.q_proj.weight" rows 0 to 2048 cols 0 to 1536>] bytes 6291456
    kernel.weight @l0.q_first bf16 in bf16_16x2 256 x 1536 view @l0.q from 0 bytes 786432
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$format, StrAttr:$layout,
                       Size<1>:$rows, Size<1>:$cols,
                       DefaultValuedAttr<Size<1>, "1">:$stack,
                       DefaultValuedAttr<Size<0>, "0">:$interleave,
                       OptionalAttr<PieceArray>:$pieces,
                       OptionalAttr<FlatSymbolRefAttr>:$view_of,
                       OptionalAttr<Size<0>>:$view_row,
                       Size<0>:$bytes, OptionalAttr<Size<0>>:$offset);
  let assemblyFormat = [{
    $sym_name custom<Word>($format) `in` custom<Word>($layout) $rows `x` $cols
    (`times` $stack^)? (`interleave` $interleave^)? (`pieces` $pieces^)?
    (`view` $view_of^ `from` $view_row)? `bytes` $bytes (`at` $offset^)?
    attr-dict
  }];
  let hasVerifier = 1;
}

def CacheOp : Kernel_Op<"cache", [Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "the page pools of one layer's keys and values";
  let description = [{
    Local (a sliding `window` > 0) or global (0): that decides which page table
    addresses it. A page holds 64 keys: `k_page` and `v_page` are its bytes.
    After plan, `offset` is bytes per page before this layer's K pool within the
    pools of its kind; the V pool follows at `offset + k_page`. Address of a
    pool: `base(kind) + offset * pages(kind)`.

    ```mlir
    kernel.cache @kv0 bf16 heads 1 dim 256 window 512 pages 32768, 32768
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$format, Size<1>:$heads,
                       Size<1>:$dim, Size<0>:$window, Size<0>:$k_page,
                       Size<0>:$v_page, OptionalAttr<Size<0>>:$offset);
  let assemblyFormat = [{
    $sym_name custom<Word>($format) `heads` $heads `dim` $dim `window` $window
    `pages` $k_page `,` $v_page (`at` $offset^)? attr-dict
  }];
  let extraClassDeclaration = [{
    bool isLocal() { return getWindow() > 0; }
  }];
  let hasVerifier = 1;
}

def CallOp : Kernel_Op<"call", [HasParent<"::mlir::func::FuncOp">, DeclareOpInterfaceMethods<SymbolUserOpInterface>,
                                MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "run all units of one kernel";
  let description = [{
    Runs `callee` for every unit of its axis; each worker runs its share.
    Operands, weights, cache, results and scalars are those of the family
    (targets/Kernels.h). Units are `n` times the run-time factor of the axis:

    | axis | units | |
    |---|---|---|
    | `blocks` | n | blocks of output columns, all rows inside |
    | `rows` | n x rows | |
    | `tiles` | n x tiles | n = K/V heads |
    | `splits` | n x splits of the cache's kind | |
    | `all` | rows | every worker computes all of them into its own copy |
    | `one` | rows | worker 0 computes them |

    After plan, `at` gives the place of every result (PlaceAttr).

    ```mlir
    %a = kernel.call @linear_bf16_bf16_k1536_few(%x) weights([@l0.qkv]) scalars {stride = 2560} over blocks(160) at [row + 10240] : (tensor<?x1536xbf16>) -> tensor<?x2560xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs,
                       OptionalAttr<ArrayAttr>:$weights,
                       OptionalAttr<FlatSymbolRefAttr>:$cache,
                       OptionalAttr<DictionaryAttr>:$scalars,
                       AxisAttr:$axis, Size<1>:$units, OptionalAttr<PlaceArray>:$at);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $callee `(` $inputs `)` (`weights` `(` $weights^ `)`)? (`cache` `(` $cache^ `)`)?
    (`scalars` custom<Constants>($scalars)^)? `over` `` $axis `(` $units `)`
    (`at` custom<Places>($at)^)? attr-dict
    `:` functional-type($inputs, $results)
  }];
}

def BarrierOp : Kernel_Op<"barrier", [HasParent<"::mlir::func::FuncOp">, MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "all workers arrive; earlier writes are visible";
  let description = [{
    ```mlir
    kernel.barrier
    ```
  }];
  let assemblyFormat = "attr-dict";
}

#endif
