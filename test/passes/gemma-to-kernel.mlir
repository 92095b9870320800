// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %S/Inputs/shared-layers.mlir --gemma-to-kernel=target=x86-avx512 | FileCheck %s
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %S/Inputs/shared-layers.mlir --gemma-to-kernel=target=arm-neon | FileCheck %s --check-prefix=ARM
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %S/Inputs/experts.mlir --gemma-select | FileCheck %s --check-prefix=MOE
// RUN: sed 's/"layers.0.experts.gate_up_proj" : [^{]*{/&parts = ["g", "u"], /' %S/Inputs/experts.mlir | gemma-opt --mlir-use-nameloc-as-prefix=false --gemma-select | FileCheck %s --check-prefix=PARTS
// RUN: gemma-opt %S/Inputs/shared-layers.mlir --mlir-use-nameloc-as-prefix=false --gemma-select | gemma-opt --mlir-use-nameloc-as-prefix=false | FileCheck %s

// One product serves queries, keys and values, whichever block comes first.
// RUN: sed -e '/kv_block .*@kv0/{h;d}' -e '/attention_block .*@l0\.q/G' %S/Inputs/shared-layers.mlir | gemma-opt --mlir-use-nameloc-as-prefix=false --gemma-to-kernel | FileCheck %s --check-prefix=SWAPPED
// SWAPPED-LABEL: func.func @body_few
// SWAPPED: %[[A:.*]] = kernel.call @linear_{{.*}} weights([@l0.qkv])
// SWAPPED: kernel.call @rope_q_{{.*}}(%[[A]], {{.*}}) weights([@l0.q_norm]) scalars {column = 0,
// SWAPPED-NOT: @l0.in_norm
// SWAPPED: kernel.call @append_{{.*}}(%[[A]], {{.*}}) weights([@l0.k_norm]) cache(@kv0) scalars {k_column = 64, stride = 128, v_column = 96}

// CHECK: module attributes {kernel.target = "x86-avx512"}
// ARM: module attributes {kernel.target = "arm-neon"}
// CHECK: kernel.cache @kv0 bf16 heads 1 dim 32 window {{[1-9].*}} pages 4096, 4096
// CHECK: kernel.cache @kv1 {{.*}} window 0 

// One matrix for lookup and scores; the gathered table by rows.
// CHECK: kernel.weight @embed bf16 in bf16_16x2
// CHECK: kernel.weight @ple_table bf16 in bf16_rows {{.*}} {ple}
// CHECK-NOT: kernel.weight @embed
// Queries, keys and values are one matrix; at the cut body and tail see views.
// CHECK: kernel.weight @l0.qkv {{.*}} 128 x 64
// CHECK: kernel.weight @l0.gate_up {{.*}} interleave 32
// CHECK: kernel.weight @l1.qkv_kv {{.*}}128 x 64 view @l1.qkv from 128
// CHECK: kernel.weight @l1.qkv_q {{.*}}128 x 64 view @l1.qkv from 0
// CHECK-NOT: gemma.

// CHECK-LABEL: func.func @body_few
// CHECK-NOT: "slot"
// CHECK-SAME: kernel.io = "ids"
// CHECK-SAME: -> (tensor<?x64xf32> {kernel.io = "resid"})
// CHECK-SAME: kernel.ple = array<i64: 0, 32>
// CHECK-SAME: kernel.rows = "few", kernel.segment = "body"
// CHECK: %[[H0:.*]] = kernel.call @embed_bf16_k64_8_few(%arg0) weights([@embed]) over all(1)
// CHECK: %[[E:.*]] = kernel.call @quant_bf16_k64_few(%[[H0]]) over all(1)
// CHECK: %[[C:.*]] = kernel.call @linear_{{.*}}(%[[E]]) weights([@ple_proj_0]) scalars {stride = 32} over blocks(2)
// CHECK: %[[PLE:.*]] = kernel.call @ple_finish_{{.*}}(%[[C]], %{{.*}}) weights([@ple_norm]) scalars {layers = 1} over blocks(1)
// CHECK: %[[X:.*]] = kernel.call @norm_bf16_{{.*}}(%[[H0]]) weights([@l0.in_norm]) over all(1)
// CHECK: %[[A:.*]] = kernel.call @linear_{{.*}}(%[[X]]) weights([@l0.qkv]) scalars {stride = 128} over blocks(8)
// CHECK: kernel.call @append_{{.*}}(%[[A]], {{.*}}) weights([@l0.k_norm]) cache(@kv0) scalars {k_column = 64, stride = 128, v_column = 96} over tiles(1)
// CHECK: %[[Q:.*]] = kernel.call @rope_q_{{.*}}(%[[A]], {{.*}}) weights([@l0.q_norm]) scalars {column = 0, stride = 128} over all(1)
// CHECK: %[[S:.*]] = kernel.call @attend_{{.*}}(%[[Q]], {{.*}}) cache(@kv0) over splits(1) {{.*}} -> tensor<?x68xf32>
// CHECK: %[[M:.*]] = kernel.call @merge_{{.*}}(%[[S]], {{.*}}) over blocks(2)
// CHECK: %[[O:.*]] = kernel.call @linear_{{.*}}(%[[M]]) weights([@l0.o]) scalars {stride = 64} over blocks(4)
// CHECK: %[[H1:.*]] = kernel.call @add_norm_{{.*}}s0_few(%[[H0]], %[[O]]) weights([@l0.post_attn]) over all(1)
// CHECK: %[[X2:.*]] = kernel.call @norm_{{.*}}(%[[H1]]) weights([@l0.pre_ffw]) over all(1)
// CHECK: %[[G:.*]] = kernel.call @linear_geglu_{{.*}}(%[[X2]]) weights([@l0.gate_up]) scalars {stride = 96} over blocks(3)
// CHECK: %[[D:.*]] = kernel.call @linear_{{.*}}(%[[G]]) weights([@l0.down]) scalars {stride = 64} over blocks(4)
// CHECK: %[[H2:.*]] = kernel.call @add_norm_{{.*}}(%[[H1]], %[[D]])
// CHECK: %[[X3:.*]] = kernel.call @quant_{{.*}}(%[[H2]]) over all(1)
// CHECK: %[[PG:.*]] = kernel.call @linear_ple_{{.*}}(%[[X3]], %[[PLE]]) weights([@l0.plg]) scalars {column = 0, ple_stride = 32, stride = 32} over blocks(2)
// CHECK: %[[PP:.*]] = kernel.call @linear_{{.*}}(%[[PG]]) weights([@l0.plp])
// CHECK: %[[H3:.*]] = kernel.call @add_norm_{{.*}}s1_few(%[[H2]], %[[PP]]) weights([@l0.post_ple, @l0.scalar])
// CHECK: kernel.call @linear_{{.*}} weights([@l1.qkv_kv]) scalars {stride = 128} over blocks(8)
// CHECK: kernel.call @append_{{.*}} cache(@kv1) scalars {k_column = 0, stride = 128, v_column = 64} over tiles(1)
// CHECK: %[[R:.*]] = kernel.call @copy_k64_few(%[[H3]]) over one(1)
// CHECK: return %[[R]]

// CHECK-LABEL: func.func @body_many
// CHECK: kernel.call @embed_{{.*}}_many({{.*}}) weights([@embed]) over rows(1)
// CHECK: kernel.call @ple_finish_{{.*}} scalars {layers = 1} over rows(1)
// CHECK: kernel.call @append_{{.*}} over tiles(1)
// CHECK: kernel.call @attend_{{.*}} cache(@kv0) over tiles(1) {{.*}} -> tensor<?x64xbf16>
// CHECK-NOT: merge
// CHECK: kernel.call @copy_k64_many({{.*}}) over rows(1)

// CHECK-LABEL: func.func @tail_few
// CHECK-SAME: kernel.ple = array<i64: 32, 96>
// CHECK: kernel.call @take_k64_few
// CHECK: kernel.call @embed_
// CHECK: kernel.call @linear_{{.*}} weights([@l1.qkv_q]) scalars {stride = 128} over blocks(8)
// CHECK: kernel.call @attend_{{.*}} cache(@kv1)
// CHECK: kernel.call @linear_ple_{{.*}} scalars {column = 0, ple_stride = 64, stride = 32}
// A layer without keys of its own reads its donor's.
// CHECK: kernel.call @linear_{{.*}} weights([@l2.q])
// CHECK: kernel.call @attend_{{.*}} cache(@kv0)
// CHECK: kernel.call @linear_ple_{{.*}} scalars {column = 32, ple_stride = 64, stride = 32}
// CHECK: kernel.call @norm_f32_{{.*}} weights([@norm]) over one(1)

// CHECK-LABEL: func.func @top_few
// CHECK-SAME: kernel.io = "top_ids"
// CHECK: %[[L:.*]] = kernel.call @logits_bf16_30_{{.*}} weights([@embed]) scalars {stride = 320} over blocks(20)
// CHECK: %[[T:.*]]:2 = kernel.call @top_{{.*}}(%[[L]], %arg1) scalars {parts = 20, stride = 320, vocab = 320} over blocks(20)
// CHECK: %[[B:.*]]:2 = kernel.call @top_merge_{{.*}}(%[[T]]#0, %[[T]]#1) scalars {parts = 20} over one(1)
// CHECK: return %[[B]]#0, %[[B]]#1, %[[L]]
// CHECK-LABEL: func.func @top_many
// CHECK: %[[L:.*]] = kernel.call @logits_bf16_30_{{.*}}_many({{.*}}) weights([@embed]) scalars {stride = 320} over blocks(20)
// CHECK: %[[T:.*]]:2 = kernel.call @top_{{.*}}(%[[L]], %arg1) scalars {parts = 20, stride = 320, vocab = 320} over blocks(20)
// CHECK: kernel.call @top_merge_{{.*}}(%[[T]]#0, %[[T]]#1) scalars {parts = 20} over rows(1)
// CHECK-LABEL: func.func @logits_few
// CHECK: kernel.call @logits_bf16_30_

// MOE: kernel.weight @l0.qk {{.*}} 192 x 64
// Experts in two tensors: the IR names what the checkpoint has.
// PARTS: kernel.weight @l0.gate_up {{.*}}"g" rows 0 to 32 {{.*}}"u" rows 0 to 32
// MOE: kernel.weight @l0.gate_up {{.*}} times 8 interleave 32 pieces [#kernel.piece<"layers.0.experts.gate_up_proj" rows 0 to 32 {{.*}} rows 32 to 64
// MOE-LABEL: func.func @body_few
// MOE: kernel.call @append_{{.*}} scalars {k_column = 128, stride = 192, v_column = 128}
// MOE: %[[N:.*]]:3 = kernel.call @norms3_{{.*}} weights([@l0.pre_ffw, @l0.router_scale, @l0.pre_ffw2]) over all(1)
// MOE: %[[R:.*]] = kernel.call @linear_f32_f32_k64_few(%[[N]]#1) weights([@l0.router]) scalars {stride = 32} over blocks(1)
// MOE: %[[G:.*]] = kernel.call @linear_geglu_{{.*}}(%[[N]]#0) weights([@l0.dense_gate_up])
// MOE: %[[C:.*]]:2 = kernel.call @top_experts_e8_t2_few(%[[R]]) weights([@l0.per_expert]) over all(1)
// MOE: %[[S:.*]] = kernel.call @moe_sort_e8_t2_few(%[[C]]#1) over all(1)
// MOE: %[[U:.*]] = kernel.call @experts_up_{{.*}}(%[[N]]#2, %[[C]]#1, %[[S]]) weights([@l0.gate_up]) over blocks(1)
// MOE: %[[D:.*]] = kernel.call @linear_{{.*}}(%[[G]]) weights([@l0.down])
// MOE: %[[Y:.*]] = kernel.call @experts_down_{{.*}}(%[[U]], %[[C]]#1, %[[C]]#0, %[[S]]) weights([@l0.experts_down]) scalars {stride = 64} over blocks(4)
// MOE: kernel.call @add_norm3_{{.*}}(%{{.*}}, %[[D]], %[[Y]]) weights([@l0.post_ffw1, @l0.post_ffw2, @l0.post_ffw, @l0.scalar]) over all(1)
// MOE-LABEL: func.func @body_many
// MOE: kernel.call @top_experts_{{.*}} over rows(1)
// MOE: kernel.call @moe_sort_{{.*}} over one(1)
