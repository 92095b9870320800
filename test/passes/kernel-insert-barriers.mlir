// RUN: gemma-opt %S/Inputs/shared-layers.mlir --gemma-select --kernel-insert-barriers -o %t.mlir
// RUN: FileCheck %s < %t.mlir
// RUN: gemma-opt %t.mlir --kernel-insert-barriers | diff %t.mlir -

// CHECK-LABEL: func.func @body_few
// CHECK: @embed
// Private copies need none.
// CHECK-NEXT: @quant
// CHECK-NEXT: @linear
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @ple_finish
// Independent calls share a phase.
// CHECK-NEXT: @norm
// CHECK-NEXT: @linear
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @append
// CHECK-NEXT: @rope_q
// New keys are visible before they are read.
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @attend
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @merge
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @linear
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @add_norm
// CHECK-NEXT: @norm
// CHECK-NEXT: @linear_geglu
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @linear
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @add_norm
// CHECK-NEXT: @quant
// CHECK-NEXT: @linear_ple
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @linear
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @add_norm

// CHECK-LABEL: func.func @body_many
// CHECK: @embed
// The same rows by the same worker.
// CHECK-NEXT: @quant
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @linear
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @ple_finish
// CHECK-NEXT: @norm

// A layer that reads a cache written in an earlier segment waits for its
// queries only.
// CHECK-LABEL: func.func @tail_few
// CHECK: weights([@l2.q])
// CHECK-NEXT: kernel.barrier
// CHECK-NEXT: @rope_q
// CHECK-NEXT: @attend
