// What verifies but is no plan is refused, not lowered to garbage.
// RUN: gemma-opt %s --kernel-to-llvm --split-input-file --verify-diagnostics

// expected-error @+1 {{expects an offset}}
kernel.cache @kv {table = "local", window = 8 : i64, heads = 2 : i64, dim = 32 : i64, format = "bf16", k_page = 8192 : i64, v_page = 8192 : i64}

// -----

// expected-error @+1 {{expects an offset}}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64}

// -----

// expected-error @+1 {{expects kernel.io of argument 0}}
func.func @body_few(%x: tensor<?x32xf32>) -> (tensor<?x32xf32> {kernel.io = "resid"})
    attributes {kernel.segment = "body", kernel.rows = "few", kernel.memory = {fixed = 0 : i64, key = 0 : i64, row = 0 : i64, worker = 0 : i64}} {
  return %x : tensor<?x32xf32>
}

// -----

kernel.def @copy_k32_few {family = "copy", rows = "few", constants = {k = 32 : i64}}
func.func @tail_few(%x: tensor<?x32xf32> {kernel.io = "resid"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
    attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = {fixed = 0 : i64, key = 0 : i64, row = 0 : i64, worker = 0 : i64}} {
  // expected-error @+1 {{expects a place for every result}}
  %y = kernel.call @copy_k32_few(%x) over "one"(1) : (tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}
