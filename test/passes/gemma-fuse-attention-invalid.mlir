// Groups that stay, each with the reason.
// RUN: gemma-opt %s --gemma-fuse-attention --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-NOT: {{kv_block|attention_block}}

// The key is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x32xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: the key has 2 users}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return %k2 : tensor<?x32xf32>
}

// -----

// The projection of the value is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x32xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: the value has 2 users}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return %v0 : tensor<?x32xf32>
}

// -----

// The key is not rotated.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: expects the key from gemma.rope, got gemma.rms_norm}}
  gemma.append %k1, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// The key is an argument.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>, %arg: tensor<?x32xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: expects the key from gemma.rope, got an argument}}
  gemma.append %arg, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// Another eps, named by the value.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-05 : tensor<?x32xf32> loc("layers.0.k")
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: eps of the key is 1e-05, expects 1e-06}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// A norm of another size.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 32 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: the value norms groups of 32, expects 16}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// A value norm with a weight.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: expects the value to have no weight}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// A key norm without one.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: expects the key to have a weight}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// Key and value of different inputs.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %h, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: expects the input of the value to be the input of the key}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// No pre-norm.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %h, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %h, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: expects the input of the projections from gemma.rms_norm, got an argument}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// A projection of some rows.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @q rows [0, 32] : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: expects the key to use all rows of q}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// The rotation has other heads than the cache.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 8 pairs 4 : tensor<?x32xf32>, tensor<?x4x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // expected-remark @below {{gemma.append not fused: the key is rotated in heads of 8, the cache has 16}}
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

// The query is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn from "qn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> (tensor<?x64xf32>, tensor<?x48xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 4 : tensor<?x64xf32>, tensor<?x4x2xf32>
  // expected-remark @below {{gemma.attention not fused: the query has 2 users}}
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %q2, %y : tensor<?x64xf32>, tensor<?x48xf32>
}

// -----

// The attention is used elsewhere.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn from "qn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> (tensor<?x64xf32>, tensor<?x48xf32>) {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 4 : tensor<?x64xf32>, tensor<?x4x2xf32>
  // expected-remark @below {{gemma.attention not fused: the attention has 2 users}}
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %a, %y : tensor<?x64xf32>, tensor<?x48xf32>
}

// -----

// Another residual.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn from "qn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 4 : tensor<?x64xf32>, tensor<?x4x2xf32>
  // expected-remark @below {{gemma.attention not fused: expects the residual to be the input of the pre-norm}}
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %x, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// No post-norm.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn from "qn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 4 : tensor<?x64xf32>, tensor<?x4x2xf32>
  // expected-remark @below {{gemma.attention not fused: expects the output projection to go to gemma.rms_norm, got gemma.add}}
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %y = gemma.add %h, %o : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// A post-norm of another eps.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn from "qn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 4 : tensor<?x64xf32>, tensor<?x4x2xf32>
  // expected-remark @below {{gemma.attention not fused: eps of the post-norm is 2e-06, expects 1e-06}}
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 2.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// Query heads of another size.
gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn8 from "qn8" : tensor<8xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn8 size 8 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 4 : tensor<?x64xf32>, tensor<?x4x2xf32>
  // expected-remark @below {{gemma.attention not fused: the query norms groups of 8, expects 16}}
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}
