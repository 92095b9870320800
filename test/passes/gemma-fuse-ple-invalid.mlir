// Groups that stay, each with the reason.
// RUN: gemma-opt %s --gemma-fuse-ple --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-NOT: {{ple_inputs|ple_block}}

// The context is used elsewhere.
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> (tensor<?x24xf32>, tensor<?x24xf32>) {
  %tok = gemma.embed %ids, @table soft zero scale 3.0 : tensor<?xi32> -> tensor<?x24xf32>
  %c0 = gemma.linear %h, @proj : tensor<?x48xf32> -> tensor<?x24xf32>
  %c1 = gemma.scale %c0 times 0.5 : tensor<?x24xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x24xf32>
  // expected-remark @below {{gemma.add not fused: the context norm has 2 users}}
  %s = gemma.add %ctx, %tok : tensor<?x24xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x24xf32>
  return %ctx, %y : tensor<?x24xf32>, tensor<?x24xf32>
}

// -----

// The token part is used elsewhere.
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> (tensor<?x24xf32>, tensor<?x24xf32>) {
  %tok = gemma.embed %ids, @table soft zero scale 3.0 : tensor<?xi32> -> tensor<?x24xf32>
  %c0 = gemma.linear %h, @proj : tensor<?x48xf32> -> tensor<?x24xf32>
  %c1 = gemma.scale %c0 times 0.5 : tensor<?x24xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x24xf32>
  // expected-remark @below {{gemma.add not fused: the token part has 2 users}}
  %s = gemma.add %ctx, %tok : tensor<?x24xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x24xf32>
  return %tok, %y : tensor<?x24xf32>, tensor<?x24xf32>
}

// -----

// Soft rows of their own.
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>, %soft: tensor<?x24xf32>) -> tensor<?x24xf32> {
  %tok = gemma.embed %ids, @table soft row(%soft : tensor<?x24xf32>) scale 3.0 : tensor<?xi32> -> tensor<?x24xf32>
  %c0 = gemma.linear %h, @proj : tensor<?x48xf32> -> tensor<?x24xf32>
  %c1 = gemma.scale %c0 times 0.5 : tensor<?x24xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x24xf32>
  // expected-remark @below {{gemma.add not fused: expects soft zero of the token part, got soft row}}
  %s = gemma.add %ctx, %tok : tensor<?x24xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// -----

// A negative factor cannot go through a norm.
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> tensor<?x24xf32> {
  %tok = gemma.embed %ids, @table soft zero scale 3.0 : tensor<?xi32> -> tensor<?x24xf32>
  %c0 = gemma.linear %h, @proj : tensor<?x48xf32> -> tensor<?x24xf32>
  %c1 = gemma.scale %c0 times -0.5 : tensor<?x24xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x24xf32>
  // expected-remark @below {{gemma.add not fused: expects a positive factor of the context, got -0.5}}
  %s = gemma.add %ctx, %tok : tensor<?x24xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// -----

// Columns that are no layers.
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> tensor<?x16xf32> {
  %tok = gemma.embed %ids, @table soft zero columns [4, 20] scale 3.0 : tensor<?xi32> -> tensor<?x16xf32>
  %c0 = gemma.linear %h, @proj rows [4, 20] : tensor<?x48xf32> -> tensor<?x16xf32>
  %c1 = gemma.scale %c0 times 0.5 : tensor<?x16xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x16xf32>
  // expected-remark @below {{gemma.add not fused: rows of the projection [4, 20) are not slices of 8}}
  %s = gemma.add %ctx, %tok : tensor<?x16xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// Table and projection of different layers.
gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> tensor<?x16xf32> {
  %tok = gemma.embed %ids, @table soft zero columns [0, 16] scale 3.0 : tensor<?xi32> -> tensor<?x16xf32>
  %c0 = gemma.linear %h, @proj rows [8, 24] : tensor<?x48xf32> -> tensor<?x16xf32>
  %c1 = gemma.scale %c0 times 0.5 : tensor<?x16xf32>
  %ctx = gemma.rms_norm %c1 weight @pnorm size 8 eps 1.0e-06 : tensor<?x16xf32>
  // expected-remark @below {{gemma.add not fused: expects table and projection of the same layers}}
  %s = gemma.add %ctx, %tok : tensor<?x16xf32>
  %y = gemma.scale %s times 0.75 : tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// The projection is the other operand: gelu is not symmetric.
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> tensor<?x48xf32> {
  %g = gemma.linear %h, @plg : tensor<?x48xf32> -> tensor<?x8xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the per-layer gate from gemma.linear, got an argument}}
  %a = gemma.geglu %ple, %g : tensor<?x8xf32>
  %o = gemma.linear %a, @plp : tensor<?x8xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// The gated input is used elsewhere.
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x48xf32>) {
  %g = gemma.linear %h, @plg : tensor<?x48xf32> -> tensor<?x8xf32>
  // expected-remark @below {{gemma.geglu not fused: the gated input has 2 users}}
  %a = gemma.geglu %g, %ple : tensor<?x8xf32>
  %o = gemma.linear %a, @plp : tensor<?x8xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %a, %y : tensor<?x8xf32>, tensor<?x48xf32>
}

// -----

// Another residual.
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %g = gemma.linear %h, @plg : tensor<?x48xf32> -> tensor<?x8xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the residual to be the input of the gate}}
  %a = gemma.geglu %g, %ple : tensor<?x8xf32>
  %o = gemma.linear %a, @plp : tensor<?x8xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h2, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// No sum.
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>, %ple: tensor<?x8xf32>) -> tensor<?x48xf32> {
  %g = gemma.linear %h, @plg : tensor<?x48xf32> -> tensor<?x8xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the post-norm to go to gemma.add, got func.return}}
  %a = gemma.geglu %g, %ple : tensor<?x8xf32>
  %o = gemma.linear %a, @plp : tensor<?x8xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  return %n : tensor<?x48xf32>
}
