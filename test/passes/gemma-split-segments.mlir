// Three layers; the last write is that of layer 1. Layer 2 reads the cache of
// layer 0.
// RUN: gemma-opt %s --gemma-split-segments | FileCheck %s
// Twice is once.
// RUN: gemma-opt %s --gemma-split-segments -o %t.once
// RUN: gemma-opt %t.once --gemma-split-segments | diff %t.once -

// The body ends with the last kv_block and yields the residual that it read.
// CHECK: func.func @body(%[[IDS:.+]]: tensor<?xi32> {gemma.arg = "ids"}, %[[SLOT:.+]]: tensor<?xi32> {gemma.arg = "slot"}, %[[POS:.+]]: tensor<?xi32> {gemma.arg = "pos"}, %[[ROPE:.+]]: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> tensor<?x48xf32> attributes {gemma.segment = "body"} {
// CHECK-NEXT: %[[H:.+]] = gemma.embed %[[IDS]], @embed
// CHECK-NEXT: %[[PLE:.+]] = gemma.ple_inputs %[[IDS]], %[[H]] {{.*}}layers [0, 1]{{.*}} -> tensor<?x8xf32>
// CHECK-NEXT: gemma.kv_block %[[H]] at(%[[SLOT]], %[[POS]]), %[[ROPE]] {{.*}}cache(@kv0)
// CHECK-NEXT: %[[A:.+]] = gemma.attention_block %[[H]] {{.*}}cache(@kv0)
// CHECK-NEXT: %[[P:.+]] = gemma.columns %[[PLE]] [0, 8] : tensor<?x8xf32> -> tensor<?x8xf32>
// CHECK-NEXT: %[[R:.+]] = gemma.ple_block %[[A]], %[[P]]
// CHECK-NEXT: gemma.kv_block %[[R]] {{.*}}cache(@kv1)
// CHECK-NEXT: return %[[R]]

// The tail starts with the wanted rows of the residual and that layer's
// attention; it embeds its rows again for its own layers' inputs.
// CHECK: func.func @tail(%[[RESID:.+]]: tensor<?x48xf32> {gemma.arg = "resid"}, %[[WANT:.+]]: tensor<?xi32> {gemma.arg = "want"}, %[[IDS:.+]]: tensor<?xi32> {gemma.arg = "ids"}, %[[SLOT:.+]]: tensor<?xi32> {gemma.arg = "slot"}, %[[POS:.+]]: tensor<?xi32> {gemma.arg = "pos"}, %[[ROPE:.+]]: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> tensor<?x48xf32> attributes {gemma.segment = "tail"} {
// CHECK-NEXT: %[[R:.+]] = gemma.take %[[RESID]], %[[WANT]]
// CHECK-NEXT: %[[H:.+]] = gemma.embed %[[IDS]], @embed
// CHECK-NEXT: %[[PLE:.+]] = gemma.ple_inputs %[[IDS]], %[[H]] {{.*}}layers [1, 3]{{.*}} -> tensor<?x16xf32>
// CHECK-NEXT: %[[A1:.+]] = gemma.attention_block %[[R]] at(%[[SLOT]], %[[POS]]), %[[ROPE]] {{.*}}cache(@kv1)
// CHECK-NEXT: %[[P1:.+]] = gemma.columns %[[PLE]] [0, 8] : tensor<?x16xf32>
// CHECK-NEXT: %[[H2:.+]] = gemma.ple_block %[[A1]], %[[P1]]
// CHECK-NEXT: %[[A2:.+]] = gemma.attention_block %[[H2]] {{.*}}cache(@kv0)
// CHECK-NEXT: %[[P2:.+]] = gemma.columns %[[PLE]] [8, 16] : tensor<?x16xf32>
// CHECK-NEXT: %[[H3:.+]] = gemma.ple_block %[[A2]], %[[P2]]
// CHECK-NEXT: %[[HIDDEN:.+]] = gemma.rms_norm %[[H3]] weight @norm
// CHECK-NEXT: return %[[HIDDEN]]

// CHECK: func.func @top(%[[HIDDEN:.+]]: tensor<?x48xf32> {gemma.arg = "hidden"}, %[[MASK:.+]]: tensor<?x4xi32> {gemma.arg = "mask"}) -> (tensor<?x64xi32>, tensor<?x64xf32>) attributes {gemma.segment = "top"} {
// CHECK-NEXT: gemma.top %[[HIDDEN]], @embed mask(%[[MASK]] : tensor<?x4xi32>) cap 30.0 count 64
// CHECK-NEXT: return

// CHECK: func.func @logits(%[[HIDDEN:.+]]: tensor<?x48xf32> {gemma.arg = "hidden"}) -> tensor<?x100xf32> attributes {gemma.segment = "logits"} {
// CHECK-NEXT: %[[L:.+]] = gemma.logits %[[HIDDEN]], @embed
// CHECK-NEXT: %[[C:.+]] = gemma.softcap %[[L]] cap 30.0
// CHECK-NEXT: return %[[C]]

// CHECK-NOT: @step

gemma.weight @embed from "embed" : tensor<100x48xf32>
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
gemma.cache @kv0 heads 2 dim 16 window 8
gemma.cache @kv1 heads 2 dim 16 window 0

func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x4x2xf32> {gemma.arg = "rope_local"}) -> (tensor<?x48xf32>, tensor<?x100xf32>) attributes {gemma.segment = "step"} {
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  %ple = gemma.ple_inputs %ids, %h table(@table) proj(@proj) norm(@pnorm) layers [0, 3] width 8 token_scale 3.0 context_scale 1.0 scale 0.75 eps 1.0e-06 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x24xf32>
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a0 = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %p0 = gemma.columns %ple [0, 8] : tensor<?x24xf32> -> tensor<?x8xf32>
  %h1 = gemma.ple_block %a0, %p0 gate(@plg) proj(@plp) post(@norm) eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8xf32>
  gemma.kv_block %h1 at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@hd) cache(@kv1) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a1 = gemma.attention_block %h1 at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv1) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %p1 = gemma.columns %ple [8, 16] : tensor<?x24xf32> -> tensor<?x8xf32>
  %h2 = gemma.ple_block %a1, %p1 gate(@plg) proj(@plp) post(@norm) eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8xf32>
  %a2 = gemma.attention_block %h2 at (%slot, %pos), %rope norm(@norm) q(@q) q_norm(@hd) o(@o) post(@norm) cache(@kv0) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %p2 = gemma.columns %ple [16, 24] : tensor<?x24xf32> -> tensor<?x8xf32>
  %h3 = gemma.ple_block %a2, %p2 gate(@plg) proj(@plp) post(@norm) eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8xf32>
  %hidden = gemma.rms_norm %h3 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %logits = gemma.logits %hidden, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  %capped = gemma.softcap %logits cap 30.0 : tensor<?x100xf32>
  return %hidden, %capped : tensor<?x48xf32>, tensor<?x100xf32>
}
