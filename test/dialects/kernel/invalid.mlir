// Every rule of the verifiers, one case each.
// RUN: gemma-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{expects a kernel family, got "nrm"}}
kernel.def @norm_bf16_1em06_k48_few = nrm few {act = bf16, eps = 1.0e-6, k = 48}

// -----

// expected-error @below {{expected ::gemmac::RowClass to be one of: few, many}}
// expected-error @below {{failed to parse RowClassAttr}}
kernel.def @norm_bf16_1em06_k48_few = norm some {act = bf16, eps = 1.0e-6, k = 48}

// -----

// expected-error @below {{expects a row class of family merge, got "many"}}
kernel.def @merge = merge many {}

// -----

// expected-error @below {{expects constant k}}
kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6}

// -----

// expected-error @below {{family norm has no constant z}}
kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48, z = 1}

// -----

// expected-error @below {{expects constant act to be f32, bf16 or q8, got q9}}
kernel.def @norm_bf16_1em06_k48_few = norm few {act = q9, eps = 1.0e-6, k = 48}

// -----

// expected-error @below {{expects k to be a multiple of 32, got 48}}
kernel.def @norm_q8_1em06_k48_few = norm few {act = q8, eps = 1.0e-6, k = 48}

// -----

// expected-error @below {{expects act q8 with quantised formats only, got q4_bf and bf16}}
kernel.def @linear_bf16_q4_bf_k64_few = linear few {act = bf16, format = q4_bf, k = 64}

// -----

// Only the head's product rounds f32 rows itself, and only for 8 bits.
// expected-error @below {{expects act q8 with quantised formats only, got q8_0 and f32}}
kernel.def @linear_f32_q8_0_k64_few = linear few {act = f32, format = q8_0, k = 64}

// -----

// expected-error @below {{expects act q8 with quantised formats only, got q4_0 and f32}}
kernel.def @logits_f32_30_q4_0_k64_few = logits few {act = f32, cap = 30.0, format = q4_0, k = 64}

// -----

// expected-error @below {{expects constant eps to be a finite f64, got 1}}
kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1, k = 48}

// -----

// expected-error @below {{expects constant k as i64, f64 or string, got 48 : i32}}
kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48 : i32}

// -----

// expected-error @below {{expects constant k to be an i64 of 1 to 1048576, got -1}}
kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = -1}

// -----

// expected-error @below {{expects the symbol @norm_bf16_1em06_k48_few, got @norm}}
kernel.def @norm = norm few {act = bf16, eps = 1.0e-6, k = 48}

// -----

// expected-error @below {{expects p to be a multiple of 32, got 48}}
kernel.def @ple_finish_1em06_q8_0_p48_0p5_4_few = ple_finish few {eps = 1.0e-6, format = q8_0, p = 48, scale = 0.5, token_scale = 4.0}

// -----

// expected-error @below {{expects a layout of format bf16, got "f32_16"}}
kernel.weight @w bf16 in f32_16 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects a layout of format bf16, got "q4"}}
kernel.weight @w bf16 in q4 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{attribute 'rows' failed to satisfy constraint: 64-bit signless integer attribute whose minimum value is 1}}
kernel.weight @w bf16 in bf16_16x2 0 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects 1 to 2^50 elements}}
kernel.weight @w bf16 in bf16_16x2 9000000000000000000 x 9000000000000000000 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects interleave 0 or 32, got 16}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 interleave 16 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects 6144 bytes, got 6145}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6145

// -----

// expected-error @below {{expects 18432 bytes, got 6144}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 times 3 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects pieces of 63 rows in all, got 64}}
kernel.weight @w bf16 in bf16_16x2 63 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects two pieces to interleave, got 1}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 interleave 32 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects ranges a to b with 0 <= a < b of piece "q"}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 0>] bytes 6144

// -----

// expected-error @below {{expects ranges a to b with 0 <= a < b of piece "q"}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 64 to 0 cols 0 to 48>] bytes 6144

// -----

// expected-error @below {{expects 48 columns of piece "q", got 47}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 1 to 48>] bytes 6144

// -----

// expected-error @below {{attribute 'offset' failed to satisfy constraint: 64-bit signless integer attribute whose minimum value is 0}}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144 at -64

// -----

// expected-error @below {{expects pieces, or view_of with view_row}}
kernel.weight @w f32 in f32_rows 1 x 4 bytes 16

// -----

kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
// expected-error @below {{expects a view to have no pieces, no interleave and stack 1}}
kernel.weight @v bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] view @w from 0 bytes 6144

// -----

kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
// expected-error @below {{expects a view from a multiple of 16, got 8}}
kernel.weight @v bf16 in bf16_16x2 32 x 48 view @w from 8 bytes 3072

// -----

kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
// expected-error @below {{expects a view to a multiple of 16, got 40}}
kernel.weight @v bf16 in bf16_16x2 24 x 48 view @w from 16 bytes 3072

// -----

kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
// expected-error @below {{expects a view of rows in [0, 64), got [48, 80)}}
kernel.weight @v bf16 in bf16_16x2 32 x 48 view @w from 48 bytes 3072

// -----

kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
// expected-error @below {{expects view_of to name a kernel.weight with pieces, got @x}}
kernel.weight @v bf16 in bf16_16x2 32 x 48 view @x from 0 bytes 3072

// -----

kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
// expected-error @below {{expects the layout and columns of @w, without stack and interleave}}
kernel.weight @v bf16 in bf16_rows 32 x 48 view @w from 0 bytes 3072

// -----

kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144 at 64
// expected-error @below {{expects offset 1600, got 0}}
kernel.weight @v bf16 in bf16_16x2 32 x 48 view @w from 16 bytes 3072 at 0

// -----

// expected-error @below {{attribute 'heads' failed to satisfy constraint: 64-bit signless integer attribute whose minimum value is 1}}
kernel.cache @kv bf16 heads 0 dim 32 window 8 pages 8192, 8192

// -----

// expected-error @below {{expects format f32 or bf16 or q8, got "q4"}}
kernel.cache @kv q4 heads 2 dim 32 window 8 pages 8192, 8192

// -----

// expected-error @below {{expects dim to be a multiple of 32, got 48}}
kernel.cache @kv bf16 heads 2 dim 48 window 8 pages 8192, 8192

// -----

// expected-error @below {{expects k_page and v_page of 8192 and 8192 bytes, got 8191 and 8192}}
kernel.cache @kv bf16 heads 2 dim 32 window 8 pages 8191, 8192

// -----

// expected-error @below {{expects k_page and v_page of 33792 and 33024 bytes, got 33792 and 33792}}
kernel.cache @kv q8 heads 1 dim 512 window 0 pages 33792, 33792

// -----

func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects callee to name a kernel.def, got @missing}}
  kernel.call @missing(%h) over all(1) : (tensor<?x48xf32>) -> ()
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 inputs of norm, got 2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h, %h) weights([@n]) over all(1) : (tensor<?x48xf32>, tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 results of norm, got 0}}
  kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) : (tensor<?x48xf32>) -> ()
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects x in f32, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%x) weights([@n]) over all(1) : (tensor<?x48xbf16>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects y in bf16, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xf32>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects y in bf16, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xf64>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects static dimensions after the rows of y, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) : (tensor<?x48xf32>) -> tensor<?x?xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 weights of norm, got 2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n, @n]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.cache @kv bf16 heads 2 dim 32 window 8 pages 8192, 8192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weights to name a kernel.weight, got @kv}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@kv]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weights to name a kernel.weight, got 7}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([7]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @w in layout f32_rows, got bf16_16x2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@w]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n32 f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @n32 with 48 columns, got 32}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n32]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects axis all or one or rows of norm, got blocks}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over blocks(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expected ::gemmac::Axis to be one of: blocks, rows, tiles, splits, all, one}}
  // expected-error @below {{failed to parse AxisAttr}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over heads(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{attribute 'units' failed to satisfy constraint: 64-bit signless integer attribute whose minimum value is 1}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(0) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a place per result in at, got 2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) at [row + 0, row + 64] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects worker, row, key or io, got heap}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) at [heap + 0] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) attributes {kernel.rows = "many"} {
  // expected-error @below {{expects a kernel for the row class "many" of the function}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few = linear few {act = bf16, format = bf16, k = 48}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 scalars of linear, got 0}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@w]) over blocks(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few = linear few {act = bf16, format = bf16, k = 48}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects scalar stride in [0, 2^31), got -1}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@w]) scalars {stride = -1} over blocks(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few = linear few {act = bf16, format = bf16, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @n in layout bf16_16x2, got f32_rows}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@n]) scalars {stride = 64} over blocks(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few = linear few {act = bf16, format = bf16, k = 48}
kernel.weight @w32 bf16 in bf16_16x2 64 x 32 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 32>] bytes 4096
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @w32 with 48 columns, got 32}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@w32]) scalars {stride = 64} over blocks(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few = append few {cache = bf16, eps = 1.0e-6, hd = 32, heads = 2, pairs = 8}
kernel.weight @n32 f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a cache for append}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) scalars {k_column = 0, stride = 96, v_column = 0} over tiles(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few = append few {cache = bf16, eps = 1.0e-6, hd = 32, heads = 2, pairs = 8}
kernel.weight @n32 f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects cache to name a kernel.cache, got @n32}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) cache(@n32) scalars {k_column = 0, stride = 96, v_column = 0} over tiles(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few = append few {cache = bf16, eps = 1.0e-6, hd = 32, heads = 2, pairs = 8}
kernel.weight @n32 f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128
kernel.cache @kv32 f32 heads 2 dim 32 window 8 pages 16384, 16384
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a cache of format bf16, got f32}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) cache(@kv32) scalars {k_column = 0, stride = 96, v_column = 0} over tiles(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few = append few {cache = bf16, eps = 1.0e-6, hd = 32, heads = 2, pairs = 8}
kernel.weight @n32 f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128
kernel.cache @kv1 bf16 heads 1 dim 32 window 8 pages 4096, 4096
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a cache for 2 heads of 32 in groups of 1, got 1 of 32}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) cache(@kv1) scalars {k_column = 0, stride = 96, v_column = 0} over tiles(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
kernel.cache @kv bf16 heads 2 dim 32 window 8 pages 8192, 8192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects no cache for norm}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) cache(@kv) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @add_norm_1em06_k48_s0_few = add_norm few {eps = 1.0e-6, k = 48, scaled = 0}
kernel.weight @n f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 weights of add_norm, got 2}}
  %y = kernel.call @add_norm_1em06_k48_s0_few(%h, %h) weights([@n, @n]) over all(1) : (tensor<?x48xf32>, tensor<?x48xf32>) -> tensor<?x48xf32>
  return
}

// -----

// expected-error @below {{expects kernel.rows to be few or many on a func.func, got "none"}}
func.func private @f() attributes {kernel.rows = "none"}

// -----

// expected-error @below {{expects kernel.segment to be body or tail or top or logits or patches or image or audio on a func.func, got "step"}}
func.func private @f() attributes {kernel.segment = "step"}

// -----

// expected-error @below {{expects kernel.memory to be a #kernel.memory, got}}
func.func private @f() attributes {kernel.memory = {row = 0 : i64}}

// -----

// expected-error @below {{expects sizes >= 0, got -1, 0 and 0}}
func.func private @f() attributes {kernel.memory = #kernel.memory<worker = -1, row = 0, key = 0>}

// -----

// expected-error @below {{expects kernel.ple to be [a, b) with 0 <= a < b on a func.func, got array<i64: 4, 4>}}
func.func private @f() attributes {kernel.ple = array<i64: 4, 4>}

// -----

// expected-error @below {{expects an offset >= 0}}
func.func private @f() attributes {place = #kernel.place<row + -64>}

// -----

// expected-error @below {{expects an array of gm_ctx, got foo}}
func.func private @f() attributes {place = #kernel.place<io foo>}

// -----

// expected-error @below {{expects each name once, got k}}
kernel.def @copy_k32_few = copy few {k = 32, k = 32}

// -----

kernel.def @linear_bf16_bf16_k48_few = linear few {act = bf16, format = bf16, k = 48}
kernel.weight @w bf16 in bf16_16x2 64 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>] bytes 6144
func.func @f(%x: tensor<?x48xbf16>) {
  // expected-error @below {{expects scalar stride}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@w]) scalars {k = 64} over blocks(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

// expected-error @below {{expects kernel.target to be a target on a module, got "abacus"}}
module attributes {kernel.target = "abacus"} {
}

// -----

// expected-error @below {{expects kernel.io of argument 0 to be the name of an array of gm_ctx, got "foo"}}
func.func private @f(tensor<?xi32> {kernel.io = "foo"})

// -----

// expected-error @below {{expects kernel.io of result 0 to be the name of an array of gm_ctx, got 3}}
func.func private @f() -> (tensor<?xi32> {kernel.io = 3})

// -----

// expected-error @below {{expects parent op 'func.func'}}
kernel.barrier

// -----

// expected-error @below {{expects fewer rows in its pieces}}
kernel.weight @w f32 in f32_rows 2199023255552 x 1 pieces [#kernel.piece<"a" rows 0 to 1099511627776 cols 0 to 1>, #kernel.piece<"b" rows 0 to 1099511627776 cols 0 to 1>] bytes 0

// -----

// expected-error @below {{expects view_row of a view below 2^40}}
kernel.weight @v f32 in f32_rows 1 x 1 view @w from 2199023255552 bytes 4

// -----

// expected-error @below {{expects heads and dim in [1, 1048576], got 2097152 and 32}}
kernel.cache @kv bf16 heads 2097152 dim 32 window 8 pages 8192, 8192

// -----

kernel.def @copy_k32_few = copy few {k = 32}
func.func @f(%h: tensor<?x32xf32>) {
  // expected-error @below {{expects units in [1, 2^31), got 2147483648}}
  %y = kernel.call @copy_k32_few(%h) over one(2147483648) : (tensor<?x32xf32>) -> tensor<?x32xf32>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.weight @n f32 in f32_rows 2 x 48 pieces [#kernel.piece<"n" rows 0 to 2 cols 0 to 48>] bytes 384
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects the vector @n, got 2 rows}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over all(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @attend_f32_f32_g1_d32_h1_w16_many = attend many {act = f32, cache = f32, group = 1, hd = 32, heads = 1, window = 16}
kernel.cache @kv f32 heads 1 dim 32 window 8 pages 8192, 8192
func.func @f(%q: tensor<?x32xf32>, %tile: tensor<?x4xi32>) {
  // expected-error @below {{expects a cache of window 16, got 8}}
  %y = kernel.call @attend_f32_f32_g1_d32_h1_w16_many(%q, %tile) cache(@kv) over tiles(1) : (tensor<?x32xf32>, tensor<?x4xi32>) -> tensor<?x32xf32>
  return
}
