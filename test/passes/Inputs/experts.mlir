// One layer with keys as values (no v) and experts beside the dense MLP, as the
// stage optimize leaves it. Input of several tests.

gemma.weight @embed from "embed_tokens.weight" : tensor<320x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @norm from "norm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.in_norm from "layers.0.input_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.q from "layers.0.self_attn.q_proj.weight" : tensor<128x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.q_norm from "layers.0.self_attn.q_norm.weight" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @l0.k from "layers.0.self_attn.k_proj.weight" : tensor<64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.k_norm from "layers.0.self_attn.k_norm.weight" : tensor<32xf32> {act = "f32", format = "f32"}
gemma.weight @l0.o from "layers.0.self_attn.o_proj.weight" : tensor<64x128xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.post_attn from "layers.0.post_attention_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.pre_ffw from "layers.0.pre_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.post_ffw1 from "layers.0.post_feedforward_layernorm_1.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.pre_ffw2 from "layers.0.pre_feedforward_layernorm_2.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.post_ffw2 from "layers.0.post_feedforward_layernorm_2.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.post_ffw from "layers.0.post_feedforward_layernorm.weight" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.gate from "layers.0.mlp.gate_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.up from "layers.0.mlp.up_proj.weight" : tensor<96x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.down from "layers.0.mlp.down_proj.weight" : tensor<64x96xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.router from "layers.0.router.proj.weight" : tensor<8x64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.router_scale from "layers.0.router.scale" : tensor<64xf32> {act = "f32", format = "f32"}
gemma.weight @l0.per_expert from "layers.0.router.per_expert_scale" : tensor<8xf32> {act = "f32", format = "f32"}
gemma.weight @l0.gate_up from "layers.0.experts.gate_up_proj" : tensor<8x64x64xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.experts_down from "layers.0.experts.down_proj" : tensor<8x64x32xf32> {act = "bf16", format = "bf16"}
gemma.weight @l0.scalar from "layers.0.layer_scalar" : tensor<1xf32> {act = "f32", format = "f32"}
gemma.cache @kv0 heads 2 dim 32 window 0 {format = "bf16"}

func.func @body(%ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"},
    %rope_local: tensor<?x16x2xf32> {gemma.arg = "rope_local"}, %rope_global: tensor<?x16x2xf32> {gemma.arg = "rope_global"})
    -> tensor<?x64xf32> attributes {gemma.segment = "body"} {
  %h0 = gemma.embed %ids, @embed scale 8.0 : tensor<?xi32> -> tensor<?x64xf32>
  gemma.kv_block %h0 at (%slot, %pos), %rope_global norm(@l0.in_norm) k(@l0.k) k_norm(@l0.k_norm) cache(@kv0) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  %h1 = gemma.attention_block %h0 at (%slot, %pos), %rope_global norm(@l0.in_norm) q(@l0.q) q_norm(@l0.q_norm) o(@l0.o) post(@l0.post_attn) cache(@kv0) pairs 16 eps 1.0e-06 : tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?x16x2xf32>
  %h2 = gemma.moe_block %h1 pre(@l0.pre_ffw) gate(@l0.gate) up(@l0.up) down(@l0.down) post_dense(@l0.post_ffw1) router(@l0.router) router_scale(@l0.router_scale) pre_experts(@l0.pre_ffw2) gate_up(@l0.gate_up) experts_down(@l0.experts_down) per_expert(@l0.per_expert) post_experts(@l0.post_ffw2) post(@l0.post_ffw) scale(@l0.scalar) top 2 factor 0.125 eps 1.0e-06 : tensor<?x64xf32>
  return %h2 : tensor<?x64xf32>
}

func.func @tail(%resid: tensor<?x64xf32> {gemma.arg = "resid"}, %want: tensor<?xi32> {gemma.arg = "want"},
    %ids: tensor<?xi32> {gemma.arg = "ids"}, %slot: tensor<?xi32> {gemma.arg = "slot"}, %pos: tensor<?xi32> {gemma.arg = "pos"},
    %rope_local: tensor<?x16x2xf32> {gemma.arg = "rope_local"}, %rope_global: tensor<?x16x2xf32> {gemma.arg = "rope_global"})
    -> tensor<?x64xf32> attributes {gemma.segment = "tail"} {
  %h = gemma.take %resid, %want : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %hidden = gemma.rms_norm %h weight @norm size 64 eps 1.0e-06 : tensor<?x64xf32>
  return %hidden : tensor<?x64xf32>
}
