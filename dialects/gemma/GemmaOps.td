// The gemma dialect: what a Gemma 4 decoder computes, knowing no hardware.
// Every op is documented with shapes, accumulation and its source in
// docs/model/text.md. What towers compute besides: GemmaTowerOps.td.

#ifndef GEMMA_OPS
#define GEMMA_OPS

include "dialects/gemma/GemmaBase.td"
include "dialects/gemma/GemmaTowerOps.td"

//===-- symbols -----------------------------------------------------------===//

def WeightOp : Gemma_Op<"weight", [Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "a tensor of the checkpoint";
  let description = [{
    Names one source tensor. `from` is its Hugging Face name without the prefix
    `model.language_model.` or `model.`; the type is its logical shape
    (`[out, in]` for matrices, row-major). `source` is the type it has in the
    bound checkpoint (`f32`, `f16`, `bf16`, or a block format of GGUF: `q8_0`,
    `q4_0`, `q4_1`, `q5_0`, `q5_1`, `q4_k`, `q5_k`, `q6_k`), absent when
    compiling from a configuration alone; `parts` names the two tensors that hold
    it there, each half of the rows, where there is none called `from` (gate and up
    projections of experts in GGUF files). `format` is what it is stored as
    (`f32`, `bf16`, `q8_0`, `q4_0` or `q4_bf`) and `act` the format of the
    activations that it multiplies (`f32`, `bf16` or `q8`); both are set by
    `gemma-choose-formats`.

    ```mlir
    gemma.weight @l0.q from "layers.0.self_attn.q_proj.weight" : tensor<2048x1536xf32> {source = "bf16"}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$from, TypeAttr:$type,
                       OptionalAttr<StrAttr>:$source, OptionalAttr<StrArrayAttr>:$parts,
                       OptionalAttr<StrAttr>:$format, OptionalAttr<StrAttr>:$act);
  let assemblyFormat = "$sym_name `from` $from `:` $type attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getTensorType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getType());
    }
    int64_t dim(unsigned i) { return getTensorType().getDimSize(i); }
    unsigned rank() { return getTensorType().getRank(); }
  }];
}

def CacheOp : Gemma_Op<"cache", [Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "keys and values of one layer";
  let description = [{
    The K/V cache of one KV-owning layer: for every position `heads` keys and
    values of size `dim`. `window` is the number of keys a query sees including
    its own (0 = all: a global layer). `format` (`f32`, `bf16` or `q8`) is set by
    `gemma-choose-formats`. Readers and writers have memory effects on the symbol;
    several layers may read one cache (KV sharing, docs/model/text.md#2.4).

    ```mlir
    gemma.cache @kv0 heads 1 dim 256 window 512
    ```
  }];
  // Products of these stay far from overflow.
  let arguments = (ins SymbolNameAttr:$sym_name,
                       ConfinedAttr<Int, [IntNonNegative]>:$window,
                       ConfinedAttr<Int, [IntPositive, IntMaxValue<1048576>]>:$heads,
                       ConfinedAttr<Int, [IntMinValue<2>, IntMaxValue<1048576>]>:$dim,
                       OptionalAttr<StrAttr>:$format);
  let assemblyFormat = "$sym_name `heads` $heads `dim` $dim `window` $window attr-dict";
  let hasVerifier = 1;
}

//===-- primitives --------------------------------------------------------===//

def EmbedOp : Gemma_PureOp<"embed", [Gemma_Symbols, Gemma_Matrices]> {
  let summary = "look up and scale rows of a table";
  let description = [{
    `y[r, j] = table[ids[r], a + j] * scale` for the columns `[a, b)` (default
    all). A negative id -1-j is a soft token: with `soft row (%soft : ...)` the
    result is row j of `%soft`, unscaled; with `soft zero` it is table row 0 (the
    per-layer table, docs/model/text.md#2.3). `scale` is sqrt(D) rounded to bf16
    (docs/model/text.md#2.2).

    ```mlir
    %h = gemma.embed %ids, @embed scale 39.25 : tensor<?xi32> -> tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins I32Row:$ids, Optional<F32Rows>:$soft, Sym:$table, Finite:$scale,
                       OptionalAttr<Range>:$columns, OptionalAttr<SoftModeAttr>:$soft_mode);
  let assemblyFormat = [{
    $ids `,` $table (`soft` `` $soft_mode^)? (`(` $soft^ `:` type($soft) `)`)?
    (`columns` $columns^)? `scale` custom<Real>($scale) attr-dict
    `:` type($ids) `->` type($result)
  }];
}

def RmsNormOp : Gemma_PureOp<"rms_norm", [Gemma_Symbols, AllTypesMatch<["x", "result"]>]> {
  let summary = "root-mean-square norm of groups of columns";
  let description = [{
    For every group g of `size` consecutive columns (a head, a per-layer slice,
    or the whole row): `y = x * (mean(x^2) + eps)^(-1/2) * w`, the weight used
    as it is (not 1 + w) and shared by all groups; without a weight the factor
    is 1. Sums in f32 or better (docs/model/text.md#2.2).

    ```mlir
    %x = gemma.rms_norm %h weight @l0.in_norm size 1536 eps 1.0e-06 : tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, OptSym:$weight, Positive:$eps, Count:$size);
  let assemblyFormat = "$x (`weight` $weight^)? `size` $size `eps` custom<Real>($eps) attr-dict `:` type($x)";
}

def LinearOp : Gemma_PureOp<"linear", [Gemma_Symbols, Gemma_OnlyFused]> {
  let summary = "matrix product with a weight";
  let description = [{
    `y = x W^T` with W `[out, in]`; `rows = [a, b)` uses these rows of W only.
    Products are accumulated in f32 or better; no bias (docs/model/text.md#2).

    ```mlir
    %q = gemma.linear %x, @l0.q : tensor<?x1536xf32> -> tensor<?x2048xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight, OptionalAttr<Range>:$rows);
  let assemblyFormat = "$x `,` $weight (`rows` $rows^)? attr-dict `:` type($x) `->` type($result)";
}

def RopeOp : Gemma_PureOp<"rope", [Gemma_OnlyFused, AllTypesMatch<["x", "result"]>]> {
  let summary = "rotary position embedding";
  let description = [{
    Every group of `dim` columns is a head. For i < `pairs`, with
    `(c, s) = table[r, i]`: `y[i] = x[i] c - x[i + dim/2] s` and
    `y[i + dim/2] = x[i + dim/2] c + x[i] s`; other lanes pass through
    (docs/model/text.md#2.2). The table is a step input, computed in double and rounded once to f32.

    ```mlir
    %k2 = gemma.rope %k1, %rope_local dim 256 pairs 128 : tensor<?x256xf32>, tensor<?x128x2xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, RopeTable:$table, Count:$dim, Count:$pairs);
  let assemblyFormat = "$x `,` $table `dim` $dim `pairs` $pairs attr-dict `:` type($x) `,` type($table)";
  let hasVerifier = 1;
}

def AppendOp : Gemma_ComputeOp<"append", [Gemma_Symbols, Gemma_OnlyFused]> {
  let summary = "write keys and values of this step into a cache";
  let description = [{
    Row r writes its key `k[r]` and value `v[r]` (`[Hk, hd]` flattened) at
    position `pos[r]` of sequence `slot[r]`, rounded to the cache's format.

    ```mlir
    gemma.append %k2, %v1 at (%slot, %pos) to @kv0 : tensor<?x256xf32>, tensor<?x256xf32>, tensor<?xi32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins F32Rows:$k, F32Rows:$v, I32Row:$slot, I32Row:$pos, WriteCache:$cache);
  let results = (outs);
  let assemblyFormat = [{
    $k `,` $v `at` `(` $slot `,` $pos `)` `to` $cache attr-dict
    `:` type($k) `,` type($v) `,` type($slot) `,` type($pos)
  }];
}

def AttentionOp : Gemma_ComputeOp<"attention", [Gemma_Symbols, Gemma_OnlyFused,
                                                AllTypesMatch<["q", "result"]>]> {
  let summary = "attention of this step's queries over a cache";
  let description = [{
    `q` is `[n, H*hd]`; head j reads key/value head `j / (H/Hk)`. Row r sees the
    keys of `slot[r]` in the one interval `[max(0, p-W+1), max(p+1, end[r]))`,
    p = `pos[r]`, W the cache's window (0: from 0). Scores are `q . k` times
    exactly 1 (no scaling, no softcap), softmax and sums in f32 or better,
    result `[n, H*hd]` (docs/model/text.md#2.4). `end` exists only in models with image
    blocks.

    ```mlir
    %a = gemma.attention %q2 at (%slot, %pos) over @kv0 : tensor<?x2048xf32>, tensor<?xi32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins F32Rows:$q, I32Row:$slot, I32Row:$pos, Optional<I32Row>:$end,
                       ReadCache:$cache);
  let assemblyFormat = [{
    $q `at` `(` $slot `,` $pos `)` `over` $cache (`end` `(` $end^ `:` type($end) `)`)? attr-dict
    `:` type($q) `,` type($slot) `,` type($pos)
  }];
}

def GegluOp : Gemma_PureOp<"geglu", [Gemma_OnlyFused, SameOperandsAndResultType]> {
  let summary = "gelu(g) * u";
  let description = [{
    `y = gelu(g) * u` with the tanh form
    `gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`
    (docs/model/text.md#2.2); the MLP, the experts and the per-layer-embedding gate use it.

    ```mlir
    %a = gemma.geglu %g, %u : tensor<?x6144xf32>
    ```
  }];
  let arguments = (ins F32Rows:$g, F32Rows:$u);
  let assemblyFormat = "$g `,` $u attr-dict `:` type($result)";
}

def AddOp : Gemma_PureOp<"add", [Gemma_OnlyFused, SameOperandsAndResultType, Commutative]> {
  let summary = "elementwise sum";
  let description = [{
    `y = a + b`: residual additions and the sum of the two feed-forward branches.

    ```mlir
    %h1 = gemma.add %h, %x : tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins F32Rows:$lhs, F32Rows:$rhs);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($result)";
}

def ScaleOp : Gemma_PureOp<"scale", [Gemma_Symbols, Gemma_OnlyFused, SameOperandsAndResultType]> {
  let summary = "multiply by one number";
  let description = [{
    `y = x * factor`, or `y = x * w[0]` with a weight of one element
    (layer_scalar, docs/model/text.md#2.4). Exactly one of `weight` and `factor` is given.
    A factor of 1 folds away, and so do two constant factors in a row.

    ```mlir
    %y = gemma.scale %x by @l0.scalar : tensor<?x1536xf32>
    %z = gemma.scale %x times 0.5 : tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, OptSym:$weight, OptionalAttr<Finite>:$factor);
  let assemblyFormat = "$x (`by` $weight^)? (`times` custom<Real>($factor)^)? attr-dict `:` type($result)";
  let hasFolder = 1;
  let hasCanonicalizeMethod = 1;
}

def ColumnsOp : Gemma_PureOp<"columns"> {
  let summary = "a range of columns";
  let description = [{
    `y[r, j] = x[r, a + j]` for `range = [a, b)`. All columns fold away.

    ```mlir
    %p0 = gemma.columns %ple [0, 256] : tensor<?x8960xf32> -> tensor<?x256xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Range:$range);
  let assemblyFormat = "$x $range attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizeMethod = 1;
}

def TakeOp : Gemma_PureOp<"take"> {
  let summary = "gather rows";
  let description = [{
    `y[r] = x[index[r]]`: the rows of a step whose output is wanted.

    ```mlir
    %h = gemma.take %resid, %want : tensor<?x1536xf32>, tensor<?xi32> -> tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, I32Row:$index);
  let assemblyFormat = "$x `,` $index attr-dict `:` type($x) `,` type($index) `->` type($result)";
  let hasVerifier = 1;
}

def RouterOp : Gemma_PureOp<"router", [Gemma_Symbols, Gemma_Matrices, Gemma_OnlyFused]> {
  let summary = "choose experts and their weights";
  let description = [{
    The whole rule of docs/model/text.md#2.4: `z = rms(x; eps) * scale * factor` (factor is
    D^(-1/2)), `g = z proj^T` over E experts, `prob = softmax(g)` in f32, the
    `top` largest (ties: lower id first), `weights = prob / sum of the chosen`.
    Results `[n, top]`, in descending probability. The per-expert scale is
    applied by `experts`.

    ```mlir
    %w, %e = gemma.router %r, @l0.router, @l0.router_scale top 8 factor 0.018844 eps 1.0e-06 : tensor<?x2816xf32> -> tensor<?x8xf32>, tensor<?x8xi32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$proj, Sym:$scale, Positive:$eps, Positive:$factor,
                       Count:$top);
  let results = (outs F32Rows:$weights, I32Rows:$ids);
  let assemblyFormat = [{
    $x `,` $proj `,` $scale `top` $top `factor` custom<Real>($factor)
    `eps` custom<Real>($eps) attr-dict `:` type($x) `->` type($weights) `,` type($ids)
  }];
}

def ExpertsOp : Gemma_PureOp<"experts", [Gemma_Symbols, Gemma_OnlyFused,
                                         AllTypesMatch<["x", "result"]>]> {
  let summary = "weighted sum of the chosen experts";
  let description = [{
    `y = sum over j of weights[j] * per_expert[e] * down_e (gelu(gate_e x) * (up_e x))`,
    e = `ids[j]`. `gate_up` is `[E, 2F, D]` (rows 0..F-1 gate, F..2F-1 up),
    `down` is `[E, D, F]` (docs/model/text.md#2.4, docs/model/text.md#3.1). Experts are added in ascending id.

    ```mlir
    %y2 = gemma.experts %x3, %w, %e gate_up(@l0.gate_up) down(@l0.experts_down) per_expert(@l0.per_expert) : tensor<?x2816xf32>, tensor<?x8xf32>, tensor<?x8xi32>
    ```
  }];
  let arguments = (ins F32Rows:$x, F32Rows:$weights, I32Rows:$ids, Sym:$gate_up, Sym:$down,
                       Sym:$per_expert);
  let assemblyFormat = [{
    $x `,` $weights `,` $ids `gate_up` `(` $gate_up `)` `down` `(` $down `)`
    `per_expert` `(` $per_expert `)` attr-dict
    `:` type($x) `,` type($weights) `,` type($ids)
  }];
}

def LogitsOp : Gemma_PureOp<"logits", [Gemma_Symbols, Gemma_Matrices]> {
  let summary = "scores of every vocabulary entry";
  let description = [{
    `y = hidden E^T` with the output matrix `[V, D]`, unscaled (docs/model/text.md#2.1).

    ```mlir
    %l = gemma.logits %hidden, @embed : tensor<?x1536xf32> -> tensor<?x262144xf32>
    ```
  }];
  let arguments = (ins F32Rows:$hidden, Sym:$weight);
  let assemblyFormat = "$hidden `,` $weight attr-dict `:` type($hidden) `->` type($result)";
}

def SoftcapOp : Gemma_PureOp<"softcap", [AllTypesMatch<["x", "result"]>]> {
  let summary = "cap * tanh(x / cap)";
  let description = [{
    `y = cap tanh(x / cap)`, the final logit softcap (docs/model/text.md#2.1).

    ```mlir
    %y = gemma.softcap %l cap 30.0 : tensor<?x262144xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Positive:$cap);
  let assemblyFormat = "$x `cap` custom<Real>($cap) attr-dict `:` type($x)";
}

def TopOp : Gemma_PureOp<"top", [Gemma_Symbols, Gemma_Matrices]> {
  let summary = "the best vocabulary entries";
  let description = [{
    The `count` largest entries of `softcap(hidden E^T)` per row in descending
    order (ties: lower id first) as ids and softcapped values. Ids whose bit in
    `mask` (`[n, ceil(V/32)]`, bit i%32 of word i/32) is 0 do not take part.
    `cap` absent: no softcap. If fewer than `count` ids take part the rest of a
    row is id -1, value -1e30.

    ```mlir
    %ids, %values = gemma.top %hidden, @embed cap 30.0 count 64 : tensor<?x1536xf32> -> tensor<?x64xi32>, tensor<?x64xf32>
    ```
  }];
  let arguments = (ins F32Rows:$hidden, Optional<I32Rows>:$mask, Sym:$weight,
                       OptionalAttr<Positive>:$cap, Count:$count);
  let results = (outs I32Rows:$ids, F32Rows:$values);
  let assemblyFormat = [{
    $hidden `,` $weight (`mask` `(` $mask^ `:` type($mask) `)`)?
    (`cap` custom<Real>($cap)^)? `count` $count attr-dict
    `:` type($hidden) `->` type($ids) `,` type($values)
  }];
}

//===-- fused ops ---------------------------------------------------------===//
// Each is defined as the expansion in its description; gemma-expand produces
// exactly that. What belongs to one: this definition, its verifier
// (GemmaOps.cpp), its expansion and its matrices (FusedOps.cpp), the pass that
// forms it and the recipe.

def PleInputsOp : Gemma_PureOp<"ple_inputs", Gemma_FusedTraits<[]>.all> {
  let summary = "per-layer inputs of a range of layers";
  let description = [{
    For layers `[a, b)` (docs/model/text.md#2.3), P = `width`:
    ```
    tok = embed ids, @table {scale = token_scale, columns = [a P, b P)} soft zero
    ctx = rms_norm (scale (linear h0, @proj {rows = [a P, b P)}) {factor = context_scale}) weight @norm {size = P, eps}
    y   = scale (add ctx, tok) {factor = scale}                    // [n, (b-a) P]
    ```
    `h0` is the scaled embedding of the step's rows.

    ```mlir
    %ple = gemma.ple_inputs %ids, %h0 table(@ple_table) proj(@ple_proj) norm(@ple_norm) layers [0, 35] width 256 token_scale 16.0 context_scale 1.0 scale 0.7071067811865476 eps 1.0e-06 : tensor<?xi32>, tensor<?x1536xf32> -> tensor<?x8960xf32>
    ```
  }];
  let arguments = (ins I32Row:$ids, Optional<F32Rows>:$soft, F32Rows:$h0, Sym:$table, Sym:$proj,
                       Sym:$norm, Range:$layers, Count:$width, Positive:$eps,
                       Finite:$token_scale, Positive:$context_scale, Finite:$scale);
  let assemblyFormat = [{
    $ids `,` $h0 (`soft` `(` $soft^ `:` type($soft) `)`)? `table` `(` $table `)`
    `proj` `(` $proj `)` `norm` `(` $norm `)` `layers` $layers `width` $width
    `token_scale` custom<Real>($token_scale) `context_scale` custom<Real>($context_scale)
    `scale` custom<Real>($scale) `eps` custom<Real>($eps) attr-dict
    `:` type($ids) `,` type($h0) `->` type($result)
  }];
}

def KvBlockOp : Gemma_ComputeOp<"kv_block", Gemma_FusedTraits<[]>.all> {
  let summary = "compute and store keys and values of one layer";
  let description = [{
    ```
    x  = rms_norm h weight @norm {size = D, eps}
    k0 = linear x, @k
    v0 = linear x, @v                                  // v absent: v0 = k0
    k  = rope (rms_norm k0 weight @k_norm {size = hd, eps}), table {dim = hd, pairs}
    v  = rms_norm v0 {size = hd, eps}
    append k, v at (slot, pos) to @cache
    ```
    Global layers without `v` take keys for values (docs/model/text.md#5.2).

    ```mlir
    gemma.kv_block %h at (%slot, %pos), %rope_local norm(@l0.in_norm) k(@l0.k) v(@l0.v) k_norm(@l0.k_norm) cache(@kv0) pairs 128 eps 1.0e-06 : tensor<?x1536xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x128x2xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, I32Row:$slot, I32Row:$pos, RopeTable:$table, Sym:$norm,
                       Sym:$k, OptSym:$v, Sym:$k_norm, WriteCache:$cache, Positive:$eps,
                       Count:$pairs);
  let results = (outs);
  let assemblyFormat = [{
    $h `at` `(` $slot `,` $pos `)` `,` $table `norm` `(` $norm `)` `k` `(` $k `)`
    (`v` `(` $v^ `)`)? `k_norm` `(` $k_norm `)` `cache` `(` $cache `)`
    `pairs` $pairs `eps` custom<Real>($eps) attr-dict
    `:` type($h) `,` type($slot) `,` type($pos) `,` type($table)
  }];
}

def AttentionBlockOp : Gemma_ComputeOp<"attention_block",
    Gemma_FusedTraits<[AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "attention with its norms, projections and residual";
  let description = [{
    ```
    x = rms_norm h weight @norm {size = D, eps}
    q = rope (rms_norm (linear x, @q) weight @q_norm {size = hd, eps}), table {dim = hd, pairs}
    a = attention q at (slot, pos) over @cache
    y = add h, (rms_norm (linear a, @o) weight @post {size = D, eps})
    ```
    The cache is the layer's own or a donor's: the same op.

    ```mlir
    %h1 = gemma.attention_block %h at (%slot, %pos), %rope_local norm(@l0.in_norm) q(@l0.q) q_norm(@l0.q_norm) o(@l0.o) post(@l0.post_attn) cache(@kv0) pairs 128 eps 1.0e-06 : tensor<?x1536xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x128x2xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, I32Row:$slot, I32Row:$pos, Optional<I32Row>:$end,
                       RopeTable:$table, Sym:$norm, Sym:$q, Sym:$q_norm, Sym:$o, Sym:$post,
                       ReadCache:$cache, Positive:$eps, Count:$pairs);
  let assemblyFormat = [{
    $h `at` `(` $slot `,` $pos `)` `,` $table (`end` `(` $end^ `:` type($end) `)`)?
    `norm` `(` $norm `)` `q` `(` $q `)` `q_norm` `(` $q_norm `)` `o` `(` $o `)`
    `post` `(` $post `)` `cache` `(` $cache `)` `pairs` $pairs
    `eps` custom<Real>($eps) attr-dict
    `:` type($h) `,` type($slot) `,` type($pos) `,` type($table)
  }];
}

def FfnBlockOp : Gemma_PureOp<"ffn_block",
    Gemma_FusedTraits<[Gemma_EndsLayer, AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "gated MLP with its norms and residual";
  let description = [{
    ```
    x = rms_norm h weight @pre {size = D, eps}
    a = geglu (clipped x, @gate), (clipped x, @up)
    y = add h, (rms_norm (clipped a, @down) weight @post {size = D, eps})
    y = scale y by @scale                               // if given: layer_scalar
    ```
    `clipped` is `linear`, in towers with `bounds` as GemmaTowerOps.td says.

    ```mlir
    %h2 = gemma.ffn_block %h1 pre(@l0.pre_ffw) gate(@l0.gate) up(@l0.up) down(@l0.down) post(@l0.post_ffw) eps 1.0e-06 : tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, Sym:$pre, Sym:$gate, Sym:$up, Sym:$down, Sym:$post,
                       OptSym:$scale, Bounds:$bounds, Positive:$eps);
  let assemblyFormat = [{
    $h `pre` `(` $pre `)` `gate` `(` $gate `)` `up` `(` $up `)` `down` `(` $down `)`
    `post` `(` $post `)` (`scale` `(` $scale^ `)`)? (`bounds` $bounds^)?
    `eps` custom<Real>($eps)
    attr-dict `:` type($h)
  }];
}

def MoeBlockOp : Gemma_PureOp<"moe_block",
    Gemma_FusedTraits<[Gemma_EndsLayer, AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "mixture of experts and dense MLP in parallel";
  let description = [{
    The feed-forward block of 26B-A4B (docs/model/text.md#2.4):
    ```
    y1 = rms_norm (linear (geglu (linear x, @gate), (linear x, @up)), @down) weight @post_dense,  x = rms_norm h weight @pre
    w, e = router h, @router, @router_scale {eps, factor, top}
    y2 = rms_norm (experts x3, w, e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert)) weight @post_experts,  x3 = rms_norm h weight @pre_experts
    y  = add h, (rms_norm (add y1, y2) weight @post)
    y  = scale y by @scale                              // if given: layer_scalar
    ```
    All norms have size D and eps.

    ```mlir
    %h2 = gemma.moe_block %h1 pre(@l0.pre_ffw) gate(@l0.gate) up(@l0.up) down(@l0.down) post_dense(@l0.post_ffw1) router(@l0.router) router_scale(@l0.router_scale) pre_experts(@l0.pre_ffw2) gate_up(@l0.gate_up) experts_down(@l0.experts_down) per_expert(@l0.per_expert) post_experts(@l0.post_ffw2) post(@l0.post_ffw) scale(@l0.scalar) top 8 factor 0.018844 eps 1.0e-06 : tensor<?x2816xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, Sym:$pre, Sym:$gate, Sym:$up, Sym:$down, Sym:$post_dense,
                       Sym:$router, Sym:$router_scale, Sym:$pre_experts, Sym:$gate_up,
                       Sym:$experts_down, Sym:$per_expert, Sym:$post_experts, Sym:$post,
                       OptSym:$scale, Positive:$eps, Positive:$factor, Count:$top);
  let assemblyFormat = [{
    $h `pre` `(` $pre `)` `gate` `(` $gate `)` `up` `(` $up `)` `down` `(` $down `)`
    `post_dense` `(` $post_dense `)` `router` `(` $router `)`
    `router_scale` `(` $router_scale `)` `pre_experts` `(` $pre_experts `)`
    `gate_up` `(` $gate_up `)` `experts_down` `(` $experts_down `)`
    `per_expert` `(` $per_expert `)` `post_experts` `(` $post_experts `)`
    `post` `(` $post `)` (`scale` `(` $scale^ `)`)? `top` $top
    `factor` custom<Real>($factor) `eps` custom<Real>($eps) attr-dict `:` type($h)
  }];
}

def PleBlockOp : Gemma_PureOp<"ple_block",
    Gemma_FusedTraits<[Gemma_EndsLayer, AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "per-layer-embedding branch with its residual";
  let description = [{
    ```
    g = geglu (linear h, @gate), ple                    // ple [n, P]: this layer's columns of ple_inputs
    y = add h, (rms_norm (linear g, @proj) weight @post {size = D, eps})
    y = scale y by @scale                               // if given: layer_scalar
    ```
    The gate reads the raw residual, no norm (docs/model/text.md#5.8).

    ```mlir
    %h3 = gemma.ple_block %h2, %p0 gate(@l0.plg) proj(@l0.plp) post(@l0.post_ple) scale(@l0.scalar) eps 1.0e-06 : tensor<?x1536xf32>, tensor<?x256xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, F32Rows:$ple, Sym:$gate, Sym:$proj, Sym:$post, OptSym:$scale,
                       Positive:$eps);
  let assemblyFormat = [{
    $h `,` $ple `gate` `(` $gate `)` `proj` `(` $proj `)` `post` `(` $post `)`
    (`scale` `(` $scale^ `)`)? `eps` custom<Real>($eps) attr-dict
    `:` type($h) `,` type($ple)
  }];
}

#endif
