// RUN: gemma-opt %s --gemma-to-kernel --split-input-file --verify-diagnostics
// RUN: not gemma-opt %S/Inputs/experts.mlir --gemma-to-kernel=target=abacus 2>&1 | FileCheck %s
// CHECK: unknown target 'abacus'

// expected-error @+1 {{expects a function of a segment (run the stage optimize first), got step}}
func.func @step(%ids: tensor<?xi32> {gemma.arg = "ids"}) attributes {gemma.segment = "step"} {
  return
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32>
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  // expected-error @+1 {{expects weight @e with a format (gemma-choose-formats), got none}}
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{has no kernel: optimize should have fused it into a block}}
  %y = gemma.add %h, %h : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "mask"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}
// expected-error @-4 {{argument 0 ('mask') is no step array that kernels know}}

// -----

// Slots reach kernels in tiles alone.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
// expected-error @+1 {{argument 0 ('slot') is no step array that kernels know}}
func.func @body(%slot: tensor<?xi32> {gemma.arg = "slot"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %slot, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}

// -----

// Gate and up of different formats cannot be interleaved.
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @g from "g" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @u from "u" : tensor<96x64xf32> {act = "f32", format = "f32"}
gemma.weight @d from "d" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: @g is bf16 and @u is f32; they are stored as one matrix and must agree}}
  %y = gemma.ffn_block %h pre(@n) gate(@g) up(@u) down(@d) post(@n) eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A head size that no kernel has.
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<48xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @q from "q" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @k from "k" : tensor<48x64xf32> {act = "bf16", format = "bf16"}
gemma.cache @kv heads 1 dim 48 window 0 {format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x24x2xf32> {gemma.arg = "rope_global"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: cache @kv has 1 heads of size 48; the head size must be a multiple of 32}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@n) k(@k) k_norm(@hn) cache(@kv) pairs 24 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x24x2xf32>
  return %h : tensor<?x64xf32>
}

// -----

// A part of a row, which is looked up for per-layer inputs alone.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  // expected-error @+1 {{unsupported: `soft zero` and column ranges of an embedding}}
  %h = gemma.embed %ids, @e columns [0, 64] scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}

// -----

// A norm over parts of a row, which fusing puts into a block.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: a norm outside the fused blocks needs a weight and the size of its rows}}
  %y = gemma.rms_norm %h weight @hn size 32 eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: a column slice that is not the per-layer input of a ple_block}}
  %y = gemma.columns %h [0, 64] : tensor<?x64xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: a softcap of anything but logits that have no other user}}
  %y = gemma.softcap %h cap 30.0 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @t from "t" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @p from "p" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+2 {{unsupported: a second ple_inputs in one segment}}
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@hn) layers [0, 1] width 32 token_scale 5.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x32xf32>
  %z = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@hn) layers [1, 2] width 32 token_scale 5.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x32xf32>
  return %h : tensor<?x64xf32>
}

// -----

// Blocks of 32 columns cannot be cut.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @t from "t" : tensor<96x32xf32> {act = "q8", format = "q8_0"}
gemma.weight @p from "p" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @hn from "hn" : tensor<16xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{expects a width of a multiple of 32 with a table in q8_0, got 16}}
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@hn) layers [0, 1] width 16 token_scale 5.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x16xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @t from "t" : tensor<96x48xf32> {act = "q8", format = "q8_0"}
gemma.weight @p from "p" : tensor<48x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @hn from "hn" : tensor<16xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{expects a multiple of 32 columns of weight @t in format q8_0, got 48}}
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@hn) layers [0, 1] width 16 token_scale 5.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x16xf32>
  return %h : tensor<?x64xf32>
}

// -----

// Layer 1 begins in the midst of a group of rows.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @t from "t" : tensor<96x16xf32> {act = "bf16", format = "bf16"}
gemma.weight @p from "p" : tensor<16x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @hn from "hn" : tensor<8xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: rows [8, 16) of @p do not begin and end at multiples of 16}}
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@hn) layers [1, 2] width 8 token_scale 5.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x8xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @t from "t" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @p from "p" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @g from "g" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @o from "o" : tensor<64x32xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@hn) layers [0, 1] width 32 token_scale 5.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x32xf32>
  // expected-error @+1 {{unsupported: @g multiplies bf16 activations and @o f32; they must agree}}
  %z = gemma.ple_block %h, %y gate(@g) proj(@o) post(@n) eps 1.0e-06 : tensor<?x64xf32>, tensor<?x32xf32>
  return %z : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @g from "g" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @u from "u" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @d from "d" : tensor<64x96xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: @g multiplies bf16 activations and @d f32; they must agree}}
  %y = gemma.ffn_block %h pre(@n) gate(@g) up(@u) down(@d) post(@n) eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @g from "g" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @u from "u" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @d from "d" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @r from "r" : tensor<8x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @pe from "pe" : tensor<8xf32> {act = "f32", format = "f32"}
gemma.weight @gu from "gu" : tensor<8x64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @ed from "ed" : tensor<8x64x32xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{expects router @r in f32, got bf16}}
  %y = gemma.moe_block %h pre(@n) gate(@g) up(@u) down(@d) post_dense(@n) router(@r) router_scale(@n) pre_experts(@n) gate_up(@gu) experts_down(@ed) per_expert(@pe) post_experts(@n) post(@n) top 2 factor 0.125 eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @g from "g" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @u from "u" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @d from "d" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @r from "r" : tensor<128x64xf32> {act = "f32", format = "f32"}
gemma.weight @pe from "pe" : tensor<128xf32> {act = "f32", format = "f32"}
gemma.weight @gu from "gu" : tensor<128x64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @ed from "ed" : tensor<128x64x32xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: 65 of 128 experts; at most 64 of 1024 are}}
  %y = gemma.moe_block %h pre(@n) gate(@g) up(@u) down(@d) post_dense(@n) router(@r) router_scale(@n) pre_experts(@n) gate_up(@gu) experts_down(@ed) per_expert(@pe) post_experts(@n) post(@n) top 65 factor 0.125 eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @t from "t" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @p from "p" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: soft rows in per-layer inputs}}
  %y = gemma.ple_inputs %ids, %h soft(%h : tensor<?x64xf32>) table(@t) proj(@p) norm(@hn) layers [0, 1] width 32 token_scale 5.0 context_scale 1.0 scale 0.5 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x32xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @q from "q" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @o from "o" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.cache @kv heads 1 dim 32 window 0 {format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x16x2xf32> {gemma.arg = "rope_global"}, %end: tensor<?xi32> {gemma.arg = "end"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: blocks of images on a layer without a window; it is causal in every model}}
  %y = gemma.attention_block %h at (%slot, %pos), %rope end(%end : tensor<?xi32>) norm(@n) q(@q) q_norm(@hn) o(@o) post(@n) cache(@kv) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Positions are no ends of blocks.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @q from "q" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @o from "o" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.cache @kv heads 1 dim 32 window 8 {format = "bf16"}
// expected-error @+1 {{argument 2 ('pos') is no step array that kernels know}}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x16x2xf32> {gemma.arg = "rope_local"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  %y = gemma.attention_block %h at (%slot, %pos), %rope end(%pos : tensor<?xi32>) norm(@n) q(@q) q_norm(@hn) o(@o) post(@n) cache(@kv) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %soft: tensor<?x64xf32> {gemma.arg = "soft"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{expects the soft rows to be the argument 'soft'}}
  %y = gemma.embed %ids, @e soft row(%h : tensor<?x64xf32>) scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @top(%hidden: tensor<?x64xf32> {gemma.arg = "hidden"}, %mask: tensor<?x3xi32> {gemma.arg = "mask"}) -> (tensor<?x32xi32>, tensor<?x32xf32>) attributes {gemma.segment = "top"} {
  // expected-error @+1 {{expects count 64, got 32}}
  %i, %v = gemma.top %hidden, @e mask(%mask : tensor<?x3xi32>) count 32 : tensor<?x64xf32> -> tensor<?x32xi32>, tensor<?x32xf32>
  return %i, %v : tensor<?x32xi32>, tensor<?x32xf32>
}

// -----

// The runtime knows one array that body writes.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
// expected-error @+1 {{expects 1 results of segment body, got 2}}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> (tensor<?x64xf32>, tensor<?x64xf32>) attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  return %h, %h : tensor<?x64xf32>, tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @k from "k" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @v from "v" : tensor<32x64xf32> {act = "f32", format = "f32"}
gemma.cache @kv heads 1 dim 32 window 0 {format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x16x2xf32> {gemma.arg = "rope_global"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: @k is bf16 and @v is f32; they are stored as one matrix and must agree}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@n) k(@k) v(@v) k_norm(@hn) cache(@kv) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @k from "k" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @v from "v" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.cache @kv heads 1 dim 32 window 0
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x16x2xf32> {gemma.arg = "rope_global"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{expects cache @kv with a format (gemma-choose-formats)}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@n) k(@k) v(@v) k_norm(@hn) cache(@kv) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @g from "g" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @u from "u" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @d from "d" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @r from "r" : tensor<8x64xf32> {act = "f32", format = "f32"}
gemma.weight @pe from "pe" : tensor<8xf32> {act = "f32", format = "f32"}
gemma.weight @gu from "gu" : tensor<8x64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @ed from "ed" : tensor<8x64x32xf32> {act = "f32", format = "f32"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: @g multiplies bf16 activations and @ed f32; they must agree (--quant=bf16 or --quant=f32 makes the formats equal)}}
  %y = gemma.moe_block %h pre(@n) gate(@g) up(@u) down(@d) post_dense(@n) router(@r) router_scale(@n) pre_experts(@n) gate_up(@gu) experts_down(@ed) per_expert(@pe) post_experts(@n) post(@n) top 2 factor 0.125 eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A window that no kernel takes.
gemma.weight @n from "n" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @hn from "hn" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @q from "q" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @o from "o" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.cache @kv heads 1 dim 32 window 1125899906842624 {format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"}, %rope: tensor<?x16x2xf32> {gemma.arg = "rope_local"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: kernel attend expects constant window to be an i64 of 0 to 2147483647, got 1125899906842624}}
  %y = gemma.attention_block %h at (%slot, %pos), %rope norm(@n) q(@q) q_norm(@hn) o(@o) post(@n) cache(@kv) pairs 16 eps 1.0e-6 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Scores in a segment that gets no mask.
gemma.weight @e from "e" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}) -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h = gemma.embed %ids, @e scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{needs the step array 'mask', which this segment has not}}
  %i, %v = gemma.top %h, @e count 64 : tensor<?x64xf32> -> tensor<?x64xi32>, tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}

// -----

gemma.weight @hd from "hd" : tensor<16xf32> {act = "f32", format = "f32"}
func.func @image(%x: tensor<?x48xf32> {gemma.arg = "encoded"}) -> tensor<?x48xf32> attributes {gemma.segment = "image"} {
  // expected-error @+1 {{unsupported: a norm of groups of columns that is not part of a subsample}}
  %y = gemma.layer_norm %x weight @hd size 16 eps 1.0e-06 : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

gemma.weight @kernel from "kernel" : tensor<144xf32> {act = "f32", format = "f32"}
gemma.weight @norm from "norm" : tensor<16xf32> {act = "f32", format = "f32"}
gemma.weight @kernel2 from "kernel2" : tensor<2304xf32> {act = "f32", format = "f32"}
func.func @audio(%x: tensor<?x8xf32> {gemma.arg = "features"}) -> tensor<?x16xf32> attributes {gemma.segment = "audio"} {
  %0 = gemma.subsample %x, @kernel norm(@norm) bins 8 eps 1.0e-06 : tensor<?x8xf32> -> tensor<?x64xf32>
  %1 = gemma.subsample %0, @kernel2 norm(@norm) bins 4 eps 1.0e-06 : tensor<?x64xf32> -> tensor<?x32xf32>
  // expected-error @+1 {{unsupported: rows of 32 columns; expects 2 frames each}}
  %2 = gemma.subsample %1, @kernel2 norm(@norm) bins 2 eps 1.0e-06 : tensor<?x32xf32> -> tensor<?x16xf32>
  return %2 : tensor<?x16xf32>
}

// -----

gemma.weight @d from "d" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @lo from "lo" : tensor<1xf32> {act = "f32", format = "f32"}
gemma.weight @up from "up" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @down from "down" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
func.func @tail(%resid: tensor<?x64xf32> {gemma.arg = "resid"}, %want: tensor<?xi32> {gemma.arg = "want"}) -> tensor<?x64xf32> attributes {gemma.segment = "tail"} {
  %h = gemma.take %resid, %want : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  // expected-error @+1 {{unsupported: bounds in a step, and a layer's scalar beside them}}
  %y = gemma.ffn_block %h pre(@d) gate(@up) up(@up) down(@down) post(@d) bounds [@lo, @lo, @lo, @lo, @lo, @lo, @lo, @lo, @lo, @lo, @lo, @lo] eps 1.0e-06 : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
