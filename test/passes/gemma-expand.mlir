// Each fused op becomes what its documentation says.
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-expand --split-input-file | FileCheck %s
// Fusing undoes it.
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --split-input-file -o %t.fused
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --gemma-expand --gemma-fuse-attention --gemma-fuse-ffn --gemma-fuse-ple --gemma-fold-constants --split-input-file | diff %t.fused -

gemma.weight @norm from "norm" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @qn from "qn" : tensor<16xf32>
gemma.weight @kn from "kn" : tensor<16xf32>
gemma.cache @kv heads 2 dim 16 window 8

// CHECK-LABEL: func.func @kv_block
// CHECK-NEXT: %[[X:.+]] = gemma.rms_norm %arg0 weight @norm {{.*}}size 48
// CHECK-NEXT: %[[K0:.+]] = gemma.linear %[[X]], @k
// CHECK-NEXT: %[[V0:.+]] = gemma.linear %[[X]], @v
// CHECK-NEXT: %[[K1:.+]] = gemma.rms_norm %[[K0]] weight @kn {{.*}}size 16
// CHECK-NEXT: %[[K2:.+]] = gemma.rope %[[K1]], %arg3 dim 16 pairs 4
// CHECK-NEXT: %[[V1:.+]] = gemma.rms_norm %[[V0]] {{.*}}size 16
// CHECK-NEXT: gemma.append %[[K2]], %[[V1]] at(%arg1, %arg2) to @kv
// CHECK-NEXT: return
func.func @kv_block(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) v(@v) k_norm(@kn) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  return
}

// CHECK-LABEL: func.func @key_is_value
// CHECK: %[[K0:.+]] = gemma.linear %{{.+}}, @k
// CHECK-NEXT: gemma.rms_norm %[[K0]] weight @kn
// CHECK: gemma.rms_norm %[[K0]] size
func.func @key_is_value(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>) {
  gemma.kv_block %h at (%slot, %pos), %rope norm(@norm) k(@k) k_norm(@kn) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  return
}

// CHECK-LABEL: func.func @attention_block
// CHECK-NEXT: %[[X:.+]] = gemma.rms_norm %arg0 weight @norm {{.*}}size 48
// CHECK-NEXT: %[[Q0:.+]] = gemma.linear %[[X]], @q
// CHECK-NEXT: %[[Q1:.+]] = gemma.rms_norm %[[Q0]] weight @qn {{.*}}size 16
// CHECK-NEXT: %[[Q2:.+]] = gemma.rope %[[Q1]], %arg3 dim 16 pairs 4
// CHECK-NEXT: %[[A:.+]] = gemma.attention %[[Q2]] at(%arg1, %arg2) over @kv end(%arg4 : tensor<?xi32>)
// CHECK-NEXT: %[[O:.+]] = gemma.linear %[[A]], @o
// CHECK-NEXT: %[[N:.+]] = gemma.rms_norm %[[O]] weight @post {{.*}}size 48
// CHECK-NEXT: %[[Y:.+]] = gemma.add %arg0, %[[N]]
// CHECK-NEXT: return %[[Y]]
func.func @attention_block(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x4x2xf32>, %end: tensor<?xi32>) -> tensor<?x48xf32> {
  %y = gemma.attention_block %h at (%slot, %pos), %rope end(%end : tensor<?xi32>) norm(@norm) q(@q) q_norm(@qn) o(@o) post(@post) cache(@kv) pairs 4 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x4x2xf32>
  return %y : tensor<?x48xf32>
}

// -----

gemma.weight @pre from "pre" : tensor<48xf32>
gemma.weight @dense from "dense" : tensor<48xf32>
gemma.weight @pre_experts from "pre_experts" : tensor<48xf32>
gemma.weight @post_experts from "post_experts" : tensor<48xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @scalar from "scalar" : tensor<1xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @router_scale from "router_scale" : tensor<48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @gate_up from "gate_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>

// CHECK-LABEL: func.func @ffn_block
// CHECK-NEXT: %[[X:.+]] = gemma.rms_norm %arg0 weight @pre {{.*}}size 48
// CHECK-NEXT: %[[G:.+]] = gemma.linear %[[X]], @gate
// CHECK-NEXT: %[[U:.+]] = gemma.linear %[[X]], @up
// CHECK-NEXT: %[[A:.+]] = gemma.geglu %[[G]], %[[U]]
// CHECK-NEXT: %[[D:.+]] = gemma.linear %[[A]], @down
// CHECK-NEXT: %[[N:.+]] = gemma.rms_norm %[[D]] weight @post {{.*}}size 48
// CHECK-NEXT: %[[Y:.+]] = gemma.add %arg0, %[[N]]
// CHECK-NEXT: %[[Z:.+]] = gemma.scale %[[Y]] by @scalar
// CHECK-NEXT: return %[[Z]]
func.func @ffn_block(%h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.ffn_block %h pre(@pre) gate(@gate) up(@up) down(@down) post(@post) scale(@scalar) eps 1.0e-06 : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// CHECK-LABEL: func.func @moe_block
// CHECK-NEXT: %[[X:.+]] = gemma.rms_norm %arg0 weight @pre size
// CHECK-NEXT: %[[G:.+]] = gemma.linear %[[X]], @gate
// CHECK-NEXT: %[[U:.+]] = gemma.linear %[[X]], @up
// CHECK-NEXT: %[[A:.+]] = gemma.geglu %[[G]], %[[U]]
// CHECK-NEXT: %[[D:.+]] = gemma.linear %[[A]], @down
// CHECK-NEXT: %[[Y1:.+]] = gemma.rms_norm %[[D]] weight @dense
// CHECK-NEXT: %[[W:.+]], %[[E:.+]] = gemma.router %arg0, @router, @router_scale top 2 factor 0.144 eps 1.0e-06
// CHECK-NEXT: %[[X3:.+]] = gemma.rms_norm %arg0 weight @pre_experts
// CHECK-NEXT: %[[S:.+]] = gemma.experts %[[X3]], %[[W]], %[[E]] gate_up(@gate_up) down(@experts_down) per_expert(@per_expert)
// CHECK-NEXT: %[[Y2:.+]] = gemma.rms_norm %[[S]] weight @post_experts
// CHECK-NEXT: %[[SUM:.+]] = gemma.add %[[Y1]], %[[Y2]]
// CHECK-NEXT: %[[N:.+]] = gemma.rms_norm %[[SUM]] weight @post size
// CHECK-NEXT: %[[Y:.+]] = gemma.add %arg0, %[[N]]
// CHECK-NEXT: return %[[Y]]
func.func @moe_block(%h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = gemma.moe_block %h pre(@pre) gate(@gate) up(@up) down(@down) post_dense(@dense) router(@router) router_scale(@router_scale) pre_experts(@pre_experts) gate_up(@gate_up) experts_down(@experts_down) per_expert(@per_expert) post_experts(@post_experts) post(@post) top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

gemma.weight @table from "table" : tensor<90x24xf32>
gemma.weight @proj from "proj" : tensor<24x48xf32>
gemma.weight @pnorm from "pnorm" : tensor<8xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
gemma.weight @post from "post" : tensor<48xf32>
gemma.weight @scalar from "scalar" : tensor<1xf32>

// CHECK-LABEL: func.func @ple_inputs
// CHECK-NEXT: %[[T:.+]] = gemma.embed %arg0, @table soft zero columns [8, 24] scale 3.0
// CHECK-NEXT: %[[C0:.+]] = gemma.linear %arg1, @proj rows [8, 24]
// CHECK-NEXT: %[[C1:.+]] = gemma.scale %[[C0]] times 1.0
// CHECK-NEXT: %[[C:.+]] = gemma.rms_norm %[[C1]] weight @pnorm {{.*}}size 8
// CHECK-NEXT: %[[S:.+]] = gemma.add %[[C]], %[[T]]
// CHECK-NEXT: %[[Y:.+]] = gemma.scale %[[S]] times 0.75
// CHECK-NEXT: return %[[Y]]
func.func @ple_inputs(%ids: tensor<?xi32>, %h: tensor<?x48xf32>) -> tensor<?x16xf32> {
  %y = gemma.ple_inputs %ids, %h table(@table) proj(@proj) norm(@pnorm) layers [1, 3] width 8 token_scale 3.0 context_scale 1.0 scale 0.75 eps 1.0e-06 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// CHECK-LABEL: func.func @ple_block
// CHECK-NEXT: %[[G:.+]] = gemma.linear %arg0, @plg
// CHECK-NEXT: %[[A:.+]] = gemma.geglu %[[G]], %arg1
// CHECK-NEXT: %[[O:.+]] = gemma.linear %[[A]], @plp
// CHECK-NEXT: %[[N:.+]] = gemma.rms_norm %[[O]] weight @post
// CHECK-NEXT: %[[Y:.+]] = gemma.add %arg0, %[[N]]
// CHECK-NEXT: %[[Z:.+]] = gemma.scale %[[Y]] by @scalar
// CHECK-NEXT: return %[[Z]]
func.func @ple_block(%h: tensor<?x48xf32>, %ple: tensor<?x8xf32>) -> tensor<?x48xf32> {
  %y = gemma.ple_block %h, %ple gate(@plg) proj(@plp) post(@post) scale(@scalar) eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8xf32>
  return %y : tensor<?x48xf32>
}
