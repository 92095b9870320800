// Every op of the dialect survives printing and parsing, in one line.
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %s --verify-roundtrip | FileCheck %s

// CHECK: gemma.weight @embed from "embed_tokens.weight" : tensor<100x48xf32> {act = "bf16", format = "bf16", source = "f16"}
gemma.weight @embed from "embed_tokens.weight" : tensor<100x48xf32> {act = "bf16", format = "bf16", source = "f16"}
gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @one from "one" : tensor<1xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.weight @v from "v" : tensor<32x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @up from "up" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @ple_table from "table" : tensor<90x24xf32>
gemma.weight @ple_proj from "proj" : tensor<24x48xf32>
gemma.weight @ple_norm from "ple_norm" : tensor<8xf32>
gemma.weight @plg from "plg" : tensor<8x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
gemma.weight @router from "router" : tensor<6x48xf32>
gemma.weight @per_expert from "per_expert" : tensor<6xf32>
gemma.weight @experts_up from "experts_up" : tensor<6x40x48xf32>
gemma.weight @experts_down from "experts_down" : tensor<6x48x20xf32>
// CHECK: gemma.cache @kv heads 2 dim 16 window 512
gemma.cache @kv heads 2 dim 16 window 512
// CHECK: gemma.cache @kv_global heads 2 dim 16 window 0 {format = "f32"}
gemma.cache @kv_global heads 2 dim 16 window 0 {format = "f32"}

// CHECK-LABEL: func.func @primitives
// CHECK-SAME: gemma.arg = "ids"
// CHECK-SAME: gemma.segment = "step"
func.func @primitives(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x5x2xf32>, %soft: tensor<?x48xf32>, %mask: tensor<?x4xi32>) -> tensor<?x48xf32> attributes {gemma.segment = "step"} {
  // CHECK-NEXT: gemma.embed %{{.+}}, @embed scale 7.0 :
  %h = gemma.embed %ids, @embed scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  // CHECK-NEXT: gemma.embed %{{.+}}, @embed soft row(%{{.+}} : tensor<?x48xf32>) scale 7.0
  %hs = gemma.embed %ids, @embed soft row(%soft : tensor<?x48xf32>) scale 7.0 : tensor<?xi32> -> tensor<?x48xf32>
  // CHECK-NEXT: gemma.embed %{{.+}}, @ple_table soft zero columns [8, 24] scale 4.0
  %tok = gemma.embed %ids, @ple_table soft zero columns [8, 24] scale 4.0 : tensor<?xi32> -> tensor<?x16xf32>
  // CHECK-NEXT: gemma.rms_norm %{{.+}} weight @d size 48 eps 1.0e-06
  %x = gemma.rms_norm %h weight @d size 48 eps 1.0e-06 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.linear %{{.+}}, @q :
  %q0 = gemma.linear %x, @q : tensor<?x48xf32> -> tensor<?x64xf32>
  // CHECK-NEXT: gemma.linear %{{.+}}, @k rows [0, 16]
  %k0 = gemma.linear %x, @k rows [0, 16] : tensor<?x48xf32> -> tensor<?x16xf32>
  %k1 = gemma.linear %x, @k : tensor<?x48xf32> -> tensor<?x32xf32>
  // CHECK: gemma.rms_norm %{{.+}} size 16 eps {{.+}}
  %v = gemma.rms_norm %k1 size 16 eps 1.0e-06 : tensor<?x32xf32>
  // CHECK-NEXT: gemma.rope %{{.+}}, %{{.+}} dim 16 pairs 5
  %q = gemma.rope %q0, %rope dim 16 pairs 5 : tensor<?x64xf32>, tensor<?x5x2xf32>
  // CHECK-NEXT: gemma.append %{{.+}}, %{{.+}} at(%{{.+}}, %{{.+}}) to @kv
  gemma.append %k1, %v at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  // CHECK-NEXT: gemma.attention %{{.+}} at(%{{.+}}, %{{.+}}) over @kv :
  %a = gemma.attention %q at (%slot, %pos) over @kv : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  // CHECK-NEXT: gemma.attention %{{.+}} over @kv end(%{{.+}} : tensor<?xi32>)
  %ae = gemma.attention %q at (%slot, %pos) over @kv end(%pos : tensor<?xi32>) : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  // CHECK-NEXT: gemma.geglu
  %g = gemma.geglu %a, %ae : tensor<?x64xf32>
  // CHECK-NEXT: gemma.linear
  %o = gemma.linear %g, @o : tensor<?x64xf32> -> tensor<?x48xf32>
  // CHECK-NEXT: gemma.add
  %s = gemma.add %h, %o : tensor<?x48xf32>
  // CHECK-NEXT: gemma.scale %{{.+}} by @one :
  %s1 = gemma.scale %s by @one : tensor<?x48xf32>
  // CHECK-NEXT: gemma.scale %{{.+}} times 0.5
  %s2 = gemma.scale %s1 times 0.5 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.columns %{{.+}} [8, 16]
  %c = gemma.columns %s2 [8, 16] : tensor<?x48xf32> -> tensor<?x8xf32>
  // CHECK-NEXT: gemma.take
  %t = gemma.take %s2, %ids : tensor<?x48xf32>, tensor<?xi32> -> tensor<?x48xf32>
  // CHECK-NEXT: gemma.router %{{.+}}, @router, @d top 2 factor {{.+}} eps {{.+}}
  %w, %e = gemma.router %t, @router, @d top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  // CHECK-NEXT: gemma.experts %{{.+}}, %{{.+}}, %{{.+}} gate_up(@experts_up) down(@experts_down) per_expert(@per_expert)
  %y = gemma.experts %x, %w, %e gate_up(@experts_up) down(@experts_down) per_expert(@per_expert) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  // CHECK-NEXT: gemma.logits
  %l = gemma.logits %y, @embed : tensor<?x48xf32> -> tensor<?x100xf32>
  // CHECK-NEXT: gemma.softcap %{{.+}} cap 30.0
  %l2 = gemma.softcap %l cap 30.0 : tensor<?x100xf32>
  // CHECK-NEXT: gemma.top %{{.+}}, @embed mask(%{{.+}} : tensor<?x4xi32>) cap 30.0 count 64
  %ti, %tv = gemma.top %y, @embed mask(%mask : tensor<?x4xi32>) cap 30.0 count 64 : tensor<?x48xf32> -> tensor<?x64xi32>, tensor<?x64xf32>
  return %y : tensor<?x48xf32>
}

// CHECK-LABEL: func.func @fused
func.func @fused(%ids: tensor<?xi32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x8x2xf32>, %h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  // CHECK-NEXT: gemma.ple_inputs %{{.+}}, %{{.+}} table(@ple_table) proj(@ple_proj) norm(@ple_norm) layers [1, 3]
  %ple = gemma.ple_inputs %ids, %h table(@ple_table) proj(@ple_proj) norm(@ple_norm) layers [1, 3] width 8 token_scale 3.0 context_scale 0.5 scale 0.75 eps 1.0e-06 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x16xf32>
  // CHECK-NEXT: gemma.kv_block %{{.+}} at(%{{.+}}, %{{.+}}), %{{.+}} norm(@d) k(@k) v(@v) k_norm(@hd) cache(@kv)
  gemma.kv_block %h at (%slot, %pos), %rope norm(@d) k(@k) v(@v) k_norm(@hd) cache(@kv) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  // CHECK-NEXT: gemma.kv_block %{{.+}} norm(@d) k(@k) k_norm(@hd) cache(@kv_global)
  gemma.kv_block %h at (%slot, %pos), %rope norm(@d) k(@k) k_norm(@hd) cache(@kv_global) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  // CHECK-NEXT: gemma.attention_block %{{.+}} norm(@d) q(@q) q_norm(@hd) o(@o) post(@d) cache(@kv)
  %h1 = gemma.attention_block %h at (%slot, %pos), %rope norm(@d) q(@q) q_norm(@hd) o(@o) post(@d) cache(@kv) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  // CHECK-NEXT: gemma.ffn_block %{{.+}} pre(@d) gate(@gate) up(@up) down(@down) post(@d) eps
  %h2 = gemma.ffn_block %h1 pre(@d) gate(@gate) up(@up) down(@down) post(@d) eps 1.0e-06 : tensor<?x48xf32>
  // CHECK-NEXT: gemma.moe_block %{{.+}} post_experts(@d) post(@d) scale(@one)
  %h3 = gemma.moe_block %h2 pre(@d) gate(@gate) up(@up) down(@down) post_dense(@d) router(@router) router_scale(@d) pre_experts(@d) gate_up(@experts_up) experts_down(@experts_down) per_expert(@per_expert) post_experts(@d) post(@d) scale(@one) top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  %c = gemma.columns %ple [8, 16] : tensor<?x16xf32> -> tensor<?x8xf32>
  // CHECK: gemma.ple_block %{{.+}}, %{{.+}} gate(@plg) proj(@plp) post(@d) scale(@one)
  %h4 = gemma.ple_block %h3, %c gate(@plg) proj(@plp) post(@d) scale(@one) eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8xf32>
  return %h4 : tensor<?x48xf32>
}
