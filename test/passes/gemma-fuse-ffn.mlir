// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-fuse-ffn | FileCheck %s
// Twice is once.
// RUN: gemma-opt %s --gemma-fuse-ffn -o %t.once
// RUN: gemma-opt %t.once --gemma-fuse-ffn | diff %t.once -

gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>

// CHECK-LABEL: func.func @ffn
// CHECK-NEXT: %[[Y:.+]] = gemma.ffn_block %arg0 pre(@norm) gate(@gate) up(@up) down(@down) post(@post) eps 1.0e-06 : tensor<?x48xf32>
// CHECK-NEXT: return %[[Y]]
func.func @ffn(%h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// The dense branch and the experts, in parallel on one residual.
// CHECK-LABEL: func.func @moe
// CHECK-NEXT: %[[Y:.+]] = gemma.moe_block %arg0 pre(@norm) gate(@gate) up(@up) down(@down) post_dense(@post) router(@router) router_scale(@norm) pre_experts(@norm) gate_up(@gate_up) experts_down(@experts_down) per_expert(@per_expert) post_experts(@post) post(@post) top 2 factor 0.144 eps 1.0e-06
// CHECK-NEXT: return %[[Y]]
func.func @moe(%h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %y1 = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h, @router, @norm top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %x3 = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %s = gemma.experts %x3, %w, %e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  %y2 = gemma.rms_norm %s weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %sum = gemma.add %y1, %y2 : tensor<?x48xf32>
  %n = gemma.rms_norm %sum weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// A per-layer branch is left to gemma-fuse-ple, without a remark.
// CHECK-LABEL: func.func @per_layer
// CHECK: gemma.geglu %{{[0-9]+}}, %arg1 : tensor<?x80xf32>
func.func @per_layer(%h: tensor<?x48xf32>, %ple: tensor<?x80xf32>) -> tensor<?x80xf32> {
  %g = gemma.linear %h, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %a = gemma.geglu %g, %ple : tensor<?x80xf32>
  return %a : tensor<?x80xf32>
}
