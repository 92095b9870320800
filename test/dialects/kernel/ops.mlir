// RUN: gemma-opt %s --verify-roundtrip | FileCheck %s

// CHECK: kernel.def @norm_bf16_{{.+}}_few {constants = {act = "bf16", eps = {{.+}}, k = 48 : i64}, family = "norm", rows = "few"}
kernel.def @norm_bf16_1em06_k48_few {family = "norm", rows = "few", constants = {act = "bf16", eps = 1.0e-6 : f64, k = 48 : i64}}
kernel.def @linear_bf16_bf16_k48_few {family = "linear", rows = "few", constants = {act = "bf16", format = "bf16", k = 48 : i64}}
kernel.def @append_bf16_1em06_d32_h2_r8_few {family = "append", rows = "few", constants = {heads = 2 : i64, hd = 32 : i64, pairs = 8 : i64, eps = 1.0e-6 : f64, cache = "bf16"}}
// CHECK: kernel.weight @qkv {bytes = 9216 : i64, cols = 48 : i64, format = "bf16", interleave = 0 : i64, layout = "bf16_16x2", {{.*}}offset = 128 : i64, pieces = [{cols = array<i64: 0, 48>, rows = array<i64: 0, 64>, tensor = "q"}, {{.*}}], rows = 96 : i64, stack = 1 : i64}
kernel.weight @qkv {pieces = [{tensor = "q", rows = array<i64: 0, 64>, cols = array<i64: 0, 48>}, {tensor = "k", rows = array<i64: 32, 64>, cols = array<i64: 0, 48>}], format = "bf16", layout = "bf16_16x2", rows = 96 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 9216 : i64, offset = 128 : i64}
// CHECK: kernel.weight @k {{.*}}view_of = @qkv, view_rows = array<i64: 64, 96>
kernel.weight @k {view_of = @qkv, view_rows = array<i64: 64, 96>, format = "bf16", layout = "bf16_16x2", rows = 32 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 3072 : i64, offset = 6272 : i64}
// Each of the two pieces is padded to whole blocks of 32 rows.
// CHECK: kernel.weight @gate_up {bytes = 24576 : i64,
kernel.weight @gate_up {pieces = [{tensor = "g", rows = array<i64: 0, 40>, cols = array<i64: 0, 48>}, {tensor = "u", rows = array<i64: 0, 40>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_16", rows = 80 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 32 : i64, bytes = 24576 : i64}
kernel.weight @norm {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 48>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 48 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 192 : i64}
kernel.weight @k_norm {pieces = [{tensor = "kn", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64}
// CHECK: kernel.cache @kv {dim = 32 : i64, format = "bf16", heads = 2 : i64, k_page = 8192 : i64, table = "local", v_page = 8192 : i64, window = 8 : i64}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "bf16", k_page = 8192 : i64, v_page = 8192 : i64}

// CHECK-LABEL: func.func @body_few
// CHECK-SAME: kernel.io = "resid"
func.func @body_few(%h: tensor<?x48xf32> {kernel.io = "resid"}, %rope: tensor<?x8x2xf32> {kernel.io = "rope_local"}, %tile: tensor<?x4xi32> {kernel.io = "tile"}) attributes {kernel.segment = "body", kernel.rows = "few", kernel.memory = {fixed = 0 : i64, worker = 512 : i64, row = 384 : i64, key = 0 : i64}} {
  // CHECK: kernel.call @norm_bf16{{.*}}(%{{.+}}) weights([@norm]) over "all"(1) at ["worker+0"] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  %x = kernel.call @norm_bf16_1em06_k48_few(%h) weights([@norm]) over "all"(1) at ["worker+0"] : (tensor<?x48xf32>) -> tensor<?x48xbf16>
  // CHECK-NEXT: kernel.call @linear_bf16_bf16_k48_few(%{{.+}}) weights([@qkv]) scalars [96] over "blocks"(6) at ["row+0"]
  %a = kernel.call @linear_bf16_bf16_k48_few(%x) weights([@qkv]) scalars [96] over "blocks"(6) at ["row+0"] : (tensor<?x48xbf16>) -> tensor<?x96xf32>
  // CHECK-NEXT: kernel.barrier
  kernel.barrier
  // CHECK-NEXT: kernel.call @append{{.*}} weights([@k_norm]) cache(@kv) scalars [96, 64, 64] over "tiles"(2) : (
  kernel.call @append_bf16_1em06_d32_h2_r8_few(%a, %rope, %tile) weights([@k_norm]) cache(@kv) scalars [96, 64, 64] over "tiles"(2) : (tensor<?x96xf32>, tensor<?x8x2xf32>, tensor<?x4xi32>) -> ()
  return
}
