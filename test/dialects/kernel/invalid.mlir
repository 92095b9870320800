// Every rule of the verifiers, one case each.
// RUN: gemma-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{expects a kernel family, got "nrm"}}
kernel.def @norm_bf16_1em06_k48_few {family = "nrm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}

// -----

// expected-error @below {{expects rows to be few or many, got "some"}}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "some", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}

// -----

// expected-error @below {{expects a row class of family merge, got "many"}}
kernel.def @merge {family = "merge", rows = "many", constants = {}}

// -----

// expected-error @below {{expects constant k}}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64}}

// -----

// expected-error @below {{family norm has no constant z}}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64, z = 1 : i64}}

// -----

// expected-error @below {{expects constant act to be f32, bf16 or q8, got q9}}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "q9", eps = 1.0e-6 : f64, k = 48 : i64}}

// -----

// expected-error @below {{expects k to be a multiple of 32, got 48}}
kernel.def @norm_q8_1em06_k48_few {family = "norm", rows = "few", constants = {act = "q8", eps = 1.0e-6 : f64, k = 48 : i64}}

// -----

// expected-error @below {{expects act q8 with quantised formats only, got q4_bf and bf16}}
kernel.def @linear_bf16_q4_bf_k64_few {family = "linear", rows = "few", constants = {act = "bf16", format = "q4_bf", k = 64 : i64}}

// -----

// Only the head's product rounds f32 rows itself, and only for 8 bits.
// expected-error @below {{expects act q8 with quantised formats only, got q8_0 and f32}}
kernel.def @linear_f32_q8_0_k64_few {family = "linear", rows = "few", constants = {act = "f32", format = "q8_0", k = 64 : i64}}

// -----

// expected-error @below {{expects act q8 with quantised formats only, got q4_0 and f32}}
kernel.def @logits_f32_30_q4_0_k64_few {family = "logits", rows = "few", constants = {act = "f32", cap = 30.0 : f64, format = "q4_0", k = 64 : i64}}

// -----

// expected-error @below {{expects constant eps to be a finite f64, got 1}}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1 : i64, k = 48 : i64}}

// -----

// expected-error @below {{expects constant k as i64, f64 or string, got 48 : i32}}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i32}}

// -----

// expected-error @below {{expects constant k to be an i64 of 1 to 1048576, got -1}}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = -1 : i64}}

// -----

// expected-error @below {{expects the symbol @norm_bf16_1em06_k48_few, got @norm}}
kernel.def @norm {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}

// -----

// expected-error @below {{expects p to be a multiple of 32, got 48}}
kernel.def @ple_finish_1em06_q8_0_p48_0p5_4_few {family = "ple_finish", rows = "few", constants = {eps = 1.0e-6 : f64, format = "q8_0", p = 48 : i64, scale = 0.5 : f64, token_scale = 4.0 : f64}}

// -----

// expected-error @below {{expects a layout of format bf16, got "f32_16"}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "f32_16", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects a layout of format bf16, got "q4"}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "q4", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects 1 to 2^50 elements, got 0 x 48 x 1}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 0 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects 1 to 2^50 elements}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 9000000000000000000 : i64, cols = 9000000000000000000 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects interleave 0 or 32, got 16}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 16 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects 6144 bytes, got 6145}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6145 : i64}

// -----

// expected-error @below {{expects 18432 bytes, got 6144}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 3 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects pieces of 63 rows in all, got 64}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 63 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects two pieces to interleave, got 1}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 32 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{, rows = [a, b), cols = [a, b)}, got}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects ranges [a, b) with 0 <= a < b in piece "q"}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 64, 0>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects 48 columns of piece "q", got 47}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 1, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}

// -----

// expected-error @below {{expects offset >= 0, got -64}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64, offset = -64 : i64}

// -----

// expected-error @below {{expects pieces, or view_of with view_rows}}
kernel.weight @w {format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 4 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 16 : i64}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
// expected-error @below {{expects a view to have no pieces, no interleave and stack 1}}
kernel.weight @v {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64, view_of = @w, view_rows = array<i64: 0, 64>}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
// expected-error @below {{expects view_rows of 32 rows, got [16, 64)}}
kernel.weight @v {view_of = @w, view_rows = array<i64: 16, 64>, format = "bf16", layout = "bf16_16x2", rows = 32 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
// expected-error @below {{expects view_rows to start at a multiple of 16, got 8}}
kernel.weight @v {view_of = @w, view_rows = array<i64: 8, 40>, format = "bf16", layout = "bf16_16x2", rows = 32 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
// expected-error @below {{expects view_rows to end at a multiple of 16, got 40}}
kernel.weight @v {view_of = @w, view_rows = array<i64: 16, 40>, format = "bf16", layout = "bf16_16x2", rows = 24 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
// expected-error @below {{expects view_rows in [0, 64), got [48, 80)}}
kernel.weight @v {view_of = @w, view_rows = array<i64: 48, 80>, format = "bf16", layout = "bf16_16x2", rows = 32 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
// expected-error @below {{expects view_of to name a kernel.weight with pieces, got @x}}
kernel.weight @v {view_of = @x, view_rows = array<i64: 0, 32>, format = "bf16", layout = "bf16_16x2", rows = 32 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
// expected-error @below {{expects the layout and columns of @w, without stack and interleave}}
kernel.weight @v {view_of = @w, view_rows = array<i64: 0, 32>, format = "bf16", layout = "bf16_rows", rows = 32 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64}

// -----

kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64, offset = 64 : i64}
// expected-error @below {{expects offset 1600, got 0}}
kernel.weight @v {view_of = @w, view_rows = array<i64: 16, 48>, format = "bf16", layout = "bf16_16x2", rows = 32 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64, offset = 0 : i64}

// -----

// expected-error @below {{expects table local for a window and global for window 0, got "global" with window 8}}
kernel.cache @kv {table = "global", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "bf16", k_page = 8192 : i64, v_page = 8192 : i64}

// -----

// expected-error @below {{expects window >= 0 and heads and dim in [1, 1048576], got 8, 0, 32}}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 0 : i64, dim = 32 : i64, format = "bf16", k_page = 8192 : i64, v_page = 8192 : i64}

// -----

// expected-error @below {{expects format f32, bf16 or q8, got "q4"}}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "q4", k_page = 8192 : i64, v_page = 8192 : i64}

// -----

// expected-error @below {{expects dim to be a multiple of 32, got 48}}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 2 : i64, dim = 48 : i64, format = "bf16", k_page = 8192 : i64, v_page = 8192 : i64}

// -----

// expected-error @below {{expects k_page and v_page of 8192 and 8192 bytes, got 8191 and 8192}}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "bf16", k_page = 8191 : i64, v_page = 8192 : i64}

// -----

// expected-error @below {{expects k_page and v_page of 33792 and 33024 bytes, got 33792 and 33792}}
kernel.cache @kv {table = "global", window = 0 : i64, heads = 1 : i64, dim = 512 : i64, format = "q8", k_page = 33792 : i64, v_page = 33792 : i64}

// -----

func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects callee to name a kernel.def, got @missing}}
  kernel.call @missing(%h) over "all"(1) : (tensor<?x48xf32>) -> ()
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 inputs of norm, got 2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h, %h) weights([@n]) over "all"(1) : (tensor<?x48xf32>, tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 results of norm, got 0}}
  kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(1) : (tensor<?x48xf32>) -> ()
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects x in f32, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%x) weights([@n]) over "all"(1) : (tensor<?x48xbf16>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects y in bf16, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xf32>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects y in bf16, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xf64>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects static dimensions after the rows of y, got}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x?xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 weights of norm, got 2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n, @n]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "bf16", k_page = 8192 : i64, v_page = 8192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weights to name a kernel.weight, got @kv}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@kv]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weights to name a kernel.weight, got 7}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([7]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @w in layout f32_rows, got bf16_16x2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@w]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n32 {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @n32 with 48 columns, got 32}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n32]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects axis all or one of norm, got "blocks"}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "blocks"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects axis all or one of norm, got "heads"}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "heads"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects units in [1, 2^31), got 0}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(0) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a place per result in at, got 2}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(1) at ["row+0", "row+64"] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a place like "row+64" or "io resid", got "heap+0"}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(1) at ["heap+0"] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) attributes {kernel.rows = "many"} {
  // expected-error @below {{expects a kernel for the row class "many" of the function}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few {family = "linear", rows = "few", constants = {act = "bf16", format = "bf16", k = 48 : i64}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 scalars of linear, got 0}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@w]) over "blocks"(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few {family = "linear", rows = "few", constants = {act = "bf16", format = "bf16", k = 48 : i64}}
kernel.weight @w {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 6144 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects scalars in [0, 2^31), got -1}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@w]) scalars [-1] over "blocks"(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few {family = "linear", rows = "few", constants = {act = "bf16", format = "bf16", k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @n in layout bf16_16x2, got f32_rows}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@n]) scalars [64] over "blocks"(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @linear_bf16_bf16_k48_few {family = "linear", rows = "few", constants = {act = "bf16", format = "bf16", k = 48 : i64}}
kernel.weight @w32 {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 32>}], format = "bf16", layout = "bf16_16x2", rows = 64 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 4096 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects weight @w32 with 48 columns, got 32}}
  %y = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@w32]) scalars [64] over "blocks"(4) : (tensor<?x48xbf16>) -> tensor<?x64xf32>
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few {family = "append", rows = "few", constants = {heads = 2 : i64, hd = 32 : i64, pairs = 8 : i64, eps = 1.0e-6 : f64, cache = "bf16"}}
kernel.weight @n32 {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a cache for append}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) scalars [96, 0, 0] over "tiles"(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few {family = "append", rows = "few", constants = {heads = 2 : i64, hd = 32 : i64, pairs = 8 : i64, eps = 1.0e-6 : f64, cache = "bf16"}}
kernel.weight @n32 {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects cache to name a kernel.cache, got @n32}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) cache(@n32) scalars [96, 0, 0] over "tiles"(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few {family = "append", rows = "few", constants = {heads = 2 : i64, hd = 32 : i64, pairs = 8 : i64, eps = 1.0e-6 : f64, cache = "bf16"}}
kernel.weight @n32 {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64}
kernel.cache @kv32 {table = "local", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "f32", k_page = 16384 : i64, v_page = 16384 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a cache of format bf16, got f32}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) cache(@kv32) scalars [96, 0, 0] over "tiles"(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @append_bf16_1em06_d32_h2_r8_few {family = "append", rows = "few", constants = {heads = 2 : i64, hd = 32 : i64, pairs = 8 : i64, eps = 1.0e-6 : f64, cache = "bf16"}}
kernel.weight @n32 {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64}
kernel.cache @kv1 {table = "local", window = 8 : i64, heads = 1 : i64, dim = 32 : i64, format = "bf16", k_page = 4096 : i64, v_page = 4096 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a cache for 2 heads of 32 in groups of 1, got 1 of 32}}
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%h, %r, %t) weights([@n32]) cache(@kv1) scalars [96, 0, 0] over "tiles"(2) : (tensor<?x48xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}

// -----

kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "bf16", k_page = 8192 : i64, v_page = 8192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects no cache for norm}}
  %y = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@n]) cache(@kv) over "all"(1) : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  return
}

// -----

kernel.def @add_norm_1em06_k48_s0_few {family = "add_norm", rows = "few", constants = {eps = 1.0e-6 : f64, k = 48 : i64, scaled = 0 : i64}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
func.func @f(%h: tensor<?x48xf32>, %x: tensor<?x48xbf16>, %t: tensor<?x4xi32>, %r: tensor<?x8x2xf32>) {
  // expected-error @below {{expects 1 weights of add_norm, got 2}}
  %y = kernel.call @add_norm_1em06_k48_s0_few(%h, %h) weights([@n, @n]) over "all"(1) : (tensor<?x48xf32>, tensor<?x48xf32>) -> tensor<?x48xf32>
  return
}

// -----

// expected-error @below {{expects kernel.rows to be few or many on a func.func, got "none"}}
func.func private @f() attributes {kernel.rows = "none"}

// -----

// expected-error @below {{expects kernel.segment to be body or tail or top or logits on a func.func, got "step"}}
func.func private @f() attributes {kernel.segment = "step"}

// -----

// expected-error @below {{fixed, worker, row, key}}
func.func private @f() attributes {kernel.memory = {fixed = 0 : i64}}

// -----

// expected-error @below {{expects kernel.memory.worker >= 0 as i64}}
func.func private @f() attributes {kernel.memory = {fixed = 0 : i64, worker = -1 : i64, row = 0 : i64, key = 0 : i64}}

// -----

// expected-error @below {{expects kernel.io of argument 0 to be the name of an array of gm_ctx, got "foo"}}
func.func private @f(tensor<?xi32> {kernel.io = "foo"})

// -----

// expected-error @below {{expects kernel.io of result 0 to be the name of an array of gm_ctx, got 3}}
func.func private @f() -> (tensor<?xi32> {kernel.io = 3})

// -----

// expected-error @below {{expects parent op 'func.func'}}
kernel.barrier
