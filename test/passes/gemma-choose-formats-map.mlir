// Formats by name: the last line that matches decides; names are those of
// tensors, with or without their prefix, or of weights.
// RUN: split-file %s %t
// RUN: gemma-opt %t/in.mlir --gemma-choose-formats="quant=q4 quant-map=%t/map" 2>%t.err | FileCheck %s
// RUN: FileCheck %s --check-prefix=SAID <%t.err
// RUN: not gemma-opt %t/in.mlir --gemma-choose-formats=quant-map=%t/words 2>&1 | FileCheck %s --check-prefix=WORDS
// RUN: not gemma-opt %t/in.mlir --gemma-choose-formats=quant-map=%t/format 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not gemma-opt %t/in.mlir --gemma-choose-formats=quant-map=%t/glob 2>&1 | FileCheck %s --check-prefix=GLOB

// CHECK: @l0.q {{.+}} format = "q8_0"
// CHECK: @l1.q {{.+}} format = "bf16"
// CHECK: @l0.o {{.+}} format = "q4_bf"
// CHECK: @l1.o {{.+}} format = "f32"
// CHECK: @kept {{.+}} format = "q4_0"
// CHECK: @forced {{.+}} format = "q8_0"
// CHECK: @narrow {{.+}} format = "bf16"
// SAID-DAG: map:9:0: warning: no matrix matches '*.norm'
// SAID-DAG: 1 matrix in q8_0, {{.*}}map:3: @l0.q
// SAID-DAG: 1 matrix in q4_bf, quant=q4: @l0.o
// SAID-DAG: 1 matrix in bf16, k = 48 is no multiple of 32: @narrow
// WORDS: words:2:0: error: expects PATTERN FORMAT, got 3 words
// FORMAT: format:1:0: error: expects format f32, bf16, q8_0, q4_0, q4_bf, q8, q4, got 'q5'
// GLOB: glob:3:0: error: the pattern '[a' is broken:

//--- map
# comment

l?.q  q8_0   # weights
model.language_model.layers.1.self_attn.q_proj.weight bf16
layers.{1,2}.*.o_proj.* f32
kept q8
forced q8_0
narrow q8_0
*.norm f32
//--- words
# one
l0.q q8 q8
//--- format
* q5
//--- glob


[a f32
//--- in.mlir
gemma.weight @l0.norm from "layers.0.norm" : tensor<64xf32>
gemma.weight @l0.q from "layers.0.self_attn.q_proj.weight" : tensor<64x64xf32> {source = "bf16"}
gemma.weight @l1.q from "layers.1.self_attn.q_proj.weight" : tensor<64x64xf32> {source = "bf16"}
gemma.weight @l0.o from "layers.0.self_attn.o_proj.weight" : tensor<64x64xf32> {source = "bf16"}
gemma.weight @l1.o from "layers.1.self_attn.o_proj.weight" : tensor<64x64xf32> {source = "bf16"}
gemma.weight @kept from "kept" : tensor<64x64xf32> {source = "q4_0"}
gemma.weight @forced from "forced" : tensor<64x64xf32> {source = "q4_0"}
gemma.weight @narrow from "narrow" : tensor<64x48xf32> {source = "bf16"}
