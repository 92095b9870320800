// RUN: gemma-opt %S/Inputs/shared-layers.mlir --gemma-select --kernel-plan | FileCheck %s
// RUN: gemma-opt %S/Inputs/shared-layers.mlir --gemma-select --kernel-plan -o %t.mlir
// RUN: gemma-opt %t.mlir | diff %t.mlir -
// RUN: gemma-opt %S/Inputs/experts.mlir --gemma-select --kernel-plan | FileCheck %s --check-prefix=MOE

// Local and global pools count apart.
// CHECK: kernel.cache @kv0 {{.*}} at 0
// CHECK: kernel.cache @kv1 {{.*}} at 0
// CHECK: kernel.weight @embed {{.*}} at 0
// The gathered table is a section of its own.
// CHECK: kernel.weight @ple_table {{.*}} at 65536
// CHECK: kernel.weight @ple_proj {{.*}} at 131072
// CHECK: kernel.weight @l1.qkv {{.*}} at [[#QKV:]]
// CHECK: kernel.weight @l1.qkv_kv {{.*}} at [[#QKV+16384]]
// CHECK: kernel.weight @l1.qkv_q {{.*}} at [[#QKV]]

// CHECK-LABEL: func.func @body_few
// CHECK-SAME: kernel.memory = #kernel.memory<worker = 3072, row = 768, key = 384>
// CHECK: @embed{{.*}} at [worker + [[#H:]]]
// CHECK: @norm{{.*}} at [worker + [[#X:]]]
// CHECK: @attend{{.*}} at [key + 0]
// The residual is updated in place.
// CHECK: @add_norm{{.*}} at [worker + [[#H]]]
// CHECK: @norm{{.*}} at [worker + [[#X]]]
// CHECK: @add_norm{{.*}} at [worker + [[#H]]]
// The product of layer 1 is written in the phase that still reads that of the
// per-layer projection: liveness in phases keeps them apart.
// CHECK: weights([@l0.plp]){{.*}} at [row + [[#P:]]]
// CHECK: @add_norm{{.*}} at [worker + [[#H]]]
// CHECK-NOT: weights([@l1.qkv_kv]){{.*}} at [row + [[#P]]]
// CHECK: @copy{{.*}} at [io resid]

// CHECK-LABEL: func.func @body_many
// CHECK-SAME: #kernel.memory<worker = 0, row = {{[0-9]+}}, key = 0>
// CHECK: @embed{{.*}} at [row + [[#R:]]]
// CHECK: @add_norm{{.*}} at [row + [[#R]]]

// CHECK-LABEL: func.func @tail_few
// CHECK: weights([@norm]) over one(1) at [io hidden]
// CHECK-LABEL: func.func @top_few
// CHECK: @logits{{.*}} at [io logits]
// CHECK: @top_merge{{.*}} at [io top_ids, io top_values]

// Experts start at a page of their own.
// MOE: kernel.weight @l0.gate_up {{.*}} at 131072
// MOE: kernel.weight @l0.experts_down {{.*}} at 196608
