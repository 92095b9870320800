// AudioConfig -> weights and @audio: a conformer over log-mel frames, or the
// projection of frames of samples. The order of the ops follows
// docs/model/audio.md#4 to #7. Must not know tensors' bytes, files or targets.
#include "compiler/importer/TowerBuilder.h"

using namespace mlir;

namespace gemmac {
namespace {

class AudioImporter : TowerBuilder {
public:
  AudioImporter(ModuleOp module, const ModelConfig &config)
      : TowerBuilder(module), config(config), a(*config.audio) {
    clipped = a.clipped;
  }

  void build() {
    if (a.tower)
      addTower();
    weight("audio.proj", "embed_audio.embedding_projection.weight",
           {config.hidden, a.output});
    Block *body =
        addSegment("audio", {rows(a.tower ? a.bins : a.output)}, {"features"});
    prefix = "audio.";
    Value x = body->getArgument(0);
    finish(a.tower ? tower(x) : x, "audio.proj", config.hidden, a.eps);
  }

private:
  void addTower();
  Value tower(Value x);
  Value layer(int64_t index, Value h);
  Value feedForward(const Twine &name, Value h);
  Value attention(Value h);
  Value convolution(Value h);

  const ModelConfig &config;
  const AudioConfig &a;
};

void AudioImporter::addTower() {
  const int64_t d = a.width;
  int64_t before = 1;
  for (int64_t i = 0; i < 2; ++i) {
    const std::string from =
        "audio_tower.subsample_conv_projection.layer" + std::to_string(i);
    weight("audio.conv" + Twine(i), from + ".conv.weight",
           {a.channels[i] * before * 9});
    weight("audio.conv" + Twine(i) + "_norm", from + ".norm.weight",
           {a.channels[i]});
    before = a.channels[i];
  }
  weight("audio.in",
         "audio_tower.subsample_conv_projection.input_proj_linear.weight",
         {d, a.bins / 4 * a.channels[1]});
  for (int64_t i = 0; i < a.layers; ++i) {
    enter("a", i, "audio_tower.layers.");
    for (int64_t n = 1; n <= 2; ++n) {
      const std::string ffn = "ffn" + std::to_string(n),
                        from = "feed_forward" + std::to_string(n);
      own(ffn + "_pre", from + ".pre_layer_norm.weight", {d});
      linearWeight(ffn + "_up", from + ".ffw_layer_1", {4 * d, d});
      linearWeight(ffn + "_down", from + ".ffw_layer_2", {d, 4 * d});
      own(ffn + "_post", from + ".post_layer_norm.weight", {d});
    }
    own("pre_attn", "norm_pre_attn.weight", {d});
    linearWeight("q", "self_attn.q_proj", {d, d});
    linearWeight("k", "self_attn.k_proj", {d, d});
    linearWeight("v", "self_attn.v_proj", {d, d});
    own("rel", "self_attn.relative_k_proj.weight", {d, d});
    own("per_dim_scale", "self_attn.per_dim_scale", {d / a.heads});
    linearWeight("o", "self_attn.post", {d, d});
    own("post_attn", "norm_post_attn.weight", {d});
    own("pre_conv", "lconv1d.pre_layer_norm.weight", {d});
    linearWeight("start", "lconv1d.linear_start", {2 * d, d});
    own("depthwise", "lconv1d.depthwise_conv1d.weight", {d * a.taps});
    own("conv_norm", "lconv1d.conv_norm.weight", {d});
    linearWeight("end", "lconv1d.linear_end", {d, d});
    own("out_norm", "norm_out.weight", {d});
  }
  weight("audio.out", "audio_tower.output_proj.weight", {a.output, d});
  weight("audio.out_bias", "audio_tower.output_proj.bias", {a.output});
}

// h + residual * norm(down(silu(up(norm(h)))))
Value AudioImporter::feedForward(const Twine &name, Value h) {
  Value x = norm(name + "_in", h, own(name + "_pre"), a.width, a.eps);
  x = clippedLinear(name + "_up", x, 4 * a.width);
  x = gemma::SiluOp::create(b, at(name + "_act"), x.getType(), x);
  x = clippedLinear(name + "_down", x, a.width);
  x = norm(name + "_norm", x, own(name + "_post"), a.width, a.eps);
  return add(name, h, scale(name + "_scaled", x, a.residual));
}

Value AudioImporter::attention(Value h) {
  Value x = norm("attn_in", h, own("pre_attn"), a.width, a.eps);
  Value q = clippedLinear("q", x, a.width), k = clippedLinear("k", x, a.width),
        v = clippedLinear("v", x, a.width);
  x = gemma::RelAttentionOp::create(
      b, at("attn_out"), q.getType(), q, k, v, own("rel"), own("per_dim_scale"),
      i64(a.width / a.heads), i64(a.window), f64(a.cap));
  x = clippedLinear("o", x, a.width);
  return add("attn", h, norm("attn_norm", x, own("post_attn"), a.width, a.eps));
}

Value AudioImporter::convolution(Value h) {
  Value x = norm("conv_in", h, own("pre_conv"), a.width, a.eps);
  x = clippedLinear("start", x, 2 * a.width);
  x = gemma::GluOp::create(b, at("glu"), h.getType(), x);
  x = gemma::DepthwiseConvOp::create(b, at("depthwise"), x.getType(), x,
                                     own("depthwise"));
  x = norm("conv_norm", x, own("conv_norm"), a.width, a.eps);
  x = gemma::SiluOp::create(b, at("conv_act"), x.getType(), x);
  return add("conv", h, clippedLinear("end", x, a.width));
}

Value AudioImporter::layer(int64_t index, Value h) {
  enter("a", index, "");
  h = feedForward("ffn2", convolution(attention(feedForward("ffn1", h))));
  return norm("out", h, own("out_norm"), a.width, a.eps);
}

Value AudioImporter::tower(Value x) {
  int64_t bins = a.bins;
  for (int64_t i = 0; i < 2; ++i, bins /= 2) {
    const std::string name = "conv" + std::to_string(i);
    x = gemma::Conv2dOp::create(b, at(name), rows(bins / 2 * a.channels[i]), x,
                                symbol("audio." + name), i64(bins));
    x = gemma::LayerNormOp::create(b, at(name + "_norm"), x.getType(), x,
                                   symbol("audio." + name + "_norm"), Symbol(),
                                   f64(a.eps), i64(a.channels[i]));
    x = gemma::ReluOp::create(b, at(name + "_act"), x.getType(), x);
  }
  x = linear("subsampled", x, symbol("audio.in"), a.width);
  for (int64_t i = 0; i < a.layers; ++i)
    x = layer(i, x);
  prefix = "audio.";
  return bias("tower", linear("out", x, symbol("audio.out"), a.output),
              symbol("audio.out_bias"));
}

} // namespace

void importAudio(ModuleOp module, const ModelConfig &config) {
  AudioImporter(module, config).build();
}

} // namespace gemmac
