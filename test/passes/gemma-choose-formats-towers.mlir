// Matrices of towers: bf16 multiplies f32 rows, since many rows are computed at
// once; a wish for four bits gives eight. Tables of positions and what multiplies
// positions keep bf16, and what a gated MLP hides may end within a block.
// RUN: gemma-opt %s --gemma-choose-formats=quant=q4 2>%t.q4 | FileCheck %s --check-prefix=Q4
// RUN: FileCheck %s --check-prefix=REMARK <%t.q4
// RUN: gemma-opt %s --gemma-choose-formats | FileCheck %s --check-prefix=AUTO
// RUN: gemma-opt %s --gemma-choose-formats=quant=f32 | FileCheck %s --check-prefix=F32

// REMARK-DAG: 6 matrices in q8_0, quant=q4, of a tower
// REMARK-DAG: 1 matrix in bf16, of positions: @rel
// REMARK-DAG: 1 matrix in bf16, k = 48 is no multiple of 32: @odd

// F32-NOT: "bf16", format
// F32-NOT: format = "bf16"

gemma.weight @d from "d" : tensor<64xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @taps from "taps" : tensor<320xf32>
// Q4: @q {{.+}} {act = "q8", format = "q8_0",
// AUTO: @q {{.+}} {act = "f32", format = "bf16",
gemma.weight @q from "q" : tensor<64x64xf32> {source = "bf16"}
// Q4: @rel {{.+}} format = "bf16"
// AUTO: @rel {{.+}} format = "bf16"
gemma.weight @rel from "rel" : tensor<64x64xf32> {source = "bf16"}
// Q4: @gate {{.+}} {act = "q8", format = "q8_0",
gemma.weight @gate from "gate" : tensor<80x64xf32> {source = "bf16"}
gemma.weight @up from "up" : tensor<80x64xf32> {source = "bf16"}
// Q4: @down {{.+}} {act = "q8", format = "q8_0",
// AUTO: @down {{.+}} {act = "f32", format = "bf16",
gemma.weight @down from "down" : tensor<64x80xf32> {source = "bf16"}
gemma.weight @first from "first" : tensor<64x96xf32> {source = "bf16"}
// A quantised source stays: no rounding to bf16 in between.
// AUTO: @second {{.+}} {act = "q8", format = "q8_0",
gemma.weight @second from "second" : tensor<48x64xf32> {source = "q8_0"}
// Q4: @odd {{.+}} {act = "f32", format = "bf16",
gemma.weight @odd from "odd" : tensor<64x48xf32> {source = "bf16"}

func.func @sound(%frames: tensor<?x96xf32>) -> tensor<?x64xf32> attributes {gemma.segment = "audio"} {
  %0 = gemma.project %frames, @first : tensor<?x96xf32> -> tensor<?x64xf32>
  %1 = gemma.conformer_attention_block %0 pre(@d) q(@q) k(@q) v(@q) rel(@rel) scale(@hd) o(@q) post(@d) dim 16 window 12 cap 50.0 eps 1.0e-06 : tensor<?x64xf32>
  %2 = gemma.ffn_block %1 pre(@d) gate(@gate) up(@up) down(@down) post(@d) eps 1.0e-06 : tensor<?x64xf32>
  %3 = gemma.project %2, @second : tensor<?x64xf32> -> tensor<?x48xf32>
  %4 = gemma.project %3, @odd : tensor<?x48xf32> -> tensor<?x64xf32>
  return %4 : tensor<?x64xf32>
}
