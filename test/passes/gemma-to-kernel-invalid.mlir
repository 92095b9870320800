// RUN: gemma-opt %s --gemma-to-kernel --split-input-file --verify-diagnostics
// RUN: not gemma-opt %S/Inputs/experts.mlir --gemma-to-kernel=target=abacus 2>&1 | FileCheck %s
// CHECK: unknown target 'abacus'

// expected-error @+1 {{expects a function of a segment (run the stage optimize first), got step}}
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}) attributes {gemma.segment = "step"} {
  return
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32>
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  // expected-error @+1 {{expects weight @e with a format (gemma-choose-formats), got none}}
  %h = gemma.embed %ids, @e {scale = 8.0 : f64} : tensor<?xi32> -> tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e {scale = 8.0 : f64} : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{has no kernel: optimize should have fused it into a block}}
  %y = gemma.add %h, %h : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "end"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e {scale = 8.0 : f64} : tensor<?xi32> -> tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}
// expected-error @-4 {{argument 0 ('end') is no step array that kernels know}}

// -----

// Gate and up of different formats cannot be interleaved.
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @g from "g" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @u from "u" : tensor<96x64xf32> {act = "f32", format = "f32"}
gemma.weight @d from "d" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e {scale = 8.0 : f64} : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{are stored interleaved and must have one shape and format}}
  %y = gemma.ffn_block %h pre(@n) gate(@g) up(@u) down(@d) post(@n) {eps = 1.0e-6 : f64} : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A head size that no kernel has.
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<48xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @q from "q" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @k from "k" : tensor<48x64xf32> {act = "bf16", format = "bf16"}
gemma.cache @kv {window = 0 : i64, heads = 1 : i64, dim = 48 : i64, form = "kv", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x24x2xf32> {gemma.arg = "rope_global"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e {scale = 8.0 : f64} : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: cache @kv has 1 heads of size 48; the head size must be a multiple of 32}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@n) k(@k) k_norm(@hn) cache(@kv) {eps = 1.0e-6 : f64, pairs = 24 : i64} : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x24x2xf32>
  return %h : tensor<?x64xf32>
}
