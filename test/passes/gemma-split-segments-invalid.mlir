// RUN: gemma-opt %s --gemma-split-segments --split-input-file --verify-diagnostics

// No keys and values are written.
gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
// expected-error @below {{expects a kv_block in the step}}
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  %a0 = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %hidden = gemma.rms_norm %a0 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %hidden, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  return %hidden, %logits : tensor<?x48xf32>, tensor<?x100xf32>
}

// -----

// Something else writes them: the reason is repeated.
gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  %k = gemma.linear %h, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  // expected-error @below {{expects keys and values to be written by kv_block; not fused: the key has 2 users}}
  gemma.append %k, %k at (%slot, %pos) to @kv0 {gemma.not_fused = "the key has 2 users"} : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  %hidden = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %hidden, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  return %hidden, %logits : tensor<?x48xf32>, tensor<?x100xf32>
}

// -----

// The last write stands after a read of its cache that only the tail needs.
gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  // expected-error @below {{expects to stand after the kv_block that writes @kv0}}
  %a0 = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %hidden = gemma.rms_norm %a0 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %hidden, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  return %hidden, %logits : tensor<?x48xf32>, tensor<?x100xf32>
}

// -----

// No logits of hidden.
gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
// expected-error @below {{expects the step to return hidden, a norm, and the logits of hidden}}
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a0 = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %hidden = gemma.rms_norm %a0 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %a0, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  return %hidden, %logits : tensor<?x48xf32>, tensor<?x100xf32>
}

// -----

// One result.
gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
// expected-error @below {{expects the step to return hidden and logits, got 1 values}}
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> tensor<?x48xf32> attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  return %h : tensor<?x48xf32>
}

// -----

// The residual is an argument.
gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
func.func @step(%h: tensor<?x48xf32>, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  // expected-error @below {{expects the residual to be computed in the step}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a0 = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %hidden = gemma.rms_norm %a0 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %hidden, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  return %hidden, %logits : tensor<?x48xf32>, tensor<?x100xf32>
}

// -----

// A name that a segment needs.
gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
gemma.weight @top from "t" : tensor<4xf32>
// expected-error @below {{expects no other symbol @top}}
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a0 = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %hidden = gemma.rms_norm %a0 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %hidden, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  return %hidden, %logits : tensor<?x48xf32>, tensor<?x100xf32>
}

// -----

// Which of two would be cut?
func.func @first() attributes {gemma.segment = "step"} {
  return
}
// expected-error @below {{expects one function with gemma.segment "step"}}
func.func @second() attributes {gemma.segment = "step"} {
  return
}

// -----

// expected-error @below {{expects a segment to be one block}}
func.func @step() attributes {gemma.segment = "step"} {
  return
^unreachable:
  return
}
