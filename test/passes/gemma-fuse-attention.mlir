// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-fuse-attention | FileCheck %s
// Twice is once.
// RUN: gemma-opt %s --gemma-fuse-attention -o %t.once
// RUN: gemma-opt %t.once --gemma-fuse-attention | diff %t.once -

gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn from "qn" : tensor<16xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8

// A layer with its own keys and values: the pre-norm goes into both blocks.
// CHECK-LABEL: func.func @owner
// CHECK-SAME: (%[[H:.+]]: tensor<?x48xf32>, %[[SLOT:.+]]: tensor<?xi32>, %[[POS:.+]]: tensor<?xi32>, %[[ROPE:.+]]: tensor<?x6x2xf32>)
// CHECK-NEXT: gemma.kv_block %[[H]] at(%[[SLOT]], %[[POS]]), %[[ROPE]] norm(@norm) k(@k) v(@v) k_norm(@kn) cache(@kv) pairs 6 eps 1.0e-06
// CHECK-NEXT: %[[Y:.+]] = gemma.attention_block %[[H]] at(%[[SLOT]], %[[POS]]), %[[ROPE]] norm(@norm) q(@q) q_norm(@qn) o(@o) post(@post) cache(@kv) pairs 6 eps 1.0e-06
// CHECK-NEXT: return %[[Y]]
func.func @owner(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x6x2xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v0 = gemma.linear %x, @v : tensor<?x48xf32> -> tensor<?x32xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 6 : tensor<?x32xf32>, tensor<?x6x2xf32>
  %v1 = gemma.rms_norm %v0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 6 : tensor<?x64xf32>, tensor<?x6x2xf32>
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// K = V: one projection with two users, no v. The order of independent ops and
// of the sum's operands does not matter.
// CHECK-LABEL: func.func @key_is_value
// CHECK-NEXT: gemma.kv_block %arg0 at(%arg1, %arg2), %arg3 norm(@norm) k(@k) k_norm(@kn) cache(@kv)
// CHECK-NEXT: %[[Y:.+]] = gemma.attention_block %arg0
// CHECK-NEXT: return %[[Y]]
func.func @key_is_value(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x6x2xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %k0 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  %v1 = gemma.rms_norm %k0 size 16 eps 1.0e-06 : tensor<?x32xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 6 : tensor<?x64xf32>, tensor<?x6x2xf32>
  %k1 = gemma.rms_norm %k0 weight @kn size 16 eps 1.0e-06 : tensor<?x32xf32>
  %k2 = gemma.rope %k1, %rope dim 16 pairs 6 : tensor<?x32xf32>, tensor<?x6x2xf32>
  gemma.append %k2, %v1 at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %n, %h : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// A layer that reads a donor's cache, with visible ends: attention_block only.
// CHECK-LABEL: func.func @shared
// CHECK-NEXT: %[[Y:.+]] = gemma.attention_block %arg0 at(%arg1, %arg2), %arg3 end(%arg4 : tensor<?xi32>) norm(@norm) q(@q) q_norm(@qn) o(@o) post(@post) cache(@kv)
// CHECK-NEXT: return %[[Y]]
func.func @shared(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x6x2xf32>, %end: tensor<?xi32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 6 : tensor<?x64xf32>, tensor<?x6x2xf32>
  %a = gemma.attention %q2 at (%slot, %pos) over @kv end(%end : tensor<?xi32>) : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// The cache is read where attention stood: not moved over a later write.
// CHECK-LABEL: func.func @place
// CHECK-NEXT: gemma.attention_block
// CHECK-NEXT: gemma.append
// CHECK-NEXT: return
func.func @place(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x6x2xf32>, %k: tensor<?x32xf32>) -> tensor<?x48xf32> {
  %x = gemma.rms_norm %h weight @norm size 48 eps 1.0e-06 : tensor<?x48xf32>
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  %q1 = gemma.rms_norm %q0 weight @qn size 16 eps 1.0e-06 : tensor<?x64xf32>
  %q2 = gemma.rope %q1, %rope dim 16 pairs 6 : tensor<?x64xf32>, tensor<?x6x2xf32>
  %a = gemma.attention %q2 at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  gemma.append %k, %k at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  %o = gemma.linear %a, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  %n = gemma.rms_norm %o weight @post size 48 eps 1.0e-06 : tensor<?x48xf32>
  %y = gemma.add %h, %n : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}
