// RUN: gemma-opt %s --gemma-choose-formats=quant=none 2>%t.none | FileCheck %s --check-prefixes=CHECK,NONE,ROUND
// RUN: FileCheck %s --check-prefix=REMARK <%t.none
// RUN: gemma-opt %s --gemma-choose-formats | FileCheck %s --check-prefixes=CHECK,NONE,AUTO
// RUN: gemma-opt %s --gemma-choose-formats=quant=bf16 | FileCheck %s --check-prefixes=CHECK,BF16,ROUND
// RUN: gemma-opt %s --gemma-choose-formats=quant=f32 | FileCheck %s --check-prefix=F32
// RUN: gemma-opt %s --gemma-choose-formats="quant=bf16 cache-type=f32" | FileCheck %s --check-prefix=CACHE
// RUN: gemma-opt %s --gemma-choose-formats="quant=f32 cache-type=bf16" | FileCheck %s --check-prefix=CACHE16
// RUN: gemma-opt %s --gemma-choose-formats="quant=q4 cache-type=q8" 2>/dev/null | FileCheck %s --check-prefix=CACHE8
// Twice is once.
// RUN: gemma-opt %s --gemma-choose-formats -o %t.once
// RUN: gemma-opt %t.once --gemma-choose-formats | diff %t.once -

// REMARK-DAG: 1 matrix in f32, not bf16 (the source is bf16): stored as one matrix with @gate: @up
// REMARK-DAG: 1 matrix in f32, not bf16 (the source is bf16): multiplying the same activations as @gate: @down
// REMARK-DAG: 1 matrix in bf16, no source is bound: @no_source
// REMARK-DAG: 1 matrix in bf16, the source is bf16: @source_bf16
// REMARK-DAG: 1 matrix in bf16, the source is q4_0: @source_q4
// REMARK-DAG: 1 matrix in f32, the source is f16: @source_f16
// REMARK-DAG: 1 matrix in f32, the source is f32: @gate
// REMARK-DAG: 1 matrix in f32, k = 7 is odd: @odd

// F32-NOT: "bf16", format
// F32-NOT: format = "bf16"

// A bf16 source stays, f16 becomes f32, without a source it is bf16.
// NONE: @source_bf16 {{.+}} {act = "bf16", format = "bf16",
// BF16: @source_bf16 {{.+}} {act = "bf16", format = "bf16",
gemma.weight @source_bf16 from "a" : tensor<64x48xf32> {source = "bf16"}
// NONE: @source_f16 {{.+}} {act = "f32", format = "f32",
// BF16: @source_f16 {{.+}} {act = "bf16", format = "bf16",
gemma.weight @source_f16 from "b" : tensor<64x48xf32> {source = "f16"}
// A quantised source is rounded to bf16, unless it may stay.
// ROUND: @source_q4 {{.+}} {act = "bf16", format = "bf16",
// AUTO: @source_q4 {{.+}} {act = "q8", format = "q4_0",
gemma.weight @source_q4 from "q" : tensor<64x64xf32> {source = "q4_0"}
// CHECK: @no_source {{.+}} {act = "bf16", format = "bf16"}
gemma.weight @no_source from "c" : tensor<64x48xf32>
// Vectors are f32 whatever the source.
// CHECK: @vector {{.+}} {act = "f32", format = "f32",
gemma.weight @vector from "d" : tensor<48xf32> {source = "bf16"}
// A matrix of odd k cannot be bf16.
// CHECK: @odd {{.+}} {act = "f32", format = "f32",
gemma.weight @odd from "e" : tensor<48x7xf32> {source = "bf16"}
// One f32 matrix makes its whole group f32.
// NONE: @gate {{.+}} format = "f32"
// BF16: @gate {{.+}} format = "bf16"
gemma.weight @gate from "f" : tensor<80x48xf32> {source = "f32"}
// NONE: @up {{.+}} format = "f32"
// BF16: @up {{.+}} format = "bf16"
gemma.weight @up from "g" : tensor<80x48xf32> {source = "bf16"}
// NONE: @down {{.+}} format = "f32"
// BF16: @down {{.+}} format = "bf16"
gemma.weight @down from "h" : tensor<48x80xf32> {source = "bf16"}
// The router is f32 always.
// CHECK: @router {{.+}} format = "f32"
gemma.weight @router from "i" : tensor<6x48xf32> {source = "bf16"}

// CHECK: gemma.cache @kv {{.*}}format = "bf16"
// F32: gemma.cache @kv {{.*}}format = "f32"
// CACHE: gemma.cache @kv {{.*}}format = "f32"
// CACHE8: gemma.cache @kv {{.*}}format = "q8"
// CACHE16: gemma.cache @kv {{.*}}format = "bf16"
gemma.cache @kv heads 2 dim 16 window 8

func.func @f(%h: tensor<?x48xf32>) -> (tensor<?x48xf32>, tensor<?x2xf32>) {
  %y = gemma.ffn_block %h pre(@vector) gate(@gate) up(@up) down(@down) post(@vector) eps 1.0e-06 : tensor<?x48xf32>
  %w, %e = gemma.router %h, @router, @vector top 2 factor 0.1 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  return %y, %w : tensor<?x48xf32>, tensor<?x2xf32>
}
