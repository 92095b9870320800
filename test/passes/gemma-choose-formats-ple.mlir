// Per-layer embeddings: the table has a format of its own; the matrices of
// ple_block and ple_inputs are small and keep eight bits.
// RUN: gemma-opt %s --gemma-choose-formats=quant=q4 2>%t.q4 | FileCheck %s --check-prefix=Q4
// RUN: FileCheck %s --check-prefix=REMARK <%t.q4
// RUN: gemma-opt %s --gemma-choose-formats=quant=q8 | FileCheck %s --check-prefix=Q8
// RUN: gemma-opt %s --gemma-choose-formats | FileCheck %s --check-prefix=NONE

// REMARK-DAG: 1 matrix in q8_0, quant=q4, per-layer embeddings
// REMARK-DAG: 1 matrix in q4_0, quant=q4, the source is q4_0
// REMARK-DAG: 1 matrix in bf16, per-layer embeddings of 16 columns are no multiple of 32
// REMARK-DAG: 3 matrices in q8_0, quant=q4, small and read by every layer

gemma.weight @norm from "n" : tensor<64xf32>
gemma.weight @p_norm from "p" : tensor<32xf32>
gemma.weight @s_norm from "s" : tensor<16xf32>
// Q4: @table {{.+}} {act = "q8", format = "q8_0",
// Q8: @table {{.+}} format = "q8_0"
// NONE: @table {{.+}} format = "bf16"
gemma.weight @table from "t" : tensor<320x96xf32> {source = "bf16"}
// A source of four bits stays one.
// Q4: @table4 {{.+}} {act = "q8", format = "q4_0",
// Q8: @table4 {{.+}} format = "q4_0"
gemma.weight @table4 from "u" : tensor<320x96xf32> {source = "q4_0"}
// Segments begin at a layer, in the middle of a block here.
// Q4: @narrow {{.+}} format = "bf16"
// Q8: @narrow {{.+}} format = "bf16"
gemma.weight @narrow from "v" : tensor<320x96xf32> {source = "bf16"}
// Q4: @proj {{.+}} format = "q8_0"
// Q8: @proj {{.+}} format = "q8_0"
// NONE: @proj {{.+}} format = "bf16"
gemma.weight @proj from "w" : tensor<96x64xf32> {source = "bf16"}
// Q4: @gate {{.+}} {act = "q8", format = "q8_0",
gemma.weight @gate from "x" : tensor<32x64xf32> {source = "bf16"}
// Q4: @out {{.+}} {act = "q8", format = "q8_0",
gemma.weight @out from "y" : tensor<64x32xf32> {source = "bf16"}

func.func @f(%ids: tensor<?xi32>, %h: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x96xf32>, tensor<?x96xf32>) {
  %a = gemma.ple_inputs %ids, %h table(@table) proj(@proj) norm(@p_norm) layers [0, 3] width 32 token_scale 4.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x96xf32>
  %b = gemma.ple_inputs %ids, %h table(@table4) proj(@proj) norm(@p_norm) layers [0, 3] width 32 token_scale 4.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x96xf32>
  %c = gemma.ple_inputs %ids, %h table(@narrow) proj(@proj) norm(@s_norm) layers [0, 6] width 16 token_scale 4.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x96xf32>
  %p = gemma.columns %a [0, 32] : tensor<?x96xf32> -> tensor<?x32xf32>
  %y = gemma.ple_block %h, %p gate(@gate) proj(@out) post(@norm) eps 1.0e-06 : tensor<?x64xf32>, tensor<?x32xf32>
  return %y, %b, %c : tensor<?x64xf32>, tensor<?x96xf32>, tensor<?x96xf32>
}
