// What the towers compute that the decoder does not: patches, bounds of
// linears, attention of all to all, pooling; convolutions, gates and attention
// with relative positions of the conformer. Sources: docs/model/vision.md and
// docs/model/audio.md.

#ifndef GEMMA_TOWER_OPS
#define GEMMA_TOWER_OPS

include "dialects/gemma/GemmaBase.td"

// Those that `optimize` leaves only inside fused ops.
class Gemma_FusedTowerOp<string mnemonic, list<Trait> traits = []>
    : Gemma_PureOp<mnemonic, !listconcat([Gemma_OnlyFused], traits)>;
def SameType : AllTypesMatch<["x", "result"]>;

//===-- primitives --------------------------------------------------------===//

def AffineOp : Gemma_PureOp<"affine", [SameType]> {
  let summary = "multiply and add a number";
  let description = [{
    `y = x * factor + offset`: pixels of 0 to 1 become those of -1 to 1
    (docs/model/vision.md#3.1).

    ```mlir
    %v = gemma.affine %pixels times 2.0 plus -1.0 : tensor<?x768xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Finite:$factor, Finite:$offset);
  let assemblyFormat = "$x `times` custom<Real>($factor) `plus` custom<Real>($offset) attr-dict `:` type($x)";
}

def ClampOp : Gemma_FusedTowerOp<"clamp", [Gemma_Symbols, SameType]> {
  let summary = "bounds of a clipped linear's input or output";
  let description = [{
    `y = min(max(x, low[0]), high[0])` with weights of one element
    (docs/model/vision.md#5).

    ```mlir
    %y = gemma.clamp %x to (@v0.q.input_min, @v0.q.input_max) : tensor<?x768xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$low, Sym:$high);
  let assemblyFormat = "$x `to` `(` $low `,` $high `)` attr-dict `:` type($x)";
}

def BiasOp : Gemma_FusedTowerOp<"bias", [Gemma_Symbols, SameType]> {
  let summary = "add a vector";
  let description = [{
    `y[r, j] = x[r, j] + w[j]`.

    ```mlir
    %y = gemma.bias %x, @audio.out_bias : tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight);
  let assemblyFormat = "$x `,` $weight attr-dict `:` type($x)";
}

def StandardizeOp : Gemma_PureOp<"standardize", [Gemma_Symbols, SameType]> {
  let summary = "subtract a vector, multiply by another";
  let description = [{
    `y[r, j] = (x[r, j] - bias[j]) * scale[j]` (docs/model/vision.md#3.4).

    ```mlir
    %y = gemma.standardize %x bias(@vision.std_bias) scale(@vision.std_scale) : tensor<?x1152xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$bias, Sym:$scale);
  let assemblyFormat = "$x `bias` `(` $bias `)` `scale` `(` $scale `)` attr-dict `:` type($x)";
}

def AddPositionsOp : Gemma_PureOp<"add_positions", [Gemma_Symbols, Gemma_Matrices, SameType]> {
  let summary = "add the rows of a position table";
  let description = [{
    `y[r] = x[r] + table[0, position[r, 0]] + table[1, position[r, 1]]`: position
    0 is the column, 1 the row of a patch (docs/model/vision.md#3.1). The table is
    `[2, P, D]`; with `inner` it is `[P, 2, D]` and indexed that way
    (docs/model/vision.md#7).

    ```mlir
    %h = gemma.add_positions %x at %position, @vision.positions : tensor<?x768xf32>, tensor<?x2xi32>
    ```
  }];
  let arguments = (ins F32Rows:$x, I32Rows:$position, Sym:$table, UnitAttr:$inner);
  let assemblyFormat = [{
    $x `at` $position `,` (`inner` $inner^)? $table attr-dict `:` type($x) `,` type($position)
  }];
}

def Rope2dOp : Gemma_FusedTowerOp<"rope2d", [SameType]> {
  let summary = "rotary position embedding in two directions";
  let description = [{
    Every group of `dim` columns is a head of two parts, the first turned by the
    column of the patch, the second by its row. In part a, with d = dim/2 and
    `(c, s) = table[r, a d/2 + i]`, i < d/2: `y[i] = x[i] c - x[i + d/2] s`,
    `y[i + d/2] = x[i + d/2] c + x[i] s` (docs/model/vision.md#3.3). The table is
    an input, computed in double and rounded once to f32.

    ```mlir
    %q2 = gemma.rope2d %q1, %rope dim 64 : tensor<?x768xf32>, tensor<?x32x2xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, RopeTable:$table, Count:$dim);
  let assemblyFormat = "$x `,` $table `dim` $dim attr-dict `:` type($x) `,` type($table)";
  let hasVerifier = 1;
}

def SelfAttentionOp : Gemma_FusedTowerOp<"self_attention", [AllTypesMatch<["q", "k", "v", "result"]>]> {
  let summary = "attention of all rows to all rows";
  let description = [{
    Heads of `dim` columns, as many of keys and values as of queries. Every row
    sees every row: softmax over `q . k` times exactly 1, sums in f32 or better
    (docs/model/vision.md#3.2). The rows of one call are one picture.

    ```mlir
    %a = gemma.self_attention %q2, %k2, %v1 dim 64 : tensor<?x768xf32>
    ```
  }];
  let arguments = (ins F32Rows:$q, F32Rows:$k, F32Rows:$v, Count:$dim);
  let assemblyFormat = "$q `,` $k `,` $v `dim` $dim attr-dict `:` type($q)";
  let hasVerifier = 1;
}

def PoolOp : Gemma_PureOp<"pool"> {
  let summary = "mean of neighbouring rows";
  let description = [{
    `y[r] = factor * mean of x[count r .. count (r + 1))`: the patches of a cell
    stand together (docs/model/vision.md#3.4). The number of rows is a multiple
    of `count`.

    ```mlir
    %z = gemma.pool %h rows 9 times 1.0 : tensor<?x768xf32> -> tensor<?x768xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Count:$count, Finite:$factor);
  let assemblyFormat = "$x `rows` $count `times` custom<Real>($factor) attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def LayerNormOp : Gemma_PureOp<"layer_norm", [Gemma_Symbols, SameType]> {
  let summary = "norm by mean and variance";
  let description = [{
    For every group of `size` columns `y = (x - mean(x)) * (var(x) + eps)^(-1/2) *
    weight + bias`, var the mean of squares of the differences; without a bias
    that term is 0 (docs/model/vision.md#7, docs/model/audio.md#4).

    ```mlir
    %y = gemma.layer_norm %x weight @vision.ln1 bias @vision.ln1_bias size 6912 eps 1.0e-05 : tensor<?x6912xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight, OptSym:$bias, Positive:$eps, Count:$size);
  let assemblyFormat = "$x `weight` $weight (`bias` $bias^)? `size` $size `eps` custom<Real>($eps) attr-dict `:` type($x)";
}

def Conv2dOp : Gemma_FusedTowerOp<"conv2d", [Gemma_Symbols]> {
  let summary = "3 x 3 convolution that halves frames and bins";
  let description = [{
    A row is a frame of `bins` bins of C channels, channel fastest; the weight is
    a vector `[C', C, 3, 3]`, by frame, then bin. Stride 2, padding 1 of zeros on all
    sides, no bias: T rows become ceil(T/2), bins become bins/2 of C' channels
    (docs/model/audio.md#4).

    ```mlir
    %y = gemma.conv2d %x, @audio.conv0 bins 128 : tensor<?x128xf32> -> tensor<?x8192xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight, Count:$bins);
  let assemblyFormat = "$x `,` $weight `bins` $bins attr-dict `:` type($x) `->` type($result)";
}

def ReluOp : Gemma_FusedTowerOp<"relu", [SameType]> {
  let summary = "max(x, 0)";
  let description = [{
    ```mlir
    %y = gemma.relu %x : tensor<?x8192xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

def SiluOp : Gemma_FusedTowerOp<"silu", [SameType]> {
  let summary = "x / (1 + exp(-x))";
  let description = [{
    ```mlir
    %y = gemma.silu %x : tensor<?x4096xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

def GluOp : Gemma_FusedTowerOp<"glu"> {
  let summary = "one half of the columns times the sigmoid of the other";
  let description = [{
    `y[r, j] = x[r, j] / (1 + exp(-x[r, K + j]))` for x of 2K columns
    (docs/model/audio.md#5).

    ```mlir
    %g = gemma.glu %u : tensor<?x2048xf32> -> tensor<?x1024xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def DepthwiseConvOp : Gemma_FusedTowerOp<"depthwise_conv", [Gemma_Symbols, SameType]> {
  let summary = "causal convolution of every column over rows";
  let description = [{
    `y[t, j] = sum over i < n of w[j, i] * x[t - n + 1 + i, j]` with a vector
    `[K, n]`; rows before the first are 0 (docs/model/audio.md#5).

    ```mlir
    %c = gemma.depthwise_conv %g, @a0.depthwise : tensor<?x1024xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight);
  let assemblyFormat = "$x `,` $weight attr-dict `:` type($x)";
}

def RelAttentionOp : Gemma_FusedTowerOp<"rel_attention", [Gemma_Symbols,
                                                     AllTypesMatch<["q", "k", "v", "result"]>]> {
  let summary = "attention to the last rows, with relative positions";
  let description = [{
    Heads of `dim` columns; row i sees the rows j with d = i - j in [0, `window`).
    `q' = q dim^(-1/2) / ln 2 * softplus(scale)`, `k' = k ln(1 + e) / ln 2`,
    `s = q'_i . k'_j + q'_i . R_d`, R = W sin with W = `rel` `[D, D]` and
    `sin_d = [sin(d w_j), cos(d w_j)]`, `w_j = exp(-j ln(10000) / (D/2 - 1))`,
    j < D/2; then `s = cap tanh(s / cap)`, softmax in f32, times v
    (docs/model/audio.md#5).

    ```mlir
    %a = gemma.rel_attention %q, %k, %v rel(@a0.rel) scale(@a0.per_dim_scale) dim 128 window 12 cap 50.0 : tensor<?x1024xf32>
    ```
  }];
  let arguments = (ins F32Rows:$q, F32Rows:$k, F32Rows:$v, Sym:$rel, Sym:$scale, Count:$dim,
                       Count:$window, Positive:$cap);
  let assemblyFormat = [{
    $q `,` $k `,` $v `rel` `(` $rel `)` `scale` `(` $scale `)` `dim` $dim
    `window` $window `cap` custom<Real>($cap) attr-dict `:` type($q)
  }];
}

//===-- fused ops ---------------------------------------------------------===//
// As in GemmaOps.td. Below, `clipped x, @w` is `clamp (linear (clamp x), @w)`
// with the bounds that `bounds` holds, four of each matrix in the order of the
// matrices (input_min, input_max, output_min, output_max), or `linear x, @w`
// without `bounds`.

def ProjectOp : Gemma_PureOp<"project", Gemma_FusedTraits<[]>.all> {
  let summary = "matrix product that stands alone";
  let description = [{
    ```
    y = bias (linear x, @weight), @bias                 // bias absent: the product
    ```

    ```mlir
    %y = gemma.project %x, @audio.out bias(@audio.out_bias) : tensor<?x1024xf32> -> tensor<?x1536xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight, OptSym:$bias);
  let assemblyFormat = "$x `,` $weight (`bias` `(` $bias^ `)`)? attr-dict `:` type($x) `->` type($result)";
}

def VisionAttentionBlockOp : Gemma_PureOp<"vision_attention_block",
    Gemma_FusedTraits<[AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "attention of all patches with norms, projections and residual";
  let description = [{
    ```
    x = rms_norm h weight @norm {size = D, eps}
    q = rope2d (rms_norm (clipped x, @q) weight @q_norm {size = dim, eps}), table {dim}
    k = rope2d (rms_norm (clipped x, @k) weight @k_norm {size = dim, eps}), table {dim}
    v = rms_norm (clipped x, @v) {size = dim, eps}
    y = add h, (rms_norm (clipped (self_attention q, k, v {dim}), @o) weight @post {size = D, eps})
    ```
    `bounds` are those of q, k, v and o (docs/model/vision.md#3.2).

    ```mlir
    %h1 = gemma.vision_attention_block %h, %rope norm(@v0.in_norm) q(@v0.q) k(@v0.k) v(@v0.v) q_norm(@v0.q_norm) k_norm(@v0.k_norm) o(@v0.o) post(@v0.post_attn) dim 64 eps 1.0e-06 : tensor<?x768xf32>, tensor<?x32x2xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, RopeTable:$table, Sym:$norm, Sym:$q, Sym:$k, Sym:$v,
                       Sym:$q_norm, Sym:$k_norm, Sym:$o, Sym:$post, Bounds:$bounds, Count:$dim,
                       Positive:$eps);
  let assemblyFormat = [{
    $h `,` $table `norm` `(` $norm `)` `q` `(` $q `)` `k` `(` $k `)` `v` `(` $v `)`
    `q_norm` `(` $q_norm `)` `k_norm` `(` $k_norm `)` `o` `(` $o `)` `post` `(` $post `)`
    (`bounds` $bounds^)? `dim` $dim `eps` custom<Real>($eps) attr-dict `:` type($h) `,` type($table)
  }];
}

def SubsampleOp : Gemma_PureOp<"subsample", Gemma_FusedTraits<[]>.all> {
  let summary = "convolution, norm and relu";
  let description = [{
    ```
    y = relu (layer_norm (conv2d x, @weight {bins}) weight @norm {size = channels, eps})
    ```
    (docs/model/audio.md#4)

    ```mlir
    %y = gemma.subsample %x, @audio.conv0 norm(@audio.conv0_norm) bins 128 eps 1.0e-06 : tensor<?x128xf32> -> tensor<?x8192xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight, Sym:$norm, Count:$bins, Positive:$eps);
  let assemblyFormat = [{
    $x `,` $weight `norm` `(` $norm `)` `bins` $bins `eps` custom<Real>($eps) attr-dict
    `:` type($x) `->` type($result)
  }];
}

def ConformerFfnBlockOp : Gemma_PureOp<"conformer_ffn_block",
    Gemma_FusedTraits<[AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "feed-forward of a conformer with norms and part of the residual";
  let description = [{
    ```
    a = silu (clipped (rms_norm h weight @pre {size = D, eps}), @up)
    y = add h, (scale (rms_norm (clipped a, @down) weight @post {size = D, eps}) {factor})
    ```
    `bounds` are those of up and down (docs/model/audio.md#5).

    ```mlir
    %h1 = gemma.conformer_ffn_block %h pre(@a0.ffn1_pre) up(@a0.ffn1_up) down(@a0.ffn1_down) post(@a0.ffn1_post) factor 0.5 eps 1.0e-06 : tensor<?x1024xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, Sym:$pre, Sym:$up, Sym:$down, Sym:$post, Bounds:$bounds,
                       Finite:$factor, Positive:$eps);
  let assemblyFormat = [{
    $h `pre` `(` $pre `)` `up` `(` $up `)` `down` `(` $down `)` `post` `(` $post `)`
    (`bounds` $bounds^)? `factor` custom<Real>($factor) `eps` custom<Real>($eps) attr-dict
    `:` type($h)
  }];
}

def ConformerAttentionBlockOp : Gemma_PureOp<"conformer_attention_block",
    Gemma_FusedTraits<[AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "attention of a conformer with norms, projections and residual";
  let description = [{
    ```
    x = rms_norm h weight @pre {size = D, eps}
    a = rel_attention (clipped x, @q), (clipped x, @k), (clipped x, @v) rel(@rel) scale(@scale) {dim, window, cap}
    y = add h, (rms_norm (clipped a, @o) weight @post {size = D, eps})
    ```
    `bounds` are those of q, k, v and o (docs/model/audio.md#5).

    ```mlir
    %h1 = gemma.conformer_attention_block %h pre(@a0.pre_attn) q(@a0.q) k(@a0.k) v(@a0.v) rel(@a0.rel) scale(@a0.per_dim_scale) o(@a0.o) post(@a0.post_attn) dim 128 window 12 cap 50.0 eps 1.0e-06 : tensor<?x1024xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, Sym:$pre, Sym:$q, Sym:$k, Sym:$v, Sym:$rel, Sym:$scale, Sym:$o,
                       Sym:$post, Bounds:$bounds, Count:$dim, Count:$window, Positive:$cap,
                       Positive:$eps);
  let assemblyFormat = [{
    $h `pre` `(` $pre `)` `q` `(` $q `)` `k` `(` $k `)` `v` `(` $v `)` `rel` `(` $rel `)`
    `scale` `(` $scale `)` `o` `(` $o `)` `post` `(` $post `)` (`bounds` $bounds^)?
    `dim` $dim `window` $window `cap` custom<Real>($cap) `eps` custom<Real>($eps) attr-dict
    `:` type($h)
  }];
}

def ConformerConvBlockOp : Gemma_PureOp<"conformer_conv_block",
    Gemma_FusedTraits<[AllTypesMatch<["h", "result"]>]>.all> {
  let summary = "light convolution of a conformer with norms, gate and residual";
  let description = [{
    ```
    g = glu (clipped (rms_norm h weight @pre {size = D, eps}), @start)
    c = silu (rms_norm (depthwise_conv g, @depthwise) weight @norm {size = D, eps})
    y = add h, (clipped c, @end)
    ```
    `bounds` are those of start and end (docs/model/audio.md#5).

    ```mlir
    %h1 = gemma.conformer_conv_block %h pre(@a0.pre_conv) start(@a0.start) depthwise(@a0.depthwise) norm(@a0.conv_norm) end(@a0.end) eps 1.0e-06 : tensor<?x1024xf32>
    ```
  }];
  let arguments = (ins F32Rows:$h, Sym:$pre, Sym:$start, Sym:$depthwise, Sym:$norm, Sym:$end,
                       Bounds:$bounds, Positive:$eps);
  let assemblyFormat = [{
    $h `pre` `(` $pre `)` `start` `(` $start `)` `depthwise` `(` $depthwise `)`
    `norm` `(` $norm `)` `end` `(` $end `)` (`bounds` $bounds^)? `eps` custom<Real>($eps) attr-dict
    `:` type($h)
  }];
}

#endif
