// RUN: gemma-opt %s --kernel-verify-plan --split-input-file --verify-diagnostics

// plan_mutation_test breaks real plans in every way that it knows; here is what
// a correct plan and the two worst breaks look like.

module attributes {kernel.target = "x86-avx512"} {
  kernel.weight @w f32 in f32_16 32 x 32 pieces [#kernel.piece<"w" rows 0 to 32 cols 0 to 32>] bytes 4096 at 0
  kernel.weight @n f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128 at 4096
  kernel.def @take_k32_few = take few {k = 32}
  kernel.def @linear_f32_f32_k32_few = linear few {act = f32, format = f32, k = 32}
  kernel.def @add_norm_1_k32_s0_few = add_norm few {eps = 1.0, k = 32, scaled = 0}
  kernel.def @norm_f32_1_k32_few = norm few {act = f32, eps = 1.0, k = 32}
  func.func @tail_few(%resid: tensor<?x32xf32> {kernel.io = "resid"}, %want: tensor<?xi32> {kernel.io = "want"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
      attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    %h = kernel.call @take_k32_few(%resid, %want) over all(1) at [worker + 0] : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
    %a = kernel.call @linear_f32_f32_k32_few(%h) weights([@w]) scalars {stride = 32} over blocks(2) at [row + 0] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    kernel.barrier
    %y = kernel.call @add_norm_1_k32_s0_few(%h, %a) weights([@n]) over all(1) at [worker + 0] : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
    %z = kernel.call @norm_f32_1_k32_few(%y) weights([@n]) over one(1) at [io hidden] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    return %z : tensor<?x32xf32>
  }
}

// -----

// Other workers may still be writing their columns.
module attributes {kernel.target = "x86-avx512"} {
  kernel.weight @w f32 in f32_16 32 x 32 pieces [#kernel.piece<"w" rows 0 to 32 cols 0 to 32>] bytes 4096 at 0
  kernel.def @take_k32_few = take few {k = 32}
  kernel.def @copy_k32_few = copy few {k = 32}
  kernel.def @linear_f32_f32_k32_few = linear few {act = f32, format = f32, k = 32}
  func.func @tail_few(%resid: tensor<?x32xf32> {kernel.io = "resid"}, %want: tensor<?xi32> {kernel.io = "want"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
      attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    %h = kernel.call @take_k32_few(%resid, %want) over all(1) at [worker + 0] : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
    // expected-note @+1 {{the other access}}
    %a = kernel.call @linear_f32_f32_k32_few(%h) weights([@w]) scalars {stride = 32} over blocks(2) at [row + 0] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    // expected-error @+1 {{expects a barrier after @linear_f32_f32_k32_few, which writes the same bytes}}
    %z = kernel.call @copy_k32_few(%a) over one(1) at [io hidden] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    return %z : tensor<?x32xf32>
  }
}

// -----

// A fast worker is already in the second product while a slow one reads the
// result of the first: bytes may change hands only across a barrier.
module attributes {kernel.target = "x86-avx512"} {
  kernel.weight @w f32 in f32_16 32 x 32 pieces [#kernel.piece<"w" rows 0 to 32 cols 0 to 32>] bytes 4096 at 0
  kernel.weight @n f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128 at 4096
  kernel.def @take_k32_few = take few {k = 32}
  kernel.def @copy_k32_few = copy few {k = 32}
  kernel.def @linear_f32_f32_k32_few = linear few {act = f32, format = f32, k = 32}
  kernel.def @add_norm_1_k32_s0_few = add_norm few {eps = 1.0, k = 32, scaled = 0}
  func.func @tail_few(%resid: tensor<?x32xf32> {kernel.io = "resid"}, %want: tensor<?xi32> {kernel.io = "want"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
      attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    %h = kernel.call @take_k32_few(%resid, %want) over all(1) at [worker + 0] : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
    %a = kernel.call @linear_f32_f32_k32_few(%h) weights([@w]) scalars {stride = 32} over blocks(2) at [row + 0] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    kernel.barrier
    // expected-note @+1 {{the other access}}
    %y = kernel.call @add_norm_1_k32_s0_few(%h, %a) weights([@n]) over all(1) at [worker + 0] : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
    // expected-error @+1 {{expects a barrier after @add_norm_1_k32_s0_few, which reads the same bytes}}
    %b = kernel.call @linear_f32_f32_k32_few(%y) weights([@w]) scalars {stride = 32} over blocks(2) at [row + 0] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    kernel.barrier
    %z = kernel.call @copy_k32_few(%b) over one(1) at [io hidden] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    return %z : tensor<?x32xf32>
  }
}
