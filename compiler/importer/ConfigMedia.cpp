// vision_config and audio_config -> VisionConfig and AudioConfig. What the two
// kinds of models (towers; products of pixels and samples) name differently is
// settled here. Must not know tensors or MLIR.
#include "compiler/importer/ConfigReader.h"

#include <nlohmann/json.hpp>

namespace gemmac {

// Fields that a released checkpoint has only this value of.
static void expectNumber(const Fields &fields, const NamedFile &file,
                         const char *key, double expected) {
  double got = fields.number(key, -1e30, 1e30, expected);
  if (got != expected)
    file.unsupported("{} expects {}, got {}", fields.called(key), expected,
                     got);
}

static void expectWord(const Fields &fields, const NamedFile &file,
                       const char *key, const char *expected) {
  std::string got = fields.string(key, std::string(expected));
  if (got != expected)
    file.unsupported("{} expects {}, got {}", fields.called(key),
                     gemmac::quoted(std::string(expected)),
                     gemmac::quoted(got));
}

void ConfigReader::readVision(const Json &object) {
  Fields fields(object, "vision_config.", file);
  VisionConfig vision;
  vision.tower = model.modelType != "gemma4_unified";
  vision.patch = fields.integer("patch_size", 1, 64, 16);
  vision.pool = fields.integer("pooling_kernel_size", 1, 8, 3);
  vision.eps = fields.number("rms_norm_eps", 1e-30, 1, 1e-6);
  if (!vision.tower) {
    vision.width = fields.integer("mm_embed_dim", 1, limits::width, 3840);
    vision.output =
        fields.integer("output_proj_dims", 1, limits::width, vision.width);
    vision.positions =
        fields.integer("mm_posemb_size", 1, limits::positions, 1120);
    vision.budget =
        fields.integer("default_output_length", 1, limits::budget, 280);
    model.vision = vision;
    return;
  }
  vision.width = fields.integer("hidden_size", 1, limits::width, 768);
  vision.output = vision.width;
  vision.ffn = fields.integer("intermediate_size", 1, limits::ffn, 3072);
  vision.layers = fields.integer("num_hidden_layers", 1, limits::layers, 16);
  vision.heads = fields.integer("num_attention_heads", 1, limits::heads, 12);
  vision.headDim = fields.integer("head_dim", 4, limits::headDim, 64);
  if (vision.headDim % 4)
    file.bad("{} expects a multiple of 4, got {}", fields.called("head_dim"),
             vision.headDim);
  if (int64_t kv =
          fields.integer("num_key_value_heads", 1, limits::heads, vision.heads);
      kv != vision.heads)
    file.unsupported("{} expects {} (num_attention_heads), got {}",
                     fields.called("num_key_value_heads"), vision.heads, kv);
  vision.positions =
      fields.integer("position_embedding_size", 1, limits::positions, 10240);
  vision.budget =
      fields.integer("default_output_length", 1, limits::budget, 280);
  vision.clipped = fields.boolean("use_clipped_linears", false);
  vision.standardized = fields.boolean("standardize", false);
  expectWord(fields, file, "hidden_activation", "gelu_pytorch_tanh");
  if (fields.boolean("attention_bias", false))
    file.unsupported("{} expects false, got true",
                     fields.called("attention_bias"));
  if (const Json *rope = fields.child("rope_parameters"))
    vision.theta = Fields(*rope, "vision_config.rope_parameters.", file)
                       .number("rope_theta", 1e-3, 1e12, 100.0);
  model.vision = vision;
}

void ConfigReader::readAudio(const Json &object) {
  Fields fields(object, "audio_config.", file);
  AudioConfig audio;
  audio.tower = model.modelType != "gemma4_unified";
  audio.eps = fields.number("rms_norm_eps", 1e-30, 1, 1e-6);
  if (!audio.tower) {
    audio.output = fields.integer("audio_embed_dim", 1, limits::width, 640);
    model.audio = audio;
    return;
  }
  audio.width = fields.integer("hidden_size", 1, limits::width, 1024);
  audio.layers = fields.integer("num_hidden_layers", 1, limits::layers, 12);
  audio.heads = fields.integer("num_attention_heads", 1, limits::heads, 8);
  audio.output = fields.integer("output_proj_dims", 1, limits::width, 1536);
  if (audio.width % (2 * audio.heads))
    file.bad("{} expects a multiple of twice num_attention_heads ({}), got {}",
             fields.called("hidden_size"), audio.heads, audio.width);
  std::vector<int64_t> channels =
      fields.integers("subsampling_conv_channels", 1, limits::channels)
          .value_or(std::vector<int64_t>{128, 32});
  if (channels.size() != 2)
    file.bad("{} expects two numbers, got {}",
             fields.called("subsampling_conv_channels"), channels.size());
  std::copy(channels.begin(), channels.end(), audio.channels);
  audio.taps = fields.integer("conv_kernel_size", 1, 64, 5);
  // A row sees the chunk's past and itself; the one further back that the
  // reference has a position for is never visible.
  audio.window = fields.integer("attention_context_left", 2, 64, 13) - 1;
  audio.cap = fields.number("attention_logit_cap", 1e-3, 1e6, 50.0);
  audio.residual = fields.number("residual_weight", 1e-6, 1e6, 0.5);
  audio.clipped = fields.boolean("use_clipped_linears", true);
  expectNumber(fields, file, "attention_context_right", 0);
  expectWord(fields, file, "hidden_act", "silu");
  model.audio = audio;
}

// Tokens are named by what the released files write and what attributes of
// transformers are called.
void ConfigReader::readTokens(const Fields &top) {
  auto id = [&](std::initializer_list<const char *> keys) -> int64_t {
    for (const char *key : keys)
      if (top.has(key))
        return top.integer(key, 0, limits::vocab);
    return -1;
  };
  if (model.vision) {
    model.imageTokens = {id({"boi_token_id", "boi_token_index"}),
                         id({"image_token_id", "image_token_index"}),
                         id({"eoi_token_id", "eoi_token_index"})};
    model.filmToken = id({"video_token_id", "video_token_index"});
  }
  if (model.audio)
    model.audioTokens = {id({"boa_token_id", "boa_token_index"}),
                         id({"audio_token_id", "audio_token_index"}),
                         id({"eoa_token_id", "eoa_token_index"})};
}

void ConfigReader::readMedia(const Fields &top) {
  if (const Json *vision = top.child("vision_config"))
    wanted.vision ? readVision(*vision)
                  : void(model.noVision = wanted.whyNotVision);
  if (const Json *audio = top.child("audio_config"))
    wanted.audio ? readAudio(*audio) : void(model.noAudio = wanted.whyNotAudio);
  readTokens(top);
}

} // namespace gemmac
