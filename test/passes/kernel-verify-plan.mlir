// RUN: gemma-opt %s --kernel-verify-plan --split-input-file --verify-diagnostics

// plan_mutation_test breaks real plans in every way that it knows; here is what
// a correct plan and the two worst breaks look like.

kernel.weight @w {pieces = [{tensor = "w", rows = array<i64: 0, 32>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_16", rows = 32 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 4096 : i64, offset = 0 : i64}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64, offset = 4096 : i64}
kernel.def @take_k32_few {family = "take", rows = "few", constants = {k = 32 : i64}}
kernel.def @linear_f32_f32_k32_few {family = "linear", rows = "few", constants = {act = "f32", format = "f32", k = 32 : i64}}
kernel.def @add_norm_1_k32_s0_few {family = "add_norm", rows = "few", constants = {eps = 1.0 : f64, k = 32 : i64, scaled = 0 : i64}}
kernel.def @norm_f32_1_k32_few {family = "norm", rows = "few", constants = {act = "f32", eps = 1.0 : f64, k = 32 : i64}}
func.func @tail_few(%resid: tensor<?x32xf32> {kernel.io = "resid"}, %want: tensor<?xi32> {kernel.io = "want"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
    attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = {fixed = 0 : i64, key = 0 : i64, row = 128 : i64, worker = 1024 : i64}} {
  %h = kernel.call @take_k32_few(%resid, %want) over "all"(1) at ["worker+0"] : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
  %a = kernel.call @linear_f32_f32_k32_few(%h) weights([@w]) scalars [32] over "blocks"(2) at ["row+0"] : (tensor<?x32xf32>) -> tensor<?x32xf32>
  kernel.barrier
  %y = kernel.call @add_norm_1_k32_s0_few(%h, %a) weights([@n]) over "all"(1) at ["worker+0"] : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  %z = kernel.call @norm_f32_1_k32_few(%y) weights([@n]) over "one"(1) at ["io hidden"] : (tensor<?x32xf32>) -> tensor<?x32xf32>
  return %z : tensor<?x32xf32>
}

// -----

// Other workers may still be writing their columns.
kernel.weight @w {pieces = [{tensor = "w", rows = array<i64: 0, 32>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_16", rows = 32 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 4096 : i64, offset = 0 : i64}
kernel.def @take_k32_few {family = "take", rows = "few", constants = {k = 32 : i64}}
kernel.def @copy_k32_few {family = "copy", rows = "few", constants = {k = 32 : i64}}
kernel.def @linear_f32_f32_k32_few {family = "linear", rows = "few", constants = {act = "f32", format = "f32", k = 32 : i64}}
func.func @tail_few(%resid: tensor<?x32xf32> {kernel.io = "resid"}, %want: tensor<?xi32> {kernel.io = "want"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
    attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = {fixed = 0 : i64, key = 0 : i64, row = 128 : i64, worker = 1024 : i64}} {
  %h = kernel.call @take_k32_few(%resid, %want) over "all"(1) at ["worker+0"] : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
  // expected-note @+1 {{the other access}}
  %a = kernel.call @linear_f32_f32_k32_few(%h) weights([@w]) scalars [32] over "blocks"(2) at ["row+0"] : (tensor<?x32xf32>) -> tensor<?x32xf32>
  // expected-error @+1 {{expects a barrier after @linear_f32_f32_k32_few, which writes the same bytes}}
  %z = kernel.call @copy_k32_few(%a) over "one"(1) at ["io hidden"] : (tensor<?x32xf32>) -> tensor<?x32xf32>
  return %z : tensor<?x32xf32>
}

// -----

// A fast worker is already in the second product while a slow one reads the
// result of the first: bytes may change hands only across a barrier.
kernel.weight @w {pieces = [{tensor = "w", rows = array<i64: 0, 32>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_16", rows = 32 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 4096 : i64, offset = 0 : i64}
kernel.weight @n {pieces = [{tensor = "n", rows = array<i64: 0, 1>, cols = array<i64: 0, 32>}], format = "f32", layout = "f32_rows", rows = 1 : i64, cols = 32 : i64, stack = 1 : i64, interleave = 0 : i64, bytes = 128 : i64, offset = 4096 : i64}
kernel.def @take_k32_few {family = "take", rows = "few", constants = {k = 32 : i64}}
kernel.def @copy_k32_few {family = "copy", rows = "few", constants = {k = 32 : i64}}
kernel.def @linear_f32_f32_k32_few {family = "linear", rows = "few", constants = {act = "f32", format = "f32", k = 32 : i64}}
kernel.def @add_norm_1_k32_s0_few {family = "add_norm", rows = "few", constants = {eps = 1.0 : f64, k = 32 : i64, scaled = 0 : i64}}
func.func @tail_few(%resid: tensor<?x32xf32> {kernel.io = "resid"}, %want: tensor<?xi32> {kernel.io = "want"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
    attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = {fixed = 0 : i64, key = 0 : i64, row = 128 : i64, worker = 1024 : i64}} {
  %h = kernel.call @take_k32_few(%resid, %want) over "all"(1) at ["worker+0"] : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
  %a = kernel.call @linear_f32_f32_k32_few(%h) weights([@w]) scalars [32] over "blocks"(2) at ["row+0"] : (tensor<?x32xf32>) -> tensor<?x32xf32>
  kernel.barrier
  // expected-note @+1 {{the other access}}
  %y = kernel.call @add_norm_1_k32_s0_few(%h, %a) weights([@n]) over "all"(1) at ["worker+0"] : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  // expected-error @+1 {{expects a barrier after @add_norm_1_k32_s0_few, which reads the same bytes}}
  %b = kernel.call @linear_f32_f32_k32_few(%y) weights([@w]) scalars [32] over "blocks"(2) at ["row+0"] : (tensor<?x32xf32>) -> tensor<?x32xf32>
  kernel.barrier
  %z = kernel.call @copy_k32_few(%b) over "one"(1) at ["io hidden"] : (tensor<?x32xf32>) -> tensor<?x32xf32>
  return %z : tensor<?x32xf32>
}
