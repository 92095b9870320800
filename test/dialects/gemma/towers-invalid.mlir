// What the verifiers of tower ops refuse.
// RUN: gemma-opt %s --split-input-file --verify-diagnostics

gemma.weight @d from "d" : tensor<48xf32>
func.func @f(%x: tensor<?x48xf32>) {
  // expected-error @below {{expects low @d of shape [1], got [48]}}
  %0 = gemma.clamp %x to (@d, @d) : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
func.func @f(%x: tensor<?x48xf32>) {
  // expected-error @below {{expects size to divide 48 columns, got 20}}
  %0 = gemma.layer_norm %x weight @d size 20 eps 1.0e-05 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @outer from "outer" : tensor<10x2x48xf32>
func.func @f(%x: tensor<?x48xf32>, %p: tensor<?x2xi32>) {
  // expected-error @below {{expects table @outer of shape [2, ?, 48], got [10, 2, 48]}}
  %0 = gemma.add_positions %x at %p, @outer : tensor<?x48xf32>, tensor<?x2xi32>
  return
}

// -----

func.func @f(%x: tensor<?x48xf32>, %t: tensor<?x7x2xf32>) {
  // expected-error @below {{expects a dim that is a multiple of 4 and divides 48 columns, got 14}}
  %0 = gemma.rope2d %x, %t dim 14 : tensor<?x48xf32>, tensor<?x7x2xf32>
  return
}

// -----

func.func @f(%x: tensor<?x48xf32>) {
  // expected-error @below {{expects a dim that divides 48 columns, got 20}}
  %0 = gemma.self_attention %x, %x, %x dim 20 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @sq from "sq" : tensor<48x48xf32>
gemma.weight @hd from "hd" : tensor<20xf32>
func.func @f(%x: tensor<?x48xf32>) {
  // expected-error @below {{expects an even number of columns that dim divides, got 48 and dim 20}}
  %0 = gemma.rel_attention %x, %x, %x rel(@sq) scale(@hd) dim 20 window 12 cap 50.0 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @sq from "sq" : tensor<48x48xf32>
gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<20xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects an even number of columns that dim divides, got 48 and dim 20}}
  %0 = gemma.conformer_attention_block %h pre(@d) q(@sq) k(@sq) v(@sq) rel(@sq) scale(@hd) o(@sq) post(@d) dim 20 window 12 cap 50.0 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @kernel from "kernel" : tensor<144xf32>
func.func @f(%x: tensor<?x48xf32>) {
  // expected-error @below {{expects an even number of bins that divides 48 columns, got 9}}
  %0 = gemma.conv2d %x, @kernel bins 9 : tensor<?x48xf32> -> tensor<?x64xf32>
  return
}

// -----

gemma.weight @kernel from "kernel" : tensor<144xf32>
gemma.weight @norm from "norm" : tensor<16xf32>
func.func @f(%x: tensor<?x48xf32>) {
  // expected-error @below {{expects an even number of bins that divides 48 columns, got 10}}
  %0 = gemma.subsample %x, @kernel norm(@norm) bins 10 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x64xf32>
  return
}

// -----

gemma.weight @kernel from "kernel" : tensor<144xf32>
func.func @f(%x: tensor<?x8xf32>) {
  // expected-error @below {{expects the result's columns to be a multiple of 4, got 62}}
  %0 = gemma.conv2d %x, @kernel bins 8 : tensor<?x8xf32> -> tensor<?x62xf32>
  return
}

// -----

gemma.weight @taps from "taps" : tensor<250xf32>
func.func @f(%x: tensor<?x48xf32>) {
  // expected-error @below {{expects weight to have a multiple of 48 elements, got 250}}
  %0 = gemma.depthwise_conv %x, @taps : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @up from "up" : tensor<96x48xf32>
gemma.weight @down from "down" : tensor<48x96xf32>
gemma.weight @lo from "lo" : tensor<1xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects 8 bounds of 2 matrices, got 4}}
  %0 = gemma.conformer_ffn_block %h pre(@d) up(@up) down(@down) post(@d) bounds [@lo, @lo, @lo, @lo] factor 0.5 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @up from "up" : tensor<96x48xf32>
gemma.weight @down from "down" : tensor<48x96xf32>
gemma.weight @lo from "lo" : tensor<1xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects bound @d to name a gemma.weight of shape [1]}}
  %0 = gemma.conformer_ffn_block %h pre(@d) up(@up) down(@down) post(@d) bounds [@lo, @lo, @lo, @lo, @lo, @lo, @lo, @d] factor 0.5 eps 1.0e-06 : tensor<?x48xf32>
  return
}
