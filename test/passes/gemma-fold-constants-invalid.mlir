// Scalars that stay, each with the reason.
// RUN: gemma-opt %s --gemma-fold-constants --split-input-file --verify-diagnostics

// No block before it.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @scalar from "scalar" : tensor<1xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.scale not fused: expects a block that ends a layer before the scalar, got gemma.rms_norm}}
  %z = gemma.scale %y by @scalar : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// -----

// An argument before it.
gemma.weight @scalar from "scalar" : tensor<1xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  // expected-remark @below {{gemma.scale not fused: expects a block that ends a layer before the scalar, got an argument}}
  %z = gemma.scale %h by @scalar : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// -----

// The block without the scalar is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @scalar from "scalar" : tensor<1xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> (tensor<?x48xf32>, tensor<?x48xf32>) {
  %y = gemma.ffn_block %h pre(@norm) gate(@gate) up(@up) down(@down) post(@post) eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.scale not fused: the block before the scalar has 2 users}}
  %z = gemma.scale %y by @scalar : tensor<?x48xf32>
  return %y, %z : tensor<?x48xf32>, tensor<?x48xf32>
}

// -----

// The block has a scalar.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @scalar from "scalar" : tensor<1xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.ffn_block %h pre(@norm) gate(@gate) up(@up) down(@down) post(@post) scale(@scalar) eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.scale not fused: the block before it has a scalar already}}
  %z = gemma.scale %y by @scalar : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}
