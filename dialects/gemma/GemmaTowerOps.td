// What the towers compute that the decoder does not: patches, bounds of
// linears, attention of all to all, pooling; convolutions, gates and attention
// with relative positions of the conformer. Sources: docs/model/vision.md and
// docs/model/audio.md.

#ifndef GEMMA_TOWER_OPS
#define GEMMA_TOWER_OPS

include "dialects/gemma/GemmaBase.td"

// All are replaced by fused ops or by the blocks of segments.
class Gemma_TowerOp<string mnemonic, list<Trait> traits = []>
    : Gemma_PureOp<mnemonic, !listconcat([Gemma_OnlyFused], traits)>;
def SameType : AllTypesMatch<["x", "result"]>;

//===-- primitives --------------------------------------------------------===//

def AffineOp : Gemma_TowerOp<"affine", [SameType]> {
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

def ClampOp : Gemma_TowerOp<"clamp", [Gemma_Symbols, SameType]> {
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

def BiasOp : Gemma_TowerOp<"bias", [Gemma_Symbols, SameType]> {
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

def StandardizeOp : Gemma_TowerOp<"standardize", [Gemma_Symbols, SameType]> {
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

def AddPositionsOp : Gemma_TowerOp<"add_positions", [Gemma_Symbols, SameType]> {
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

def Rope2dOp : Gemma_TowerOp<"rope2d", [SameType]> {
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

def SelfAttentionOp : Gemma_TowerOp<"self_attention", [AllTypesMatch<["q", "k", "v", "result"]>]> {
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

def PoolOp : Gemma_TowerOp<"pool"> {
  let summary = "mean of neighbouring rows";
  let description = [{
    `y[r] = mean of x[count r .. count (r + 1))`: the patches of a cell stand
    together (docs/model/vision.md#3.4). The number of rows is a multiple of
    `count`.

    ```mlir
    %z = gemma.pool %h rows 9 : tensor<?x768xf32> -> tensor<?x768xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Count:$count);
  let assemblyFormat = "$x `rows` $count attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def LayerNormOp : Gemma_TowerOp<"layer_norm", [Gemma_Symbols, SameType]> {
  let summary = "norm by mean and variance";
  let description = [{
    For every group of `size` columns `y = (x - mean(x)) * (var(x) + eps)^(-1/2) *
    weight + bias`, var the mean of squares of the differences; without a bias
    that term is 0 (docs/model/vision.md#7, docs/model/audio.md#4).

    ```mlir
    %y = gemma.layer_norm %x weight @cells.ln1 bias @cells.ln1_bias size 6912 eps 1.0e-05 : tensor<?x6912xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight, OptSym:$bias, Positive:$eps, Count:$size);
  let assemblyFormat = "$x `weight` $weight (`bias` $bias^)? `size` $size `eps` custom<Real>($eps) attr-dict `:` type($x)";
}

def Conv2dOp : Gemma_TowerOp<"conv2d", [Gemma_Symbols]> {
  let summary = "3 x 3 convolution that halves frames and bins";
  let description = [{
    A row is a frame of `bins` bins of C channels, channel fastest; the weight is
    `[C', C, 3, 3]` (frames, then bins). Stride 2, padding 1 of zeros on all
    sides, no bias: T rows become ceil(T/2), bins become bins/2 of C' channels
    (docs/model/audio.md#4).

    ```mlir
    %y = gemma.conv2d %x, @audio.conv0 bins 128 : tensor<?x128xf32> -> tensor<?x8192xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight, Count:$bins);
  let assemblyFormat = "$x `,` $weight `bins` $bins attr-dict `:` type($x) `->` type($result)";
}

def ReluOp : Gemma_TowerOp<"relu", [SameType]> {
  let summary = "max(x, 0)";
  let description = [{
    ```mlir
    %y = gemma.relu %x : tensor<?x8192xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

def SiluOp : Gemma_TowerOp<"silu", [SameType]> {
  let summary = "x / (1 + exp(-x))";
  let description = [{
    ```mlir
    %y = gemma.silu %x : tensor<?x4096xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

def GluOp : Gemma_TowerOp<"glu"> {
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

def DepthwiseConvOp : Gemma_TowerOp<"depthwise_conv", [Gemma_Symbols, SameType]> {
  let summary = "causal convolution of every column over rows";
  let description = [{
    `y[t, j] = sum over i < n of w[j, 0, i] * x[t - n + 1 + i, j]` with a weight
    `[K, 1, n]`; rows before the first are 0 (docs/model/audio.md#5).

    ```mlir
    %c = gemma.depthwise_conv %g, @a0.depthwise : tensor<?x1024xf32>
    ```
  }];
  let arguments = (ins F32Rows:$x, Sym:$weight);
  let assemblyFormat = "$x `,` $weight attr-dict `:` type($x)";
}

def RelAttentionOp : Gemma_TowerOp<"rel_attention", [Gemma_Symbols,
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

#endif
