// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-fold-constants | FileCheck %s
// Twice is once.
// RUN: gemma-opt %s --gemma-fold-constants -o %t.once
// RUN: gemma-opt %t.once --gemma-fold-constants | diff %t.once -

gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @scalar from "scalar" : tensor<1xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>

// The layer's scalar joins the block before it.
// CHECK-LABEL: func.func @scalar_ffn
// CHECK-NEXT: %[[Y:.+]] = gemma.ffn_block %arg0 pre(@norm) gate(@gate) up(@up) down(@down) post(@post) scale(@scalar)
// CHECK-NEXT: return %[[Y]]
func.func @scalar_ffn(%h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.ffn_block %h pre(@norm) gate(@gate) up(@up) down(@down) post(@post) eps 1.0e-06 : tensor<?x48xf32>
  %z = gemma.scale %y by @scalar : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// CHECK-LABEL: func.func @scalar_moe
// CHECK-NEXT: gemma.moe_block {{.*}} post(@post) scale(@scalar)
// CHECK-NEXT: return
func.func @scalar_moe(%h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.moe_block %h pre(@norm) gate(@gate) up(@up) down(@down) post_dense(@norm) router(@router) router_scale(@norm) pre_experts(@norm) gate_up(@gate_up) experts_down(@experts_down) per_expert(@per_expert) post_experts(@norm) post(@post) top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  %z = gemma.scale %y by @scalar : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// CHECK-LABEL: func.func @scalar_ple
// CHECK-NEXT: gemma.ple_block {{.*}} post(@post) scale(@scalar)
// CHECK-NEXT: return
func.func @scalar_ple(%h: tensor<?x48xf32>, %ple: tensor<?x8xf32>) -> tensor<?x48xf32> {
  %y = gemma.ple_block %h, %ple gate(@plg) proj(@plp) post(@post) eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8xf32>
  %z = gemma.scale %y by @scalar : tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// rms(x / 2; 1) = rms(x; 4), through any number of factors; the other user
// keeps its own.
// CHECK-LABEL: func.func @into_eps
// CHECK-NEXT: %[[A:.+]] = gemma.scale %arg0 times 0.5
// CHECK-NEXT: %[[N:.+]] = gemma.rms_norm %arg0 weight @norm size 48 eps 16.0
// CHECK-NEXT: return %[[A]], %[[N]]
func.func @into_eps(%h: tensor<?x48xf32>) -> (tensor<?x48xf32>, tensor<?x48xf32>) {
  %a = gemma.scale %h times 0.5 : tensor<?x48xf32>
  %b = gemma.scale %a times 0.5 : tensor<?x48xf32>
  %n = gemma.rms_norm %b weight @norm size 48 eps 1.0 : tensor<?x48xf32>
  return %a, %n : tensor<?x48xf32>, tensor<?x48xf32>
}

// A negative factor turns the sign: not folded. Nor is one whose eps would be
// infinite, nor a factor in front of a matrix.
// CHECK-LABEL: func.func @stays
// CHECK-NEXT: gemma.scale %arg0 times -0.5
// CHECK-NEXT: gemma.rms_norm %{{.+}} size 48 eps 1.0
// CHECK-NEXT: gemma.scale %arg0 times {{.+}}e-200
// CHECK-NEXT: gemma.rms_norm %{{.+}} size 48 eps 1.0
// CHECK-NEXT: gemma.scale %arg0 times 3.0
// CHECK-NEXT: gemma.linear
func.func @stays(%h: tensor<?x48xf32>) -> (tensor<?x48xf32>, tensor<?x48xf32>, tensor<?x80xf32>) {
  %a = gemma.scale %h times -0.5 : tensor<?x48xf32>
  %n = gemma.rms_norm %a size 48 eps 1.0 : tensor<?x48xf32>
  %b = gemma.scale %h times 1.0e-200 : tensor<?x48xf32>
  %m = gemma.rms_norm %b size 48 eps 1.0 : tensor<?x48xf32>
  %c = gemma.scale %h times 3.0 : tensor<?x48xf32>
  %l = gemma.linear %c, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  return %n, %m, %l : tensor<?x48xf32>, tensor<?x48xf32>, tensor<?x80xf32>
}

// The same inside ple_inputs.
// CHECK-LABEL: func.func @context_scale
// CHECK-NEXT: gemma.ple_inputs {{.*}}context_scale 1.0 scale 0.75 eps 16.0
func.func @context_scale(%ids: tensor<?xi32>, %h: tensor<?x48xf32>) -> tensor<?x24xf32> {
  %y = gemma.ple_inputs %ids, %h table(@table) proj(@proj) norm(@pnorm) layers [0, 3] width 8 token_scale 3.0 context_scale 0.25 scale 0.75 eps 1.0 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// Factors in a row become one, a product of 1 goes.
// CHECK-LABEL: func.func @factors
// CHECK-NEXT: %[[A:.+]] = gemma.scale %arg0 times 6.0
// CHECK-NEXT: return %[[A]], %arg0
func.func @factors(%h: tensor<?x48xf32>) -> (tensor<?x48xf32>, tensor<?x48xf32>) {
  %a = gemma.scale %h times 2.0 : tensor<?x48xf32>
  %b = gemma.scale %a times 3.0 : tensor<?x48xf32>
  %c = gemma.scale %h times 2.0 : tensor<?x48xf32>
  %d = gemma.scale %c times 0.5 : tensor<?x48xf32>
  return %b, %d : tensor<?x48xf32>, tensor<?x48xf32>
}
