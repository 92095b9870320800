// A model of three layers as the stage optimize leaves it: layer 0 owns a
// sliding cache, layer 1 (the cut) a global one, layer 2 reads the cache of
// layer 0. Per-layer embeddings in all of them. Input of several tests.

gemma.weight @embed from "embed_tokens.weight" : tensor<320x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @ple_table from "embed_tokens_per_layer.weight" : tensor<320x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @ple_proj from "per_layer_model_projection.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @ple_norm from "per_layer_projection_norm.weight" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @norm from "norm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.in_norm from "layers.0.input_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.q from "layers.0.self_attn.q_proj.weight" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.q_norm from "layers.0.self_attn.q_norm.weight" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @l0.k from "layers.0.self_attn.k_proj.weight" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.v from "layers.0.self_attn.v_proj.weight" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.k_norm from "layers.0.self_attn.k_norm.weight" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @l0.o from "layers.0.self_attn.o_proj.weight" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.post_attn from "layers.0.post_attention_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.pre_ffw from "layers.0.pre_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.gate from "layers.0.mlp.gate_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.up from "layers.0.mlp.up_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.down from "layers.0.mlp.down_proj.weight" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.post_ffw from "layers.0.post_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.plg from "layers.0.per_layer_input_gate.weight" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.plp from "layers.0.per_layer_projection.weight" : tensor<64x32xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.post_ple from "layers.0.post_per_layer_input_norm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.scalar from "layers.0.layer_scalar" : tensor<1xf32> {act = "f32", format = "f32"}
gemma.weight @l1.in_norm from "layers.1.input_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l1.q from "layers.1.self_attn.q_proj.weight" : tensor<128x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.q_norm from "layers.1.self_attn.q_norm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l1.k from "layers.1.self_attn.k_proj.weight" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.v from "layers.1.self_attn.v_proj.weight" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.k_norm from "layers.1.self_attn.k_norm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l1.o from "layers.1.self_attn.o_proj.weight" : tensor<64x128xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.post_attn from "layers.1.post_attention_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l1.pre_ffw from "layers.1.pre_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l1.gate from "layers.1.mlp.gate_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.up from "layers.1.mlp.up_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.down from "layers.1.mlp.down_proj.weight" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.post_ffw from "layers.1.post_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l1.plg from "layers.1.per_layer_input_gate.weight" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.plp from "layers.1.per_layer_projection.weight" : tensor<64x32xf32> {act = "bf16", format = "bf16"}
gemma.weight @l1.post_ple from "layers.1.post_per_layer_input_norm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l1.scalar from "layers.1.layer_scalar" : tensor<1xf32> {act = "f32", format = "f32"}
gemma.weight @l2.in_norm from "layers.2.input_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l2.q from "layers.2.self_attn.q_proj.weight" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l2.q_norm from "layers.2.self_attn.q_norm.weight" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @l2.o from "layers.2.self_attn.o_proj.weight" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l2.post_attn from "layers.2.post_attention_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l2.pre_ffw from "layers.2.pre_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l2.gate from "layers.2.mlp.gate_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l2.up from "layers.2.mlp.up_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l2.down from "layers.2.mlp.down_proj.weight" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @l2.post_ffw from "layers.2.post_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l2.plg from "layers.2.per_layer_input_gate.weight" : tensor<32x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l2.plp from "layers.2.per_layer_projection.weight" : tensor<64x32xf32> {act = "bf16", format = "bf16"}
gemma.weight @l2.post_ple from "layers.2.post_per_layer_input_norm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l2.scalar from "layers.2.layer_scalar" : tensor<1xf32> {act = "f32", format = "f32"}
gemma.cache @kv0 heads 1 dim 32 window 16 {format = "bf16"}
gemma.cache @kv1 heads 1 dim 64 window 0 {format = "bf16"}

func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"},
    %rope_local: tensor<?x16x2xf32> {gemma.arg = "rope_local"}, %rope_global: tensor<?x8x2xf32> {gemma.arg = "rope_global"})
    -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h0 = gemma.embed %ids, @embed scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  %ple = gemma.ple_inputs %ids, %h0 table(@ple_table) proj(@ple_proj) norm(@ple_norm) layers [0, 1] width 32 token_scale 5.65685424949238 context_scale 1.0 scale 0.7071067811865476 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x32xf32>
  gemma.kv_block %h0 at (%slot, %pos), %rope_local norm(@l0.in_norm) k(@l0.k) v(@l0.v) k_norm(@l0.k_norm) cache(@kv0) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  %h1 = gemma.attention_block %h0 at (%slot, %pos), %rope_local norm(@l0.in_norm) q(@l0.q) q_norm(@l0.q_norm) o(@l0.o) post(@l0.post_attn) cache(@kv0) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  %h2 = gemma.ffn_block %h1 pre(@l0.pre_ffw) gate(@l0.gate) up(@l0.up) down(@l0.down) post(@l0.post_ffw) eps 1.0e-06 : tensor<?x64xf32>
  %h3 = gemma.ple_block %h2, %ple gate(@l0.plg) proj(@l0.plp) post(@l0.post_ple) scale(@l0.scalar) eps 1.0e-06 : tensor<?x64xf32>, tensor<?x32xf32>
  gemma.kv_block %h3 at (%slot, %pos), %rope_global norm(@l1.in_norm) k(@l1.k) v(@l1.v) k_norm(@l1.k_norm) cache(@kv1) pairs 8 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  return %h3 : tensor<?x64xf32>
}

func.func @tail(%resid: tensor<?x64xf32> {gemma.arg = "resid"}, %want: tensor<?xi32> {gemma.arg = "want"},
    %ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"},
    %rope_local: tensor<?x16x2xf32> {gemma.arg = "rope_local"}, %rope_global: tensor<?x8x2xf32> {gemma.arg = "rope_global"})
    -> tensor<?x64xf32> attributes {gemma.segment = "tail"} {
  %h3 = gemma.take %resid, %want : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %h0 = gemma.embed %ids, @embed scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  %ple = gemma.ple_inputs %ids, %h0 table(@ple_table) proj(@ple_proj) norm(@ple_norm) layers [1, 3] width 32 token_scale 5.65685424949238 context_scale 1.0 scale 0.7071067811865476 eps 1.0e-06 : tensor<?xi32>, tensor<?x64xf32> -> tensor<?x64xf32>
  %h4 = gemma.attention_block %h3 at (%slot, %pos), %rope_global norm(@l1.in_norm) q(@l1.q) q_norm(@l1.q_norm) o(@l1.o) post(@l1.post_attn) cache(@kv1) pairs 8 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x8x2xf32>
  %h5 = gemma.ffn_block %h4 pre(@l1.pre_ffw) gate(@l1.gate) up(@l1.up) down(@l1.down) post(@l1.post_ffw) eps 1.0e-06 : tensor<?x64xf32>
  %p1 = gemma.columns %ple [0, 32] : tensor<?x64xf32> -> tensor<?x32xf32>
  %h6 = gemma.ple_block %h5, %p1 gate(@l1.plg) proj(@l1.plp) post(@l1.post_ple) scale(@l1.scalar) eps 1.0e-06 : tensor<?x64xf32>, tensor<?x32xf32>
  %h7 = gemma.attention_block %h6 at (%slot, %pos), %rope_local norm(@l2.in_norm) q(@l2.q) q_norm(@l2.q_norm) o(@l2.o) post(@l2.post_attn) cache(@kv0) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  %h8 = gemma.ffn_block %h7 pre(@l2.pre_ffw) gate(@l2.gate) up(@l2.up) down(@l2.down) post(@l2.post_ffw) eps 1.0e-06 : tensor<?x64xf32>
  %p2 = gemma.columns %ple [32, 64] : tensor<?x64xf32> -> tensor<?x32xf32>
  %h9 = gemma.ple_block %h8, %p2 gate(@l2.plg) proj(@l2.plp) post(@l2.post_ple) scale(@l2.scalar) eps 1.0e-06 : tensor<?x64xf32>, tensor<?x32xf32>
  %hidden = gemma.rms_norm %h9 weight @norm size 64 eps 1.0e-06 : tensor<?x64xf32>
  return %hidden : tensor<?x64xf32>
}

func.func @top(%hidden: tensor<?x64xf32> {gemma.arg = "hidden"}, %mask: tensor<?x10xi32> {gemma.arg = "mask"})
    -> (tensor<?x64xi32>, tensor<?x64xf32>) attributes {gemma.segment = "top"} {
  %ids, %values = gemma.top %hidden, @embed mask(%mask : tensor<?x10xi32>) cap 30.0 count 64 : tensor<?x64xf32> -> tensor<?x64xi32>, tensor<?x64xf32>
  return %ids, %values : tensor<?x64xi32>, tensor<?x64xf32>
}

func.func @logits(%hidden: tensor<?x64xf32> {gemma.arg = "hidden"}) -> tensor<?x320xf32> attributes {gemma.segment = "logits"} {
  %l = gemma.logits %hidden, @embed : tensor<?x64xf32> -> tensor<?x320xf32>
  %y = gemma.softcap %l cap 30.0 : tensor<?x320xf32>
  return %y : tensor<?x320xf32>
}
