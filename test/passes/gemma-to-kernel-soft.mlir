// RUN: gemma-opt %s --gemma-to-kernel | FileCheck %s
// RUN: gemma-opt %s --gemma-to-kernel=target=arm-neon | FileCheck %s

// Rows that encoders made take the place of embeddings; rows of a block see each
// other, in both row classes.

// CHECK-DAG: kernel.def @soft_rows_k64_few = soft_rows few
// CHECK-DAG: kernel.def @[[FEW:attend_blocks_f32_bf16_g2_d32_h2_w8_few]] = attend_blocks few
// CHECK-DAG: kernel.def @[[MANY:attend_blocks_bf16_bf16_g2_d32_h2_w8_many]] = attend_blocks many

// CHECK-LABEL: func.func @body_few
// CHECK-SAME: %[[IDS:[a-z0-9_]+]]: tensor<?xi32> {kernel.io = "ids"}
// CHECK-SAME: %[[TILE:[a-z0-9_]+]]: tensor<?x4xi32> {kernel.io = "tile"}
// CHECK-SAME: %[[SPLIT:[a-z0-9_]+]]: tensor<?x4xi32> {kernel.io = "split_local"}
// CHECK-SAME: %[[FROM:[a-z0-9_]+]]: tensor<?xi32> {kernel.io = "soft_row"}
// CHECK-SAME: %[[SOFT:[a-z0-9_]+]]: tensor<?x64xf32> {kernel.io = "soft"}
// CHECK-SAME: %[[END:[a-z0-9_]+]]: tensor<?xi32> {kernel.io = "end"}
// CHECK: %[[E:.*]] = kernel.call @embed_{{.*}}(%[[IDS]]) weights([@e]) over all(1)
// CHECK: kernel.call @soft_rows_k64_few(%[[E]], %[[FROM]], %[[SOFT]]) over all(1)
// CHECK: %[[Q:.*]] = kernel.call @rope_q_
// CHECK: kernel.call @[[FEW]](%[[Q]], %[[TILE]], %[[END]], %[[SPLIT]]) cache(@kv) over splits(1)
// CHECK: kernel.call @merge_

// CHECK-LABEL: func.func @body_many
// CHECK: kernel.call @soft_rows_k64_many({{.*}}) over rows(1)
// CHECK: kernel.call @[[MANY]](%{{[a-z0-9_]+}}, %{{[a-z0-9_]+}}, %{{[a-z0-9_]+}}) cache(@kv) over tiles(1)
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @q from "q" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @o from "o" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.cache @kv heads 1 dim 32 window 8 {format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x16x2xf32> {gemma.arg = "rope_local"}, %soft: tensor<?x64xf32> {gemma.arg = "soft"}, %end: tensor<?xi32> {gemma.arg = "end"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e soft row(%soft : tensor<?x64xf32>) scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  %y = gemma.attention_block %h at (%slot, %pos), %rope end(%end : tensor<?xi32>) norm(@n) q(@q) q_norm(@hn) o(@o) post(@n) cache(@kv) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  return %y : tensor<?x64xf32>
}
