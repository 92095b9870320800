// The kernel dialect: which kernel runs on which bytes, in which order, and
// who runs which part of it. Lowered to straight-line LLVM IR.

#ifndef KERNEL_OPS
#define KERNEL_OPS

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
    `kernel.memory = {fixed, worker, row, key}` (bytes per unit). Every argument
    and every result carries `kernel.io = "<name>"`, the name of an array of
    `gm_ctx` (GM_IO_LIST of runtime/abi.h). Body and tail of models with
    per-layer embeddings carry `kernel.ple = [a, b)`, the columns of a row of
    that table that they read; the weight which holds the table has the unit
    attribute `ple`. The module names its target in `kernel.target`.
  }];
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
}

class Kernel_Op<string mnemonic, list<Trait> traits = []>
    : Op<Kernel_Dialect, mnemonic, traits>;

def DefOp : Kernel_Op<"def", [Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "one specialised kernel body";
  let description = [{
    A body of `family` for these `constants` and row class. The symbol is
    derived from them (`kernelSymbol` in targets/Kernels.h).

    ```mlir
    kernel.def @linear_bf16_bf16_k1536_few {family = "linear", rows = "few", constants = {act = "bf16", format = "bf16", k = 1536 : i64}}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$family, StrAttr:$rows,
                       DictionaryAttr:$constants);
  let assemblyFormat = "$sym_name attr-dict";
  let hasVerifier = 1;
}

def WeightOp : Kernel_Op<"weight", [Symbol, HasParent<"::mlir::ModuleOp">,
                                    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a packed weight";
  let description = [{
    A matrix of `rows` x `cols` (a vector: 1 x cols) in `format` and `layout`,
    `stack` of them one after the other (experts). Its rows are the rows of the
    `pieces` in order; a piece is a dictionary `{tensor, rows = [a, b), cols =
    [a, b)}` of a source tensor (per stack member: row and column numbers inside
    the member). With `interleave = 32` the two pieces alternate in blocks of 32
    rows, each padded to a multiple of 32 with zero rows (gate and up).
    Every matrix is padded with zeros as its layout says; `bytes` is the packed
    size. After plan, `offset` is the position in the weight section.

    A `view_of` another weight names its rows `[a, b)` (`view_rows`), shares its
    bytes and has no pieces.

    ```mlir
    kernel.weight @l0.q {pieces = [{tensor = "layers.0.self_attn.q_proj.weight", rows = array<i64: 0, 2048>, cols = array<i64: 0, 1536>} ], format = "bf16", layout = "bf16_16x2", rows = 2048 : i64, cols = 1536 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6291456 : i64}
    kernel.weight @l0.q_first {view_of = @l0.q, view_rows = array<i64: 0, 256>, format = "bf16", layout = "bf16_16x2", rows = 256 : i64, cols = 1536 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 786432 : i64}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<ArrayAttr>:$pieces,
                       StrAttr:$format, StrAttr:$layout, I64Attr:$rows, I64Attr:$cols,
                       I64Attr:$stack, I64Attr:$interleave, I64Attr:$bytes,
                       OptionalAttr<FlatSymbolRefAttr>:$view_of,
                       OptionalAttr<DenseI64ArrayAttr>:$view_rows,
                       OptionalAttr<I64Attr>:$offset);
  let assemblyFormat = "$sym_name attr-dict";
  let hasVerifier = 1;
}

def CacheOp : Kernel_Op<"cache", [Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "the page pools of one layer's keys and values";
  let description = [{
    `table` is `"local"` (sliding, window > 0) or `"global"`: which page table
    addresses it. A page holds 64 keys: `k_page` and `v_page` are its bytes.
    After plan, `offset` is bytes per page before this layer's K pool within the
    pools of its table; the V pool follows at `offset + k_page`. Address of a
    pool: `base(table) + offset * pages(table)`.

    ```mlir
    kernel.cache @kv0 {table = "local", window = 512 : i64, heads = 1 : i64, dim = 256 : i64, format = "bf16", k_page = 32768 : i64, v_page = 32768 : i64}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$table, I64Attr:$window,
                       I64Attr:$heads, I64Attr:$dim, StrAttr:$format, I64Attr:$k_page,
                       I64Attr:$v_page, OptionalAttr<I64Attr>:$offset);
  let assemblyFormat = "$sym_name attr-dict";
  let hasVerifier = 1;
}

def CallOp : Kernel_Op<"call", [HasParent<"::mlir::func::FuncOp">, DeclareOpInterfaceMethods<SymbolUserOpInterface>,
                                MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "run all units of one kernel";
  let description = [{
    Runs `callee` for every unit of its axis; each worker runs its share.
    Operands, weights, cache, results and scalars are those of the family, in
    its order (targets/Kernels.h). Units are `n` times the run-time factor of
    the axis:

    | axis | units | |
    |---|---|---|
    | `blocks` | n | blocks of output columns, all rows inside |
    | `rows` | n x rows | |
    | `tiles` | n x tiles | n = K/V heads |
    | `splits` | n x splits of the cache's table | |
    | `all` | rows | every worker computes all of them into its own copy |
    | `one` | rows | worker 0 computes them |

    After plan, `at` gives the place of every result: `fixed+o`, `worker+o`,
    `row+o`, `key+o` (o = bytes per unit of the class) or `io name`.

    ```mlir
    %a = kernel.call @linear_bf16_bf16_k1536_few(%x) weights([@l0.qkv]) scalars [2560] over "blocks"(160) at ["row+10240"] : (tensor<?x1536xbf16>) -> tensor<?x2560xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs,
                       OptionalAttr<ArrayAttr>:$weights,
                       OptionalAttr<FlatSymbolRefAttr>:$cache,
                       OptionalAttr<DenseI64ArrayAttr>:$scalars,
                       StrAttr:$axis, I64Attr:$units, OptionalAttr<StrArrayAttr>:$at);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $callee `(` $inputs `)` (`weights` `(` $weights^ `)`)? (`cache` `(` $cache^ `)`)?
    (`scalars` $scalars^)? `over` $axis `(` $units `)` (`at` $at^)? attr-dict
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
