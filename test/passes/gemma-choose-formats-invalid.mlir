// RUN: not gemma-opt %s --gemma-choose-formats=quant=q5 2>&1 | FileCheck %s --check-prefix=QUANT
// RUN: not gemma-opt %s --gemma-choose-formats=cache-type=q4 2>&1 | FileCheck %s --check-prefix=CACHE
// RUN: not gemma-opt %s --gemma-choose-formats=quant-map=%t.absent 2>&1 | FileCheck %s --check-prefix=MAP
// MAP: .absent:0:0: error: cannot read the map of formats: No such file or directory
// QUANT: error: expects quant auto, none, f32, bf16, q8, q4, got q5
// CACHE: error: expects cache-type auto, f32, bf16, q8, got q4
gemma.weight @w from "w" : tensor<4x4xf32>
