// Every rule of the verifiers, one case each.
// RUN: gemma-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{expects a static tensor of f32 with 1 to 4 dimensions, got 'tensor<?x4xf32>'}}
gemma.weight @w from "w" : tensor<?x4xf32>

// -----

// expected-error @below {{expects a static tensor of f32 with 1 to 4 dimensions, got 'tensor<4xbf16>'}}
gemma.weight @w from "w" : tensor<4xbf16>

// -----

// expected-error @below {{expects a static tensor of f32 with 1 to 4 dimensions, got 'i32'}}
gemma.weight @w from "w" : i32

// -----

// expected-error @below {{expects 1 to 2^50 elements, got 'tensor<0x4xf32>'}}
gemma.weight @w from "w" : tensor<0x4xf32>

// -----

// expected-error @below {{expects 1 to 2^50 elements}}
gemma.weight @w from "w" : tensor<1000000000x1000000000x1000000000xf32>

// -----

// expected-error @below {{expects source to be f32 or f16 or bf16 or q8_0 or q6_k or q5_k or q5_1 or q5_0 or q4_k or q4_1 or q4_0, got "i8"}}
gemma.weight @w from "w" : tensor<4xf32> {source = "i8"}

// -----

// expected-error @below {{expects parts to name two tensors of half the rows of a matrix, got ["a", "b"] of 'tensor<5x4xf32>'}}
gemma.weight @w from "w" : tensor<5x4xf32> {parts = ["a", "b"]}

// -----

// expected-error @below {{expects format to be f32 or bf16 or q8_0 or q4_0 or q4_bf, got "f16"}}
gemma.weight @w from "w" : tensor<4xf32> {format = "f16"}

// -----

// expected-error @below {{expects act to be f32 or bf16 or q8, got "q4"}}
gemma.weight @w from "w" : tensor<4xf32> {act = "q4"}

// -----

// expected-error @below {{attribute 'window' failed to satisfy constraint: whole number whose value is non-negative}}
gemma.cache @c heads 1 dim 16 window -1

// -----

// expected-error @below {{attribute 'heads' failed to satisfy constraint: whole number whose value is positive whose maximum value is 1048576}}
gemma.cache @c heads 0 dim 16 window 0

// -----

// expected-error @below {{expects an even dim, got 15}}
gemma.cache @c heads 1 dim 15 window 0

// -----

// expected-error @below {{attribute 'dim' failed to satisfy constraint: whole number whose minimum value is 2 whose maximum value is 1048576}}
gemma.cache @c heads 1 dim 2097152 window 0

// -----

// expected-error @below {{expects format to be f32 or bf16 or q8, got "q4"}}
gemma.cache @c heads 1 dim 16 window 0 {format = "q4"}

// -----

// expected-error @below {{expects gemma.segment to be step, body, tail, top, logits, patches, image or audio, got "start"}}
func.func @f() attributes {gemma.segment = "start"} {
  return
}

// -----

// expected-error @below {{expects a segment to be one block}}
func.func private @f() attributes {gemma.segment = "body"}

// -----

// expected-error @below {{expects gemma.arg of argument 0 to be the name of a step array, got ""}}
func.func private @f(tensor<?xi32> {gemma.arg = ""})

// -----

// expected-error @below {{expects gemma.segment to be a string on a func.func}}
module attributes {gemma.segment = "step"} {}

// -----

func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{expects table to name a gemma.weight, got @nothing}}
  %y = gemma.embed %ids, @nothing scale 1.0 : tensor<?xi32> -> tensor<?x48xf32>
  return
}

// -----

gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{expects table to name a gemma.weight, got @kv}}
  %y = gemma.embed %ids, @kv scale 1.0 : tensor<?xi32> -> tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{expects table @d of shape [?, ?], got [48]}}
  %y = gemma.embed %ids, @d scale 1.0 : tensor<?xi32> -> tensor<?x48xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{expects result to have 48 columns, got 47}}
  %y = gemma.embed %ids, @embed scale 1.0 : tensor<?xi32> -> tensor<?x47xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{expects columns [a, b) with 0 <= a < b <= 48, got [40, 49)}}
  %y = gemma.embed %ids, @embed columns [40, 49] scale 1.0 : tensor<?xi32> -> tensor<?x9xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{expects rows exactly with soft row}}
  %y = gemma.embed %ids, @embed soft row scale 1.0 : tensor<?xi32> -> tensor<?x48xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{expected one of [row, zero]}}
  // expected-error @below {{failed to parse SoftModeAttr}}
  %y = gemma.embed %ids, @embed soft maybe scale 1.0 : tensor<?xi32> -> tensor<?x48xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%ids: tensor<?xi32>) {
  // expected-error @below {{attribute 'scale' failed to satisfy constraint: 64-bit float attribute finite}}
  %y = gemma.embed %ids, @embed scale 0x7FF0000000000000 : tensor<?xi32> -> tensor<?x48xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%ids: tensor<3xi32>) {
  // expected-error @below {{expects operands and results with the same number of rows}}
  %y = gemma.embed %ids, @embed scale 1.0 : tensor<3xi32> -> tensor<4x48xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects size to divide 48 columns, got 36}}
  %y = gemma.rms_norm %h size 36 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{attribute 'size' failed to satisfy constraint: whole number whose value is positive}}
  %y = gemma.rms_norm %h size 0 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{attribute 'eps' failed to satisfy constraint: 64-bit float attribute finite positive}}
  %y = gemma.rms_norm %h size 48 eps 0.0 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @hd from "hd" : tensor<16xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects weight @hd of shape [48], got [16]}}
  %y = gemma.rms_norm %h weight @hd size 48 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

func.func @f(%h: tensor<?x?xf32>) {
  // expected-error @below {{operand #0 must be rows of f32 with a static number of columns}}
  %y = gemma.rms_norm %h size 48 eps 1.0e-06 : tensor<?x?xf32>
  return
}

// -----

gemma.weight @q from "q" : tensor<64x48xf32>
func.func @f(%h: tensor<?x47xf32>) {
  // expected-error @below {{expects weight @q of shape [?, 47], got [64, 48]}}
  %y = gemma.linear %h, @q : tensor<?x47xf32> -> tensor<?x64xf32>
  return
}

// -----

gemma.weight @q from "q" : tensor<64x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects result to have 64 columns, got 63}}
  %y = gemma.linear %h, @q : tensor<?x48xf32> -> tensor<?x63xf32>
  return
}

// -----

gemma.weight @q from "q" : tensor<64x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects rows [a, b) with 0 <= a < b <= 64, got [8, 8)}}
  %y = gemma.linear %h, @q rows [8, 8] : tensor<?x48xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects an even dim that divides 48 columns, got 15}}
  %y = gemma.rope %h, %rope dim 15 pairs 8 : tensor<?x48xf32>, tensor<?x8x2xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects pairs in [1, 8], got 9}}
  %y = gemma.rope %h, %rope dim 16 pairs 9 : tensor<?x48xf32>, tensor<?x8x2xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects a rope table of rows x 7 x 2, got [?, 8, 2]}}
  %y = gemma.rope %h, %rope dim 16 pairs 7 : tensor<?x48xf32>, tensor<?x8x2xf32>
  return
}

// -----

gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%k: tensor<?x32xf32>, %v: tensor<?x16xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>) {
  // expected-error @below {{expects v to have 32 columns, got 16}}
  gemma.append %k, %v at (%slot, %pos) to @kv : tensor<?x32xf32>, tensor<?x16xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
func.func @f(%k: tensor<?x32xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>) {
  // expected-error @below {{expects cache to name a gemma.cache, got @d}}
  gemma.append %k, %k at (%slot, %pos) to @d : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>) {
  // expected-error @below {{expects columns of q to be a multiple of 32 (2 heads of 16 in the cache), got 48}}
  %y = gemma.attention %h at (%slot, %pos) over @kv : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects exactly one of weight and factor}}
  %y = gemma.scale %h : tensor<?x48xf32>
  return
}

// -----

gemma.weight @one from "one" : tensor<1xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects exactly one of weight and factor}}
  %y = gemma.scale %h by @one times 2.0 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects weight @d of shape [1], got [48]}}
  %y = gemma.scale %h by @d : tensor<?x48xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects range [a, b) with 0 <= a < b <= 48, got [-1, 3)}}
  %y = gemma.columns %h [-1, 3] : tensor<?x48xf32> -> tensor<?x4xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects result to have 2 columns, got 3}}
  %y = gemma.columns %h [1, 3] : tensor<?x48xf32> -> tensor<?x3xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) {
  // expected-error @below {{expects result to have 48 columns, got 47}}
  %y = gemma.take %h, %ids : tensor<?x48xf32>, tensor<?xi32> -> tensor<?x47xf32>
  return
}

// -----

func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{attribute 'cap' failed to satisfy constraint: 64-bit float attribute finite positive}}
  %y = gemma.softcap %h cap -1.0 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects top in [1, 80], got 81}}
  %w, %e = gemma.router %h, @gate, @d top 81 factor 0.1 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x81xf32>, tensor<?x81xi32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects ids to have 3 columns, got 2}}
  %w, %e = gemma.router %h, @gate, @d top 3 factor 0.1 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x3xf32>, tensor<?x2xi32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects weights to have 3 columns, got 2}}
  %w, %e = gemma.router %h, @gate, @d top 3 factor 0.1 eps 1.0e-06 : tensor<?x48xf32> -> tensor<?x2xf32>, tensor<?x3xi32>
  return
}

// -----

gemma.weight @gu from "gu" : tensor<6x40x48xf32>
gemma.weight @ed from "ed" : tensor<6x48x21xf32>
gemma.weight @pe from "pe" : tensor<6xf32>
func.func @f(%h: tensor<?x48xf32>, %w: tensor<?x2xf32>, %e: tensor<?x2xi32>) {
  // expected-error @below {{expects down @ed of shape [6, 48, 20], got [6, 48, 21]}}
  %y = gemma.experts %h, %w, %e gate_up(@gu) down(@ed) per_expert(@pe) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  return
}

// -----

gemma.weight @gu from "gu" : tensor<6x41x48xf32>
gemma.weight @ed from "ed" : tensor<6x48x20xf32>
gemma.weight @pe from "pe" : tensor<6xf32>
func.func @f(%h: tensor<?x48xf32>, %w: tensor<?x2xf32>, %e: tensor<?x2xi32>) {
  // expected-error @below {{expects gate_up with an even number of rows, got 41}}
  %y = gemma.experts %h, %w, %e gate_up(@gu) down(@ed) per_expert(@pe) : tensor<?x48xf32>, tensor<?x2xf32>, tensor<?x2xi32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects result to have 100 columns, got 99}}
  %y = gemma.logits %h, @embed : tensor<?x48xf32> -> tensor<?x99xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%h: tensor<?x48xf32>, %m: tensor<?x3xi32>) {
  // expected-error @below {{expects mask to have 4 columns, got 3}}
  %i, %v = gemma.top %h, @embed mask(%m : tensor<?x3xi32>) count 4 : tensor<?x48xf32> -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// -----

gemma.weight @embed from "embed" : tensor<100x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects values to have 4 columns, got 5}}
  %i, %v = gemma.top %h, @embed count 4 : tensor<?x48xf32> -> tensor<?x4xi32>, tensor<?x5xf32>
  return
}

// -----

gemma.weight @t from "t" : tensor<90x24xf32>
gemma.weight @p from "p" : tensor<24x48xf32>
gemma.weight @n from "n" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) {
  // expected-error @below {{expects layers [a, b) with 0 <= a < b <= 3, got [0, 4)}}
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@n) layers [0, 4] width 8 token_scale 3.0 context_scale 0.5 scale 0.75 eps 1.0e-06 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x32xf32>
  return
}

// -----

gemma.weight @t from "t" : tensor<90x24xf32>
gemma.weight @p from "p" : tensor<24x48xf32>
gemma.weight @n from "n" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) {
  // expected-error @below {{expects width to divide 24 rows of proj, got 7}}
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@n) layers [0, 2] width 7 token_scale 3.0 context_scale 0.5 scale 0.75 eps 1.0e-06 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x14xf32>
  return
}

// -----

gemma.weight @t from "t" : tensor<90x24xf32>
gemma.weight @p from "p" : tensor<24x48xf32>
gemma.weight @n from "n" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) {
  // expected-error @below {{expects result to have 16 columns, got 24}}
  %y = gemma.ple_inputs %ids, %h table(@t) proj(@p) norm(@n) layers [0, 2] width 8 token_scale 3.0 context_scale 0.5 scale 0.75 eps 1.0e-06 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x24xf32>
  return
}

// -----

gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @p from "p" : tensor<24x48xf32>
gemma.weight @n from "n" : tensor<8xf32>
func.func @f(%h: tensor<?x48xf32>, %ids: tensor<?xi32>) {
  // expected-error @below {{expects table @q of shape [?, 24], got [64, 48]}}
  %y = gemma.ple_inputs %ids, %h table(@q) proj(@p) norm(@n) layers [0, 2] width 8 token_scale 3.0 context_scale 0.5 scale 0.75 eps 1.0e-06 : tensor<?xi32>, tensor<?x48xf32> -> tensor<?x16xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects k @q of shape [32, 48], got [64, 48]}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@d) k(@q) k_norm(@hd) cache(@kv) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects v @q of shape [32, 48], got [64, 48]}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@d) k(@k) v(@q) k_norm(@hd) cache(@kv) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @k from "k" : tensor<32x48xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects k_norm @d of shape [16], got [48]}}
  gemma.kv_block %h at (%slot, %pos), %rope norm(@d) k(@k) k_norm(@d) cache(@kv) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects rows of q to be a multiple of 32 (2 heads of 16 in the cache), got 80}}
  %y = gemma.attention_block %h at (%slot, %pos), %rope norm(@d) q(@gate) q_norm(@hd) o(@o) post(@d) cache(@kv) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{expects o @down of shape [48, 64], got [48, 80]}}
  %y = gemma.attention_block %h at (%slot, %pos), %rope norm(@d) q(@q) q_norm(@hd) o(@down) post(@d) cache(@kv) pairs 8 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.cache @kv heads 2 dim 16 window 8
func.func @f(%h: tensor<?x48xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>, %rope: tensor<?x8x2xf32>) {
  // expected-error @below {{attribute 'pairs' failed to satisfy constraint: whole number whose value is positive}}
  %y = gemma.attention_block %h at (%slot, %pos), %rope norm(@d) q(@q) q_norm(@hd) o(@o) post(@d) cache(@kv) pairs 0 eps 1.0e-06 : tensor<?x48xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @one from "one" : tensor<1xf32>
gemma.weight @q from "q" : tensor<64x48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects up @q of shape [80, 48], got [64, 48]}}
  %y = gemma.ffn_block %h pre(@d) gate(@gate) up(@q) down(@down) post(@d) scale(@one) eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @one from "one" : tensor<1xf32>
gemma.weight @o from "o" : tensor<48x64xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects down @o of shape [48, 80], got [48, 64]}}
  %y = gemma.ffn_block %h pre(@d) gate(@gate) up(@gate) down(@o) post(@d) scale(@one) eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects scale @d of shape [1], got [48]}}
  %y = gemma.ffn_block %h pre(@d) gate(@gate) up(@gate) down(@down) post(@d) scale(@d) eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @gu from "gu" : tensor<6x40x48xf32>
gemma.weight @ed from "ed" : tensor<6x48x20xf32>
gemma.weight @pe from "pe" : tensor<6xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects gate_up @gu of shape [80, ?, 48], got [6, 40, 48]}}
  %y = gemma.moe_block %h pre(@d) gate(@gate) up(@gate) down(@down) post_dense(@d) router(@gate) router_scale(@d) pre_experts(@d) gate_up(@gu) experts_down(@ed) per_expert(@pe) post_experts(@d) post(@d) top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @gu from "gu" : tensor<6x40x48xf32>
gemma.weight @ed from "ed" : tensor<6x48x20xf32>
gemma.weight @r from "r" : tensor<6x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects per_expert @d of shape [6], got [48]}}
  %y = gemma.moe_block %h pre(@d) gate(@gate) up(@gate) down(@down) post_dense(@d) router(@r) router_scale(@d) pre_experts(@d) gate_up(@gu) experts_down(@ed) per_expert(@d) post_experts(@d) post(@d) top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @hd from "hd" : tensor<16xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @gu from "gu" : tensor<6x40x48xf32>
gemma.weight @ed from "ed" : tensor<6x48x20xf32>
gemma.weight @pe from "pe" : tensor<6xf32>
gemma.weight @r from "r" : tensor<6x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects post @hd of shape [48], got [16]}}
  %y = gemma.moe_block %h pre(@d) gate(@gate) up(@gate) down(@down) post_dense(@d) router(@r) router_scale(@d) pre_experts(@d) gate_up(@gu) experts_down(@ed) per_expert(@pe) post_experts(@d) post(@hd) top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @gu from "gu" : tensor<6x40x48xf32>
gemma.weight @ed from "ed" : tensor<6x48x20xf32>
gemma.weight @pe from "pe" : tensor<6xf32>
gemma.weight @r from "r" : tensor<6x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{expects top in [1, 6], got 7}}
  %y = gemma.moe_block %h pre(@d) gate(@gate) up(@gate) down(@down) post_dense(@d) router(@r) router_scale(@d) pre_experts(@d) gate_up(@gu) experts_down(@ed) per_expert(@pe) post_experts(@d) post(@d) top 7 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @down from "down" : tensor<48x80xf32>
gemma.weight @gu from "gu" : tensor<6x41x48xf32>
gemma.weight @ed from "ed" : tensor<6x48x20xf32>
gemma.weight @pe from "pe" : tensor<6xf32>
gemma.weight @r from "r" : tensor<6x48xf32>
func.func @f(%h: tensor<?x48xf32>) {
  // expected-error @below {{'gemma.moe_block' op expects gate_up with an even number of rows, got 41}}
  %y = gemma.moe_block %h pre(@d) gate(@gate) up(@gate) down(@down) post_dense(@d) router(@r) router_scale(@d) pre_experts(@d) gate_up(@gu) experts_down(@ed) per_expert(@pe) post_experts(@d) post(@d) top 2 factor 0.144 eps 1.0e-06 : tensor<?x48xf32>
  return
}

// -----

gemma.weight @d from "d" : tensor<48xf32>
gemma.weight @gate from "gate" : tensor<80x48xf32>
gemma.weight @plp from "plp" : tensor<48x8xf32>
func.func @f(%h: tensor<?x48xf32>, %p: tensor<?x8xf32>) {
  // expected-error @below {{expects gate @gate of shape [8, 48], got [80, 48]}}
  %y = gemma.ple_block %h, %p gate(@gate) proj(@plp) post(@d) eps 1.0e-06 : tensor<?x48xf32>, tensor<?x8xf32>
  return
}

// -----

// Only functions compute; elsewhere a value could depend on itself.
// expected-error @below {{failed to verify that it stands in a func.func of one block}}
%y = gemma.scale %y times 1.0 : tensor<?x48xf32>

// -----

// A block that is never reached may hold a value that depends on itself.
func.func @f(%h: tensor<?x48xf32>) -> tensor<?x48xf32> {
  return %h : tensor<?x48xf32>
^never:
  // expected-error @below {{failed to verify that it stands in a func.func of one block}}
  %x = gemma.scale %x times 1.0 : tensor<?x48xf32>
  llvm.br ^never
}
