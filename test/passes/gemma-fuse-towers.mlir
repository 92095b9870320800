// Fused ops of towers, expanded, are found again; groups with a flaw stay.
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s -o %t.fused
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-expand -o %t.loose
// RUN: FileCheck %s --check-prefix=LOOSE <%t.loose
// LOOSE: gemma.self_attention
// LOOSE: gemma.rel_attention
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %t.loose --gemma-fuse-ffn --gemma-fuse-towers | diff %t.fused -
//
// A clamp on one side only.
// RUN: sed '0,/gemma.clamp \(%[0-9]*\) to(@lo, @hi)/s//gemma.affine \1 times 1.0 plus 0.0/' %t.loose >%t.flaw
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %t.flaw --gemma-fuse-ffn --gemma-fuse-towers | FileCheck %s --check-prefix=FLAW
// FLAW: gemma.self_attention {{.*}}gemma.not_fused = "the query has bounds on one side only"

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @lo from "lo" : tensor<1xf32>
gemma.weight @hi from "hi" : tensor<1xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @sq from "sq" : tensor<48x48xf32>
gemma.weight @wide from "wide" : tensor<96x48xf32>
gemma.weight @back from "back" : tensor<48x96xf32>
gemma.weight @outer from "outer" : tensor<2x10x48xf32>
gemma.weight @inner from "inner" : tensor<10x2x48xf32>
gemma.weight @kernel from "kernel" : tensor<144xf32>
gemma.weight @channels from "channels" : tensor<16xf32>
gemma.weight @taps from "taps" : tensor<240xf32>

func.func @vision(%h: tensor<?x48xf32>, %rope: tensor<?x8x2xf32>) -> tensor<?x48xf32> attributes {gemma.segment = "patches"} {
  %0 = gemma.vision_attention_block %h, %rope norm(@d) q(@sq) k(@sq) v(@sq) q_norm(@hd) k_norm(@hd) o(@sq) post(@d) bounds [@lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi] dim 16 eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8x2xf32>
  %1 = gemma.ffn_block %0 pre(@d) gate(@wide) up(@wide) down(@back) post(@d) bounds [@lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi, @lo, @hi] eps 1.0e-06 : tensor<?x48xf32>
  return %1 : tensor<?x48xf32>
}

func.func @sound(%frames: tensor<?x8xf32>, %h: tensor<?x48xf32>) -> tensor<?x96xf32> attributes {gemma.segment = "audio"} {
  %0 = gemma.subsample %frames, @kernel norm(@channels) bins 8 eps 1.0e-06 : tensor<?x8xf32> -> tensor<?x64xf32>
  %1 = gemma.conformer_ffn_block %h pre(@d) up(@wide) down(@back) post(@d) factor 0.5 eps 1.0e-06 : tensor<?x48xf32>
  %2 = gemma.conformer_attention_block %1 pre(@d) q(@sq) k(@sq) v(@sq) rel(@sq) scale(@hd) o(@sq) post(@d) dim 16 window 12 cap 50.0 eps 1.0e-06 : tensor<?x48xf32>
  %3 = gemma.conformer_conv_block %2 pre(@d) start(@wide) depthwise(@taps) norm(@d) end(@sq) eps 1.0e-06 : tensor<?x48xf32>
  %4 = gemma.project %3, @wide : tensor<?x48xf32> -> tensor<?x96xf32>
  %5 = gemma.project %3, @sq bias(@d) : tensor<?x48xf32> -> tensor<?x48xf32>
  return %4 : tensor<?x96xf32>
}
