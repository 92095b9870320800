// q, k and v are one packed matrix where they read one residual through one
// norm: an f32 source of one makes all f32. A layer without keys of its own is
// alone; so is another layer.
// RUN: gemma-opt %s --gemma-choose-formats | FileCheck %s

gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
// CHECK: gemma.weight @q {{.+}} format = "f32"
gemma.weight @q from "q" : tensor<64x48xf32> {source = "bf16"}
// CHECK: gemma.weight @k {{.+}} format = "f32"
gemma.weight @k from "k" : tensor<32x48xf32> {source = "bf16"}
// CHECK: gemma.weight @v {{.+}} format = "f32"
gemma.weight @v from "v" : tensor<32x48xf32> {source = "f32"}
// CHECK: gemma.weight @o {{.+}} format = "bf16"
gemma.weight @o from "o" : tensor<48x64xf32> {source = "bf16"}
// CHECK: gemma.weight @q1 {{.+}} format = "bf16"
gemma.weight @q1 from "q1" : tensor<64x48xf32> {source = "bf16"}
gemma.cache @kv heads 2 dim 16 window 8

func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x48xf32> {
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) v(@v) k_norm(@hd) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %b = gemma.attention_block %a at (%slot, %pos), %rope norm(@norm) q(@q1) q_norm(@hd) o(@o) post(@norm) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  return %b : tensor<?x48xf32>
}
