// One layer: body has no attention at all. Without a softcap top and logits have
// none.
// RUN: gemma-opt %s --gemma-split-segments | FileCheck %s

// CHECK: func.func @body
// CHECK-NEXT: %[[H:.+]] = gemma.embed
// CHECK-NEXT: gemma.kv_block %[[H]]
// CHECK-NEXT: return %[[H]]
// CHECK: func.func @tail
// CHECK-NEXT: %[[R:.+]] = gemma.take
// CHECK-NEXT: gemma.attention_block %[[R]]
// CHECK: func.func @top
// CHECK-NEXT: gemma.top %{{.*}}) count 64
// CHECK: func.func @logits
// CHECK-NEXT: %[[L:.+]] = gemma.logits
// CHECK-NEXT: return %[[L]]

gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.cache @kv0 heads 2 dim 16 window 8

func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a0 = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %hidden = gemma.rms_norm %a0 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %hidden, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  return %hidden, %logits : tensor<?x48xf32>, tensor<?x100xf32>
}
