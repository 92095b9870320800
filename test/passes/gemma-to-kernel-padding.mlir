// RUN: gemma-opt %s --gemma-select --kernel-plan | FileCheck %s
// RUN: sed 's/{act = "bf16", format = "bf16"}/{act = "q8", format = "q8_0"}/' %s >%t.q8
// RUN: gemma-opt %t.q8 --gemma-select --kernel-plan | FileCheck %s --check-prefix=Q8

// A gate of 48 rows fills two blocks of 32 and so does up: 128 packed rows of
// 64 columns in bf16, although the pieces have 96. The result's rows are 48
// wide and 64 apart.
// CHECK: kernel.weight @l.gate_up {{.*}} 96 x 64 interleave 32 {{.*}} bytes 16384
// CHECK-LABEL: func.func @body_few
// CHECK: kernel.call @linear_geglu_bf16_bf16_k64_few(%{{.*}}) weights([@l.gate_up]) scalars {stride = 64} over blocks(2) {{.*}} -> tensor<?x48xbf16>
// CHECK: kernel.call @linear_bf16_bf16_k48_few
//
// In blocks of 32 the result has 64 columns, of which 16 are zeros, as are those
// of the matrix that multiplies them.
// Q8: kernel.weight @l.gate_up q8_0 {{.*}} 128 x 64 interleave 32 {{.*}} rows 0 to 48
// Q8: kernel.weight @l.down q8_0 {{.*}} 64 x 64 pieces {{.*}} cols 0 to 48
// Q8: kernel.call @linear_geglu_q8_q8_0_k64_few{{.*}} -> tensor<?x64xi8, "q8">
// Q8: kernel.call @linear_q8_q8_0_k64_few

gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l.gate from "g" : tensor<48x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l.up from "u" : tensor<48x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l.down from "d" : tensor<64x48xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  %y = gemma.ffn_block %h pre(@n) gate(@l.gate) up(@l.up) down(@l.down) post(@n) eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
