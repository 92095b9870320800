// Quantised sources keep their blocks, or become the nearest format that loses
// least; matrices that are stored as one have one format.
// RUN: gemma-opt %s --gemma-choose-formats 2>%t.auto | FileCheck %s --check-prefixes=CHECK,AUTO,FAR
// RUN: FileCheck %s --check-prefix=REMARK <%t.auto
// RUN: gemma-opt %s --gemma-choose-formats=requantize=true | FileCheck %s --check-prefixes=CHECK,AUTO,NEAR
// RUN: gemma-opt %s --gemma-choose-formats=quant=q8 | FileCheck %s --check-prefixes=CHECK,Q8
// RUN: gemma-opt %s --gemma-choose-formats=quant=q4 | FileCheck %s --check-prefixes=Q4
// RUN: gemma-opt %s --gemma-choose-formats=quant=none | FileCheck %s --check-prefixes=NONE

// NONE-NOT: format = "q
// REMARK-DAG: matrices in q4_0, the source is q4_0: @a.q4_0, @l1.q, @o, @down
// REMARK-DAG: matrices in q8_0, the source is q5_0, which q8_0 holds exactly: @a.q5_0, @l1.v
// REMARK-DAG: matrices in q8_0, the source is q6_k, encoded anew: @a.q6_k, @gate
// REMARK-DAG: 1 matrix in q8_0, not q4_0 (the source is q4_0): stored as one matrix with @l1.v: @l1.k
// REMARK-DAG: 1 matrix in q8_0, not q4_0 (the source is q4_0): stored as one matrix with @gate: @up
// REMARK-DAG: 1 matrix in bf16, k = 48 is no multiple of 32: @a.narrow

gemma.weight @norm from "norm" : tensor<64xf32>
gemma.weight @hd from "hd" : tensor<32xf32>
// CHECK: @a.q4_0 {{.+}} {act = "q8", format = "q4_0"
// Q4: @a.q4_0 {{.+}} format = "q4_0"
gemma.weight @a.q4_0 from "1" : tensor<64x64xf32> {source = "q4_0"}
// CHECK: @a.q8_0 {{.+}} {act = "q8", format = "q8_0"
// Q4: @a.q8_0 {{.+}} format = "q4_bf"
gemma.weight @a.q8_0 from "2" : tensor<64x64xf32> {source = "q8_0"}
// CHECK: @a.q5_0 {{.+}} {act = "q8", format = "q8_0"
// Q4: @a.q5_0 {{.+}} format = "q4_bf"
gemma.weight @a.q5_0 from "3" : tensor<64x64xf32> {source = "q5_0"}
// FAR: @a.q4_1 {{.+}} format = "q8_0"
// NEAR: @a.q4_1 {{.+}} format = "q4_0"
// Q8: @a.q4_1 {{.+}} format = "q8_0"
// Q4: @a.q4_1 {{.+}} format = "q4_bf"
gemma.weight @a.q4_1 from "4" : tensor<64x64xf32> {source = "q4_1"}
// FAR: @a.q4_k {{.+}} format = "q8_0"
// NEAR: @a.q4_k {{.+}} format = "q4_0"
gemma.weight @a.q4_k from "5" : tensor<64x256xf32> {source = "q4_k"}
// CHECK: @a.q6_k {{.+}} format = "q8_0"
gemma.weight @a.q6_k from "6" : tensor<64x256xf32> {source = "q6_k"}
// AUTO: @a.bf16 {{.+}} format = "bf16"
// Q8: @a.bf16 {{.+}} format = "q8_0"
// Q4: @a.bf16 {{.+}} format = "q4_bf"
gemma.weight @a.bf16 from "7" : tensor<64x64xf32> {source = "bf16"}
// CHECK: @a.narrow {{.+}} format = "bf16"
gemma.weight @a.narrow from "8" : tensor<64x48xf32> {source = "q8_0"}

// k and v are one matrix: q8_0 loses nothing, and they have it also with
// q4, as so small a part of all. q may differ.
// CHECK: @l1.q {{.+}} format = "q4_0"
// Q4: @l1.q {{.+}} format = "q4_0"
gemma.weight @l1.q from "q" : tensor<64x64xf32> {source = "q4_0"}
// CHECK: @l1.k {{.+}} format = "q8_0"
// Q4: @l1.k {{.+}} format = "q8_0"
gemma.weight @l1.k from "k" : tensor<32x64xf32> {source = "q4_0"}
// CHECK: @l1.v {{.+}} format = "q8_0"
// Q4: @l1.v {{.+}} format = "q8_0"
gemma.weight @l1.v from "v" : tensor<32x64xf32> {source = "q5_0"}
gemma.weight @o from "o" : tensor<64x64xf32> {source = "q4_0"}
// Gate and up are one matrix; down only reads what they write.
// AUTO: @gate {{.+}} format = "q8_0"
gemma.weight @gate from "gate" : tensor<256x64xf32> {source = "q6_k"}
// AUTO: @up {{.+}} format = "q8_0"
gemma.weight @up from "up" : tensor<256x64xf32> {source = "q4_0"}
// CHECK: @down {{.+}} format = "q4_0"
gemma.weight @down from "down" : tensor<64x256xf32> {source = "q4_0"}
gemma.cache @kv heads 1 dim 32 window 8

func.func @f(%h: tensor<?x64xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x64xf32> {
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@l1.k) v(@l1.v) k_norm(@hd) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %a = gemma.attention_block %h at (%slot, %pos), %rope norm(@norm) q(@l1.q) q_norm(@hd) o(@o) post(@norm) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  %y = gemma.ffn_block %a pre(@norm) gate(@gate) up(@up) down(@down) post(@norm) eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
