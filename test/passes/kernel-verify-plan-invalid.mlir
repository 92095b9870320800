// What is no plan, one case each.
// RUN: gemma-opt %s --kernel-verify-plan --split-input-file --verify-diagnostics

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects kernel.segment and kernel.rows}}
  func.func private @f()
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects a body of one block}}
  func.func private @tail_few() attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>}
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects argument 0 (io tile) of rank 2 in i32, got 'tensor<?xi32>'}}
  func.func @tail_few(%t: tensor<?xi32> {kernel.io = "tile"}) -> (tensor<?x32xf32> {kernel.io = "hidden"}) attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    llvm.unreachable
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects io ids once}}
  func.func @tail_few(%a: tensor<?xi32> {kernel.io = "ids"}, %b: tensor<?xi32> {kernel.io = "ids"}) -> (tensor<?x32xf32> {kernel.io = "hidden"}) attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    llvm.unreachable
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  // expected-error @+1 {{expects a return}}
  func.func @tail_few(%x: tensor<?x32xf32> {kernel.io = "resid"}) -> (tensor<?x32xf32> {kernel.io = "hidden"}) attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    llvm.unreachable
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  kernel.def @copy_k32_few = copy few {k = 32}
  func.func @tail_few(%x: tensor<?x32xf32> {kernel.io = "ple"}) -> (tensor<?x32xf32> {kernel.io = "hidden"}) attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>, kernel.ple = array<i64: 0, 32>} {
    // expected-error @+1 {{expects input x to be a value, got io ple}}
    %y = kernel.call @copy_k32_few(%x) over one(1) at [io hidden] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  kernel.def @copy_k32_few = copy few {k = 32}
  func.func @tail_few(%x: tensor<?x64xf32> {kernel.io = "resid"}) -> (tensor<?x32xf32> {kernel.io = "hidden"}) attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    // expected-error @+1 {{expects 32 columns of x, got 64}}
    %y = kernel.call @copy_k32_few(%x) over one(1) at [io hidden] : (tensor<?x64xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  kernel.def @copy_k32_few = copy few {k = 32}
  func.func @tail_few(%x: tensor<?x32xf32> {kernel.io = "resid"}) -> (tensor<?x32xf32> {kernel.io = "hidden"}) attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 0, row = 100, key = 0>} {
    // expected-error @+1 {{expects row memory of a multiple of 64 bytes, got 100}}
    %y = kernel.call @copy_k32_few(%x) over one(1) at [row + 0] : (tensor<?x32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  kernel.def @take_k32_few = take few {k = 32}
  func.func @tail_few(%x: tensor<?x32xf32> {kernel.io = "resid"}, %want: tensor<?xi32> {kernel.io = "want"}) -> (tensor<?x32xf32> {kernel.io = "hidden"}) attributes {kernel.segment = "tail", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    // expected-error @+1 {{expects a private place for the result of axis all, got io hidden}}
    %y = kernel.call @take_k32_few(%x, %want) over all(1) at [io hidden] : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  kernel.def @copy_k64_few = copy few {k = 64}
  func.func @top_few(%x: tensor<?x64xf32> {kernel.io = "hidden"}) -> (tensor<?x64xf32> {kernel.io = "top_values"}, tensor<?x64xf32> {kernel.io = "logits"}) attributes {kernel.segment = "top", kernel.rows = "few", kernel.memory = #kernel.memory<worker = 1024, row = 128, key = 0>} {
    %a = kernel.call @copy_k64_few(%x) over one(1) at [io top_values] : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %b = kernel.call @copy_k64_few(%x) over one(1) at [io top_values] : (tensor<?x64xf32>) -> tensor<?x64xf32>
    // expected-error @+1 {{returns io top_values, which is overwritten}}
    return %a, %b : tensor<?x64xf32>, tensor<?x64xf32>
  }
}

// -----

module attributes {kernel.target = "x86-avx512"} {
  // expected-note @+1 {{the other one}}
  kernel.weight @a f32 in f32_rows 1 x 32 pieces [#kernel.piece<"a" rows 0 to 1 cols 0 to 32>] bytes 128 at 0
  // expected-error @+1 {{expects weight bytes of its own, got offset 64 below the end 128 of another}}
  kernel.weight @b f32 in f32_rows 1 x 32 pieces [#kernel.piece<"b" rows 0 to 1 cols 0 to 32>] bytes 128 at 64
}
