// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %S/Inputs/shared-layers.mlir --gemma-select --kernel-plan --kernel-native -o %t.mlir
// RUN: FileCheck %s < %t.mlir
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %t.mlir | diff %t.mlir -
// RUN: not gemma-opt --mlir-use-nameloc-as-prefix=false %S/Inputs/shared-layers.mlir --gemma-select --kernel-native 2>&1 | FileCheck %s --check-prefix=UNPLANNED
// UNPLANNED: expects a planned segment (run the stage plan first)

// The C signature of targets/Kernels.h: inputs, weights, results, rows,
// scalars, begin, end; with a cache its pools and pages.
// CHECK: llvm.func @linear_bf16_bf16_k64_few(!llvm.ptr, !llvm.ptr, !llvm.ptr, i32, i32, i32, i32)
// CHECK: llvm.func @append_{{.*}}_few(!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, i32, i32, i32, i32, i32, i32, i32)

// CHECK-LABEL: llvm.func @body_few(%arg0: !llvm.ptr, %arg1: i32)
// CHECK: %[[ZERO:.*]] = llvm.mlir.constant(0 : i32)
// CHECK: %[[IDS:.*]] = llvm.load
// Every call is announced with its index, the end with -1.
// CHECK: %[[CALL0:.*]] = llvm.mlir.constant(0 : i32)
// CHECK-NEXT: llvm.call %[[MARK:.*]](%arg0, %arg1, %[[CALL0]]) : !llvm.ptr, (!llvm.ptr, i32, i32) -> ()
// CHECK-NEXT: llvm.call @embed_bf16_k64_8_few(%[[IDS]], %{{.*}}, %{{.*}}, %[[ROWS:.*]], %[[ZERO]], %[[ROWS]])
// This worker's share of the units.
// CHECK: %[[BLOCKS:.*]] = llvm.mlir.constant(2 : i64)
// CHECK: llvm.mul %[[BLOCKS]], %[[CUT0:.*]] : i64
// CHECK: %[[B:.*]] = llvm.trunc
// CHECK: llvm.mul %[[BLOCKS]], %[[CUT1:.*]] : i64
// CHECK: %[[E:.*]] = llvm.trunc
// CHECK: llvm.call @linear_bf16_bf16_k64_few({{.*}}, %[[B]], %[[E]])
// CHECK: llvm.call %[[BARRIER:.*]](%arg0, %arg1) : !llvm.ptr, (!llvm.ptr, i32) -> ()
// CHECK: llvm.call @attend_{{.*}}
// CHECK-NEXT: llvm.call %[[BARRIER]](%arg0, %arg1)
// Worker 0 alone copies the residual.
// CHECK: %[[FIRST:.*]] = llvm.icmp "eq" %arg1, %[[ZERO]]
// CHECK: %[[END:.*]] = llvm.select %[[FIRST]], %[[ROWS]], %[[ZERO]]
// CHECK: llvm.call @copy_k64_few(%{{.*}}, %{{.*}}, %[[ROWS]], %[[ZERO]], %[[END]])
// CHECK: %[[END:.*]] = llvm.mlir.constant(-1 : i32)
// CHECK-NEXT: llvm.call %[[MARK]](%arg0, %arg1, %[[END]])
// CHECK-NEXT: llvm.return

// A null pointer where the tile form has no list of splits.
// CHECK-LABEL: llvm.func @body_many
// CHECK: %[[NULL:.*]] = llvm.mlir.zero : !llvm.ptr
// CHECK: llvm.call @attend_{{.*}}_many(%{{.*}}, %{{.*}}, %[[NULL]],

// CHECK: llvm.mlir.global internal constant @gm_calls("
// CHECK: llvm.mlir.global internal constant @gm_works("
// CHECK: llvm.mlir.global internal constant @gm_names("embed\00{{.*}}\00linear\00
// CHECK: llvm.mlir.global internal constant @gm_name_body("body\00")
// CHECK: llvm.mlir.global internal constant @gm_entries
// CHECK: llvm.mlir.global external constant @gm_model
// CHECK: llvm.mlir.constant(4 : i32)
// CHECK-NOT: kernel.call

// Fields, arrays and weights have names, and calls say what they were in the
// plan.
// RUN: gemma-opt --mlir-use-nameloc-as-prefix=false %S/Inputs/shared-layers.mlir --gemma-select --kernel-plan --kernel-native --mlir-use-nameloc-as-prefix | FileCheck %s --check-prefix=NAMES
// NAMES-LABEL: llvm.func @body_few(%ctx: !llvm.ptr, %worker: i32)
// NAMES: %ids = llvm.load
// NAMES: %l0.qkv = llvm.getelementptr %weights[
// NAMES: llvm.call @linear_{{.*}} {kernel.call = "l0.qkv"}

// Bytes of a row beyond 2^31 are as many as there can be: here all 8 matrices of
// 2^28 bytes that a token chooses.
// RUN: sed 's/8x64x64xf32/8x2097152x64xf32/; s/8x64x32xf32/8x64x1048576xf32/; s/top 2 /top 8 /' %S/Inputs/experts.mlir | gemma-opt --gemma-select --kernel-plan --kernel-native | FileCheck %s --check-prefix=WIDE
// WIDE: @gm_works({{.*}}\FF\FF\FF\7F
