// RUN: gemma-opt %s --verify-roundtrip | FileCheck %s

// CHECK: kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-06, k = 48}
kernel.def @norm_bf16_1em06_k48_few = norm few {act = bf16, eps = 1.0e-6, k = 48}
kernel.def @linear_bf16_bf16_k48_few = linear few {act = bf16, format = bf16, k = 48}
kernel.def @append_bf16_1em06_d32_h2_r8_few = append few {cache = bf16, eps = 1.0e-6, hd = 32, heads = 2, pairs = 8}
// CHECK: kernel.weight @qkv bf16 in bf16_16x2 96 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>, #kernel.piece<"k" rows 32 to 64 cols 0 to 48>] bytes 9216 at 128
kernel.weight @qkv bf16 in bf16_16x2 96 x 48 pieces [#kernel.piece<"q" rows 0 to 64 cols 0 to 48>, #kernel.piece<"k" rows 32 to 64 cols 0 to 48>] bytes 9216 at 128
// CHECK: kernel.weight @k bf16 in bf16_16x2 32 x 48 view @qkv from 64 bytes 3072 at 6272
kernel.weight @k bf16 in bf16_16x2 32 x 48 view @qkv from 64 bytes 3072 at 6272
// Each of the two pieces is padded to whole blocks of 32 rows.
// CHECK: kernel.weight @gate_up f32 in f32_16 80 x 48 interleave 32 pieces [{{.*}}] bytes 24576
kernel.weight @gate_up f32 in f32_16 80 x 48 interleave 32 pieces [#kernel.piece<"g" rows 0 to 40 cols 0 to 48>, #kernel.piece<"u" rows 0 to 40 cols 0 to 48>] bytes 24576
kernel.weight @norm f32 in f32_rows 1 x 48 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 48>] bytes 192
kernel.weight @k_norm f32 in f32_rows 1 x 32 pieces [#kernel.piece<"kn" rows 0 to 1 cols 0 to 32>] bytes 128
// CHECK: kernel.cache @kv bf16 heads 2 dim 32 window 8 pages 8192, 8192
kernel.cache @kv bf16 heads 2 dim 32 window 8 pages 8192, 8192

// CHECK-LABEL: func.func @body_few
// CHECK-SAME: kernel.io = "resid"
func.func @body_few(%h: tensor<?x48xf32> {kernel.io = "resid"}, %rope: tensor<?x8x2xf32> {kernel.io = "rope_local"}, %tile: tensor<?x4xi32> {kernel.io = "tile"}) attributes {kernel.segment = "body", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 512, row = 384, key = 0>} {
  // CHECK: kernel.call @norm_bf16{{.*}}(%{{.+}}) weights([@norm]) over all(1) at [worker + 0] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  %x = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@norm]) over all(1) at [worker + 0] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  // CHECK-NEXT: kernel.call @linear_bf16_bf16_k48_few(%{{.+}}) weights([@qkv]) scalars {stride = 96} over blocks(6) at [row + 0]
  %a = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@qkv]) scalars {stride = 96} over blocks(6) at [row + 0] : (tensor<?x48xbf16>) -> tensor<?x96xf32>
  // CHECK-NEXT: kernel.barrier
  kernel.barrier
  // CHECK-NEXT: kernel.call @append{{.*}} weights([@k_norm]) cache(@kv) scalars {k_column = 64, stride = 96, v_column = 64} over tiles(2) : (
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%a, %rope, %tile) weights([@k_norm]) cache(@kv) scalars {k_column = 64, stride = 96, v_column = 64} over tiles(2) : (tensor<?x96xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}
