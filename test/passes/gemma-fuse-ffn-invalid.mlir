// Groups that stay, each with the reason.
// RUN: gemma-opt %s --gemma-fuse-ffn --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-NOT: {{ffn_block|moe_block}}

// The gated product is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> (tensor<?x80xf32>, tensor<?x48xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the gated product has 2 users}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %a, %y : tensor<?x80xf32>, tensor<?x48xf32>
}

// -----

// The gate is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> (tensor<?x80xf32>, tensor<?x48xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the gate has 2 users}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %g, %y : tensor<?x80xf32>, tensor<?x48xf32>
}

// -----

// The pre-norm is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> (tensor<?x48xf32>, tensor<?x48xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the pre-norm has 3 users}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %x, %y : tensor<?x48xf32>, tensor<?x48xf32>
}

// -----

// Gate and up of different inputs.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %h, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the input of up to be the input of gate}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// Another residual.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the residual to be the input of the pre-norm}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h2, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// Norms of different eps.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: eps of the post-norm is 0.5, expects 1e-06}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 0.5 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// A post-norm without a weight.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the post-norm to have a weight}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// A gate of some rows.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @wide from "wide" : tensor<160x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @wide rows [0, 80] : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the gate to use all rows of wide}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// No projection at all.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: expects the gate from gemma.linear, got an argument}}
  %a = gemma.geglu %h, %h : tensor<?x48xf32>
  %d = gemma.linear %g, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// A router that reads something else.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the experts beside it are not fused}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %y1 = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h2, @router, @norm top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %x3 = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.experts not fused: expects the router's input to be the input of the experts' pre-norm}}
  %s = gemma.experts %x3, %w, %e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  %y2 = gemma.rms_norm %s weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %sum = gemma.add %y1, %y2 : tensor<?x48xf32>
  %n = gemma.rms_norm %sum weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// A router of another eps.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the experts beside it are not fused}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %y1 = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h, @router, @norm top 2 factor 0.144 eps 0.001 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %x3 = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.experts not fused: eps of the router is 0.001, expects 1e-06}}
  %s = gemma.experts %x3, %w, %e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  %y2 = gemma.rms_norm %s weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %sum = gemma.add %y1, %y2 : tensor<?x48xf32>
  %n = gemma.rms_norm %sum weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// The choice of experts is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> (tensor<?x2xi32>, tensor<?x48xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the experts beside it are not fused}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %y1 = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h, @router, @norm top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %x3 = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.experts not fused: the router's ids has 2 users}}
  %s = gemma.experts %x3, %w, %e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  %y2 = gemma.rms_norm %s weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %sum = gemma.add %y1, %y2 : tensor<?x48xf32>
  %n = gemma.rms_norm %sum weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %e, %y : tensor<?x2xi32>, tensor<?x48xf32>
}

// -----

// A dense branch of another input.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h2 weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the experts beside it are not fused}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %y1 = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h, @router, @norm top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %x3 = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.experts not fused: expects the input of the dense branch to be the input of the experts' pre-norm}}
  %s = gemma.experts %x3, %w, %e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  %y2 = gemma.rms_norm %s weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %sum = gemma.add %y1, %y2 : tensor<?x48xf32>
  %n = gemma.rms_norm %sum weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// Another residual.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the experts beside it are not fused}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %y1 = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h, @router, @norm top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %x3 = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.experts not fused: expects the residual to be the input of the norms}}
  %s = gemma.experts %x3, %w, %e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  %y2 = gemma.rms_norm %s weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %sum = gemma.add %y1, %y2 : tensor<?x48xf32>
  %n = gemma.rms_norm %sum weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h2, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// Experts without a dense branch.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
func.func @f(%h: tensor<?x48xf32>, %h2: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %g = gemma.linear %x, @gate : tensor<?x48xf32> -> tensor<?x80xf32>
  %u = gemma.linear %x, @up : tensor<?x48xf32> -> tensor<?x80xf32>
  // expected-remark @below {{gemma.geglu not fused: the post-norm has 0 users}}
  %a = gemma.geglu %g, %u : tensor<?x80xf32>
  %d = gemma.linear %a, @down : tensor<?x80xf32> -> tensor<?x48xf32>
  %y1 = gemma.rms_norm %d weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h, @router, @norm top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %x3 = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  // expected-remark @below {{gemma.experts not fused: expects the sum with the experts from gemma.rms_norm, got an argument}}
  %s = gemma.experts %x3, %w, %e gate_up(@gate_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  %y2 = gemma.rms_norm %s weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %sum = gemma.add %h2, %y2 : tensor<?x48xf32>
  %n = gemma.rms_norm %sum weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}
