// What verifies but is no plan is refused, not lowered to garbage.
// RUN: gemma-opt %s --kernel-to-llvm --split-input-file --verify-diagnostics

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects an offset}}
  kernel.cache @kv bf16 heads 2 dim 32 window 8 pages 8192, 8192
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects an offset}}
  kernel.weight @n f32 in f32_rows 1 x 32 pieces [#kernel.piece<"n" rows 0 to 1 cols 0 to 32>] bytes 128
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects kernel.io of argument 0}}
  func.func @body_few(%x: tensor<?x32xf32>) -> (tensor<?x32xf32> {kernel.io = "resid"})
      attributes {kernel.segment = "body", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 0, row = 0, key = 0>} {
    return %x : tensor<?x32xf32>
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  kernel.def @copy_k32_few = copy few {k = 32}
  func.func @tail_few(%x: tensor<?x32xf32> {kernel.io = "resid"}) -> (tensor<?x32xf32> {kernel.io = "hidden"})
      attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 0, row = 0, key = 0>} {
    // expected-error @+1 {{expects a place for every result}}
    %y = kernel.call @copy_k32_few(%x) over one(1) : (tensor<?x32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

// expected-error @+1 {{expects kernel.target of the module}}
module {
  kernel.cache @kv bf16 heads 2 dim 32 window 8 pages 8192, 8192 at 0
}
