// Vision and audio towers of checkpoints: names, shapes and forms of mmproj
// files, what their metadata and tensors make of the five real sizes, what is
// refused; tokens, budgets and absent towers of folders.
#include "compiler/importer/GgufTowers.h"

#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/TensorNames.h"
#include "test/compiler/importer/GgufBuilder.h"
#include "test/compiler/importer/TestFiles.h"

#include <fmt/ranges.h>
#include <functional>
#include <nlohmann/json.hpp>

using namespace gemmac;
using namespace gemmac::test;

namespace {

//===-- names -------------------------------------------------------------===//

struct Renamed {
  const char *gguf, *canonical;
  bool unified = false;
};
const Renamed names[] = {
    {"v.patch_embd.weight", "vision_tower.patch_embedder.input_proj.weight"},
    {"v.position_embd.weight",
     "vision_tower.patch_embedder.position_embedding_table"},
    {"v.std_scale", "vision_tower.std_scale"},
    {"v.blk.15.ln1.weight",
     "vision_tower.encoder.layers.15.input_layernorm.weight"},
    {"v.blk.0.ln2.weight",
     "vision_tower.encoder.layers.0.pre_feedforward_layernorm.weight"},
    {"v.blk.0.attn_out.weight",
     "vision_tower.encoder.layers.0.self_attn.o_proj.linear.weight"},
    {"v.blk.0.attn_out.input_min",
     "vision_tower.encoder.layers.0.self_attn.o_proj.input_min"},
    {"v.blk.0.attn_q_norm.weight",
     "vision_tower.encoder.layers.0.self_attn.q_norm.weight"},
    {"mm.input_projection.weight", "embed_vision.embedding_projection.weight"},
    {"mm.a.input_projection.weight", "embed_audio.embedding_projection.weight"},
    {"a.conv1d.1.norm.weight",
     "audio_tower.subsample_conv_projection.layer1.norm.weight"},
    {"a.pre_encode.out.bias", "audio_tower.output_proj.bias"},
    // The pair whose names are exchanged.
    {"a.blk.3.conv_norm.weight",
     "audio_tower.layers.3.lconv1d.pre_layer_norm.weight"},
    {"a.blk.3.norm_conv.weight",
     "audio_tower.layers.3.lconv1d.conv_norm.weight"},
    {"a.blk.3.conv_pw1.output_max",
     "audio_tower.layers.3.lconv1d.linear_start.output_max"},
    {"a.blk.3.ffn_up.weight",
     "audio_tower.layers.3.feed_forward1.ffw_layer_1.linear.weight"},
    {"a.blk.3.ffn_norm_1.weight",
     "audio_tower.layers.3.feed_forward2.pre_layer_norm.weight"},
    {"a.blk.3.ffn_down_1.weight",
     "audio_tower.layers.3.feed_forward2.ffw_layer_2.linear.weight"},
    {"a.blk.3.attn_k_rel.weight",
     "audio_tower.layers.3.self_attn.relative_k_proj.weight"},
    {"a.blk.3.per_dim_scale.weight",
     "audio_tower.layers.3.self_attn.per_dim_scale"},
    {"a.blk.3.ln2.weight", "audio_tower.layers.3.norm_out.weight"},
    {"v.patch_embd.weight", "vision_embedder.patch_dense.weight", true},
    {"v.patch_embd.bias", "vision_embedder.patch_dense.bias", true},
    {"v.patch_norm.1.bias", "vision_embedder.patch_ln1.bias", true},
    {"v.patch_norm.3.weight", "vision_embedder.pos_norm.weight", true},
    {"v.position_embd.weight", "vision_embedder.pos_embedding", true},
    {"mm.input_projection.weight", "embed_vision.embedding_projection.weight",
     true},
};

TEST(TowerNames, BothWays) {
  for (const Renamed &name : names) {
    EXPECT_EQ(towerTensor(name.gguf, {4}, name.unified).name, name.canonical);
    EXPECT_EQ(ggufTowerName(name.canonical), name.gguf);
    EXPECT_EQ(ggufFromCanonical(name.canonical), name.gguf);
  }
}

// They belong to their tower, but are none of the tensors that it has.
TEST(TowerNames, UnknownOnes) {
  const std::pair<const char *, const char *> unknown[] = {
      {"v.blk.0.attn_q", "vision_tower"},
      {"v.blk.x.ln1.weight", "vision_tower"},
      {"v.blk.0.ln1.weight.more", "vision_tower"},
      {"v.encoder.layers.0.input_layernorm.weight", "vision_tower"},
      {"a.blk.0.ln1.weight", "audio_tower"},
      {"mm.0.weight", "embed_vision"},
      {"mm.a.mlp.1.weight", "embed_audio"}};
  for (auto [name, tower] : unknown) {
    std::string canonical = towerTensor(name, {4}, false).name;
    if (std::string_view(name) != "v.blk.0.attn_q")
      EXPECT_NE(canonical.find(".gguf."), std::string::npos) << canonical;
    EXPECT_STREQ(towerOf(canonical), tower);
  }
  EXPECT_EQ(towerTensor("blk.0.attn_q.weight", {4}, false).name,
            "blk.0.attn_q.weight");
}

TEST(TowerNames, Forms) {
  TowerTensor t = towerTensor("v.patch_embd.weight", {768, 3, 16, 16}, false);
  EXPECT_EQ(t.shape, (std::vector<int64_t>{768, 768}));
  EXPECT_EQ(t.form, (StoredForm{.planes = 3}));
  t = towerTensor("v.patch_norm.1.weight", {6912}, true);
  EXPECT_EQ(t.form, (StoredForm{.planes = 3}));
  t = towerTensor("v.patch_embd.bias", {3840}, true);
  EXPECT_TRUE(t.form.isPlain());
  t = towerTensor("v.position_embd.weight", {2, 1120, 3840}, true);
  EXPECT_EQ(t.shape, (std::vector<int64_t>{1120, 2, 3840}));
  EXPECT_EQ(t.form, (StoredForm{.exchanged = true}));
  t = towerTensor("v.position_embd.weight", {2, 10240, 768}, false);
  EXPECT_EQ(t.shape, (std::vector<int64_t>{2, 10240, 768}));
  EXPECT_TRUE(t.form.isPlain());
  t = towerTensor("a.blk.0.conv_dw.weight", {1024, 5}, false);
  EXPECT_EQ(t.shape, (std::vector<int64_t>{1024, 1, 5}));
  t = towerTensor("a.blk.0.per_dim_scale.weight", {128}, false);
  EXPECT_EQ(t.form, (StoredForm{.softplus = true}));
}

//===-- what files of real models say
//--------------------------------------===//

struct File {
  Json data = {{"general.architecture", "clip"}, {"general.type", "mmproj"}};
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors;

  void drop(const std::string &name) {
    std::erase_if(tensors, [&](auto &t) { return t.first == name; });
  }
  std::vector<int64_t> &shape(const std::string &name) {
    for (auto &[n, shape] : tensors)
      if (n == name)
        return shape;
    return tensors.emplace_back(name, std::vector<int64_t>()).second;
  }

  void tower(int64_t d, int64_t ffn, int64_t layers, int64_t heads, int64_t dim,
             bool small, int64_t hidden) {
    data.update({{"clip.has_vision_encoder", true},
                 {"clip.vision.projector_type", "gemma4v"},
                 {"clip.vision.projection_dim", hidden},
                 {"clip.vision.image_size", 224},
                 {"clip.vision.patch_size", 16},
                 {"clip.vision.embedding_length", d},
                 {"clip.vision.feed_forward_length", ffn},
                 {"clip.vision.block_count", layers},
                 {"clip.vision.attention.head_count", heads},
                 {"clip.vision.attention.layer_norm_epsilon", 1e-6}});
    shape("v.patch_embd.weight") = {d, 3, 16, 16};
    shape("v.position_embd.weight") = {2, 10240, d};
    shape("v.blk.0.attn_q_norm.weight") = {dim};
    shape("mm.input_projection.weight") = {hidden, d};
    for (const char *name : {"v.std_bias", "v.std_scale"})
      if (!small)
        shape(name) = {d};
    if (small)
      shape("v.blk.0.attn_q.input_min") = {1};
  }
  void conformer(int64_t hidden) {
    data.update({{"clip.has_audio_encoder", true},
                 {"clip.audio.projector_type", "gemma4a"},
                 {"clip.audio.projection_dim", hidden},
                 {"clip.audio.embedding_length", 1024},
                 {"clip.audio.feed_forward_length", 4096},
                 {"clip.audio.block_count", 12},
                 {"clip.audio.attention.head_count", 8},
                 {"clip.audio.attention.layer_norm_epsilon", 1e-5},
                 {"clip.audio.num_mel_bins", 128}});
    shape("a.conv1d.0.weight") = {128, 1, 3, 3};
    shape("a.conv1d.1.weight") = {32, 128, 3, 3};
    shape("a.blk.0.conv_dw.weight") = {1024, 5};
    shape("a.blk.0.ffn_up.input_min") = {1};
    shape("a.pre_encode.out.weight") = {1536, 1024};
    shape("mm.a.input_projection.weight") = {hidden, 1536};
  }
  void cells() {
    data.update({{"clip.has_vision_encoder", true},
                 {"clip.has_audio_encoder", true},
                 {"clip.vision.projector_type", "gemma4uv"},
                 {"clip.audio.projector_type", "gemma4ua"},
                 {"clip.vision.projection_dim", 3840},
                 {"clip.vision.patch_size", 16},
                 {"clip.vision.embedding_length", 3840},
                 {"clip.vision.block_count", 0},
                 {"clip.audio.embedding_length", 640},
                 {"clip.audio.num_mel_bins", 128}});
    shape("v.patch_embd.weight") = {3840, 6912};
    shape("v.position_embd.weight") = {2, 1120, 3840};
    shape("mm.input_projection.weight") = {3840, 3840};
    shape("mm.a.input_projection.weight") = {3840, 640};
  }

  Result<Towers> read(const std::string &model) const {
    std::vector<std::string> warnings;
    ModelConfig text =
        *readModelConfig(source("test/Inputs/configs/" + model), warnings);
    GgufHeader header;
    header.metadata = std::make_shared<const Json>(data);
    for (const auto &[name, shape] : tensors)
      header.tensors.push_back({name, findGgufTensorType(0), shape});
    return reading("mmproj.gguf", [&] {
      return readTowers(header, NamedFile{"mmproj.gguf"}, text, "model.gguf");
    });
  }
};

void compare(const Towers &got, const std::string &model) {
  std::vector<std::string> warnings;
  ModelConfig config =
      *readModelConfig(source("test/Inputs/configs/" + model), warnings);
  SCOPED_TRACE(model);
  ASSERT_EQ(got.vision.has_value(), config.vision.has_value());
  ASSERT_EQ(got.audio.has_value(), config.audio.has_value());
  if (const auto &v = got.vision) {
    const VisionConfig &e = *config.vision;
    EXPECT_EQ(v->tower, e.tower);
    EXPECT_EQ(v->patch, e.patch);
    EXPECT_EQ(v->pool, e.pool);
    EXPECT_EQ(v->width, e.width);
    EXPECT_EQ(v->output, e.output);
    EXPECT_EQ(v->positions, e.positions);
    EXPECT_EQ(v->budget, e.budget);
    EXPECT_EQ(v->eps, e.eps);
    EXPECT_EQ(v->layers, e.layers);
    EXPECT_EQ(v->heads, e.heads);
    EXPECT_EQ(v->headDim, e.headDim);
    EXPECT_EQ(v->ffn, e.ffn);
    EXPECT_EQ(v->clipped, e.clipped);
    EXPECT_EQ(v->standardized, e.standardized);
    EXPECT_EQ(v->theta, e.theta);
  }
  if (const auto &a = got.audio) {
    const AudioConfig &e = *config.audio;
    EXPECT_EQ(a->tower, e.tower);
    EXPECT_EQ(a->output, e.output);
    EXPECT_EQ(a->eps, e.eps);
    EXPECT_EQ(a->width, e.width);
    EXPECT_EQ(a->layers, e.layers);
    EXPECT_EQ(a->heads, e.heads);
    EXPECT_EQ(a->channels[0], e.channels[0]);
    EXPECT_EQ(a->channels[1], e.channels[1]);
    EXPECT_EQ(a->bins, e.bins);
    EXPECT_EQ(a->taps, e.taps);
    EXPECT_EQ(a->window, e.window);
    EXPECT_EQ(a->cap, e.cap);
    EXPECT_EQ(a->residual, e.residual);
    EXPECT_EQ(a->clipped, e.clipped);
  }
}

// The files of the released models say what their config.json does.
TEST(Towers, RealSizes) {
  const std::pair<const char *, int64_t> hidden[] = {
      {"E2B", 1536}, {"E4B", 2560}, {"26B-A4B", 2816}, {"31B", 5376}};
  for (auto [model, width] : hidden) {
    File file;
    if (model[0] == 'E') {
      file.tower(768, 3072, 16, 12, 64, true, width);
      file.conformer(width);
    } else {
      file.tower(1152, 4304, 27, 16, 72, false, width);
    }
    Result<Towers> towers = file.read(model);
    ASSERT_TRUE(towers) << towers.error().message;
    EXPECT_FALSE(towers->unified);
    compare(*towers, model);
  }
  File file;
  file.cells();
  Result<Towers> towers = file.read("12B");
  ASSERT_TRUE(towers) << towers.error().message;
  EXPECT_TRUE(towers->unified);
  compare(*towers, "12B");
}

TEST(Towers, OlderProjectorType) {
  File file;
  file.tower(768, 3072, 16, 12, 64, true, 1536);
  file.data.erase("clip.vision.projector_type");
  file.data["clip.projector_type"] = "gemma4v";
  Result<Towers> towers = file.read("E2B");
  ASSERT_TRUE(towers) << towers.error().message;
  EXPECT_TRUE(towers->vision && !towers->audio);
}

struct Case {
  std::function<void(File &)> change;
  int code;
  std::vector<const char *> words;
  const char *model = "E2B";
};

void refuse(const std::vector<Case> &cases, const File &right) {
  for (const Case &c : cases) {
    File file = right;
    c.change(file);
    Result<Towers> towers = file.read(c.model);
    ASSERT_FALSE(towers) << c.words[0];
    EXPECT_EQ(int(towers.error().code), c.code) << towers.error().message;
    for (const char *word : c.words)
      EXPECT_TRUE(has(towers.error().message, {word}));
  }
}

TEST(Towers, Refuses) {
  File right;
  right.tower(768, 3072, 16, 12, 64, true, 1536);
  right.conformer(1536);
  ASSERT_TRUE(right.read("E2B"));
  auto set = [](const char *key, Json value) {
    return [=](File &file) { file.data[key] = value; };
  };
  auto erase = [](const char *key) {
    return [=](File &file) { file.data.erase(key); };
  };
  auto shape = [](const char *name, std::vector<int64_t> shape) {
    return [=](File &file) { file.shape(name) = shape; };
  };
  auto drop = [](const char *name) {
    return [=](File &file) { file.drop(name); };
  };
  refuse(
      {
          {set("general.architecture", "gemma4"), 3, {"mmproj", "\"gemma4\""}},
          {set("clip.vision.projector_type", "gemma3"),
           4,
           {"clip.vision.projector_type \"gemma3\"", "gemma4v and gemma4uv"}},
          {set("clip.audio.projector_type", "ultravox"),
           4,
           {"clip.audio.projector_type \"ultravox\"", "gemma4a and gemma4ua"}},
          {erase("clip.vision.projector_type"),
           3,
           {"clip.vision.projector_type is missing"}},
          {[](File &file) {
             file.data.erase("clip.vision.projector_type");
             file.data["clip.projector_type"] = "qwen2vl_merger";
           },
           4,
           {"clip.projector_type \"qwen2vl_merger\""}},
          {[](File &file) {
             file.data.erase("clip.has_vision_encoder");
             file.data["clip.has_audio_encoder"] = false;
           },
           3,
           {"clip.has_vision_encoder", "clip.has_audio_encoder", "true"}},
          {set("clip.has_vision_encoder", 1), 3, {"true or false"}},
          {set("clip.audio.projector_type", "gemma4ua"),
           3,
           {"projectors of one model, got gemma4v and gemma4ua"}},
          {[](File &) {},
           3,
           {"width of 1536", "'model.gguf' (E4B) is 2560 wide"},
           "E4B"},
          {[](File &) {}, 3, {"gemma4v", "'model.gguf'", "12B"}, "12B"},
          {set("clip.vision.projection_dim", 1537),
           3,
           {"clip.vision.projection_dim", "1537"}},
          {shape("mm.input_projection.weight", {1536}),
           3,
           {"mm.input_projection.weight", "2 dimensions", "[1536]"}},
          {drop("mm.a.input_projection.weight"),
           3,
           {"mm.a.input_projection.weight", "missing"}},
          {shape("v.blk.0.attn_q_norm.weight", {66}),
           3,
           {"attn_q_norm", "multiple of 4", "66"}},
          {shape("v.blk.0.attn_q_norm.weight", {8192}),
           3,
           {"attn_q_norm", "at most 4096"}},
          {shape("v.patch_embd.weight", {768, 768}),
           3,
           {"v.patch_embd.weight", "4 dimensions"}},
          {shape("v.patch_embd.weight", {768, 3, 14, 14}),
           3,
           {"v.patch_embd.weight", "[768, 3, 16, 16]", "[768, 3, 14, 14]"}},
          {set("clip.vision.block_count", 0), 3, {"block_count", "1 to 1024"}},
          {set("clip.audio.num_mel_bins", 80), 4, {"num_mel_bins", "128"}},
          {set("clip.audio.feed_forward_length", 2048), 4, {"4096", "2048"}},
          {set("clip.audio.attention.head_count", 7),
           3,
           {"clip.audio.embedding_length", "twice", "1024"}},
          {shape("a.blk.0.conv_dw.weight", {1024, 65}), 3, {"conv_dw", "65"}},
          {shape("v.clamp_data", {448}), 4, {"v.clamp_data", "ollama"}},
          {shape("mm.a.fc.weight", {1536, 1024}), 4, {"mm.a.fc", "ollama"}},
      },
      right);
  File cells;
  cells.cells();
  refuse(
      {{[](File &) {}, 3, {"gemma4uv", "12B", "E2B"}, "E2B"},
       {[](File &) {}, 3, {"gemma4uv", "with experts"}, "26B-A4B"},
       {[](File &) {}, 3, {"3840", "'model.gguf' (31B) is 5376 wide"}, "31B"}},
      cells);
}

// A file that is refused changes nothing of the model.
TEST(Towers, AddedToAModel) {
  TemporaryFolder folder;
  GgufBuilder text;
  writeText(folder.file("m.gguf"), text.file());
  GgufBuilder b;
  b.entries.clear();
  b.tensors.clear();
  b.string("general.architecture", "clip");
  b.raw("clip.has_audio_encoder", bits(7, 4) + bits(1, 1));
  b.string("clip.audio.projector_type", "gemma4ua");
  b.add("mm.a.input_projection.weight", {24, 32});
  writeText(folder.file("t.gguf"), b.file());
  b.tensors[0].ne = {24, 33};
  b.tensors[0].bytes = 24 * 33 * 4;
  writeText(folder.file("other.gguf"), b.file());
  b.u32("split.count", 2);
  b.tensors[0].ne = {24, 32};
  b.tensors[0].bytes = 24 * 32 * 4;
  writeText(folder.file("part.gguf"), b.file());

  auto model = GgufModel::open(folder.file("m.gguf"));
  ASSERT_TRUE(model) << model.error().message;
  std::vector<std::string> warnings;
  ModelConfig config = *readGgufConfig(**model, warnings);
  const size_t before = (*model)->tensors().size();
  for (auto [name, code] :
       {std::pair{"none.gguf", 3}, std::pair{"m.gguf", 3},
        std::pair{"other.gguf", 3}, std::pair{"part.gguf", 4}}) {
    Status done = (*model)->addTowers(folder.file(name), config);
    ASSERT_FALSE(done) << name;
    EXPECT_EQ(int(done.error().code), code) << done.error().message;
    EXPECT_TRUE(has(done.error().message, {name}));
    EXPECT_EQ((*model)->tensors().size(), before);
    EXPECT_FALSE(config.vision || config.audio);
  }
  Status done = (*model)->addTowers(folder.file("t.gguf"), config);
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_TRUE(config.audio);
  EXPECT_EQ(config.audio->output, 24);
  EXPECT_FALSE(config.audio->tower);
  EXPECT_FALSE(config.imageBlocks);
  const SourceTensor *projection =
      (*model)->find("embed_audio.embedding_projection.weight");
  ASSERT_TRUE(projection);
  EXPECT_EQ(projection->file, 1);
  EXPECT_TRUE((*model)->find("embed_tokens.weight"));
  EXPECT_EQ((*model)->nameInFile("embed_audio.embedding_projection.weight"),
            "mm.a.input_projection.weight");
}

//===-- folders
//-------------------------------------------------------------===//

ModelConfig configOf(const std::function<void(Json &)> &change,
                     const WantedMedia &wanted = {}) {
  Json json =
      Json::parse(readText(source("test/Inputs/configs/12B/config.json")));
  change(json);
  std::vector<std::string> warnings;
  Result<ModelConfig> config =
      parseModelConfig(json.dump(), "config.json", warnings, wanted);
  EXPECT_TRUE(config) << config.error().message;
  return *config;
}

TEST(MediaConfig, Tokens) {
  ModelConfig m = configOf([](Json &) {});
  EXPECT_EQ(m.imageTokens.begin, 255999);
  EXPECT_EQ(m.imageTokens.soft, 258880);
  EXPECT_EQ(m.imageTokens.end, 258882);
  EXPECT_EQ(m.filmToken, 258884);
  EXPECT_EQ(m.audioTokens.begin, 256000);
  EXPECT_EQ(m.audioTokens.soft, 258881);
  EXPECT_EQ(m.audioTokens.end, 258883); // eoa_token_index
  m = configOf([](Json &j) {
    j["eoa_token_id"] = 7; // before the older name
    j["image_token_id"] = nullptr;
    j.erase("video_token_id");
  });
  EXPECT_EQ(m.audioTokens.end, 7);
  EXPECT_EQ(m.imageTokens.soft, -1);
  EXPECT_EQ(m.filmToken, -1);
}

TEST(MediaConfig, Unwanted) {
  // What is not wanted may even be broken.
  ModelConfig m =
      configOf([](Json &j) { j["vision_config"] = {{"patch_size", "x"}}; },
               {.vision = false});
  EXPECT_FALSE(m.vision);
  EXPECT_TRUE(m.audio);
  EXPECT_EQ(m.noVision, "--no-vision");
  EXPECT_EQ(m.noAudio, "");
  EXPECT_EQ(m.imageTokens.soft, -1);
  m = configOf([](Json &j) { j["audio_config"] = nullptr; }, {.audio = false});
  EXPECT_TRUE(m.vision);
  EXPECT_EQ(m.noAudio, ""); // there is none
}

// The budgets after reading the files of `folder`.
std::pair<int64_t, int64_t> budgets(const TemporaryFolder &folder) {
  ModelConfig m = configOf(
      [](Json &j) { j["vision_config"]["default_output_length"] = 560; });
  Status done = readProcessorConfig(folder.path, m);
  EXPECT_TRUE(done) << (done ? "" : done.error().message);
  return {m.vision->budget, m.vision->filmBudget};
}

// As transformers 5.24 chooses between the files, which reads no budget in
// config.json.
TEST(MediaConfig, Budgets) {
  using Pair = std::pair<int64_t, int64_t>;
  TemporaryFolder folder;
  EXPECT_EQ(budgets(folder), Pair(560, 70));
  writeText(folder.file("preprocessor_config.json"),
            R"({"max_soft_tokens": 140})");
  EXPECT_EQ(budgets(folder), Pair(140, 140));
  writeText(folder.file("video_preprocessor_config.json"), "{}");
  EXPECT_EQ(budgets(folder), Pair(140, 70));
  writeText(folder.file("processor_config.json"),
            R"({"image_processor": null, "image_seq_length": 70})");
  EXPECT_EQ(budgets(folder), Pair(140, 70));
  writeText(folder.file("processor_config.json"),
            R"({"image_processor": {"max_soft_tokens": 1120},
                "video_processor": {"max_soft_tokens": 280}})");
  EXPECT_EQ(budgets(folder), Pair(1120, 280));
}

TEST(MediaConfig, RefusesBudgets) {
  const std::pair<const char *, int> cases[] = {
      {R"({"image_processor": {"max_soft_tokens": 100}})", 4},
      {R"({"image_processor": {"max_soft_tokens": "70"}})", 3},
      {R"({"video_processor": {"max_soft_tokens": 0}})", 3},
      {"[]", 3},
      {"{", 3}};
  for (auto [text, code] : cases) {
    TemporaryFolder folder;
    writeText(folder.file("processor_config.json"), text);
    ModelConfig m = configOf([](Json &) {});
    Status done = readProcessorConfig(folder.path, m);
    ASSERT_FALSE(done) << text;
    EXPECT_EQ(int(done.error().code), code) << done.error().message;
    EXPECT_TRUE(has(done.error().message, {"processor_config.json"}));
    m.vision.reset();
    EXPECT_TRUE(readProcessorConfig(folder.path, m));
  }
}

TEST(MediaConfig, AbsentTowers) {
  TemporaryFolder folder;
  auto settled = [&](const std::string &name) {
    std::string header = "{\"" + name +
                         "\": {\"dtype\": \"F32\", \"shape\": [1], "
                         "\"data_offsets\": [0, 4]}}";
    writeText(folder.file("model.safetensors"), safetensors(header, 4));
    std::vector<std::string> warnings;
    auto opened = openCheckpoint(folder.path, warnings);
    EXPECT_TRUE(opened) << opened.error().message;
    ModelConfig m = configOf([](Json &) {});
    warnings.clear();
    settleTowers(m, **opened, warnings);
    std::string kinds = m.vision ? "v" : "-";
    kinds += m.audio ? "a" : "-";
    return kinds + std::to_string(warnings.size());
  };
  EXPECT_EQ(settled("model.language_model.norm.weight"), "--2");
  EXPECT_EQ(settled("model.embed_vision.embedding_projection.weight"), "v-1");
  EXPECT_EQ(settled("audio_tower.layers.0.norm_out.weight"), "-a1");
}

TEST(MediaConfig, NamesInMemory) {
  for (auto [other, canonical] :
       {std::pair{"model.embed_vision.patch_ln1.weight",
                  "vision_embedder.patch_ln1.weight"},
        std::pair{"model.embed_vision.pos_embedding",
                  "vision_embedder.pos_embedding"},
        std::pair{"model.embed_vision.multimodal_embedder.embedding_projection."
                  "weight",
                  "embed_vision.embedding_projection.weight"},
        std::pair{"module.embed_vision.embedding_projection.weight",
                  "embed_vision.embedding_projection.weight"}})
    EXPECT_EQ(canonicalName(other, "model."), canonical);
}

// Kernels of convolutions by their shapes: "KERNEL; PIECES x PLANES" of each,
// or its shape where no order fits or several do.
std::vector<std::string>
kernels(const std::vector<std::pair<std::string, std::vector<int64_t>>> &list) {
  const std::string front = "model.audio_tower.";
  std::string header;
  size_t at = 0;
  for (const auto &[name, shape] : list) {
    size_t bytes = 4;
    for (int64_t size : shape)
      bytes *= size_t(size);
    header += fmt::format("{}\"{}{}\": {{\"dtype\": \"F32\", \"shape\": [{}], "
                          "\"data_offsets\": [{}, {}]}}",
                          header.empty() ? "{" : ", ", front, name,
                          fmt::join(shape, ", "), at, at + bytes);
    at += bytes;
  }
  TemporaryFolder folder;
  writeText(folder.file("model.safetensors"), safetensors(header + "}", at));
  std::vector<std::string> warnings, found;
  auto opened = openCheckpoint(folder.path, warnings);
  EXPECT_TRUE(opened) << opened.error().message;
  for (const auto &[name, shape] : list) {
    const SourceTensor &t = *(*opened)->find("audio_tower." + name);
    found.push_back(t.kernel.empty()
                        ? fmt::format("{}", fmt::join(t.shape, " "))
                        : fmt::format("{}; {} x {}", fmt::join(t.kernel, " "),
                                      t.form.pieces, t.form.planes));
  }
  return found;
}

TEST(Convolutions, OrdersByShape) {
  using Found = std::vector<std::string>;
  const std::string first = "subsample_conv_projection.layer0.conv.weight",
                    second = "subsample_conv_projection.layer1.conv.weight",
                    taps = "layers.0.lconv1d.depthwise_conv1d.weight";
  EXPECT_EQ(kernels({{first, {5, 1, 3, 3}}, {taps, {8, 1, 5}}}),
            Found({"5 1 3 3; 1 x 1", "8 1 5; 1 x 1"}));
  EXPECT_EQ(kernels({{first, {5, 3, 3, 1}}, {taps, {8, 5, 1}}}),
            Found({"5 1 3 3; 5 x 9", "8 1 5; 1 x 1"}));
  EXPECT_EQ(kernels({{second, {4, 3, 3, 7}}}), Found({"4 7 3 3; 4 x 9"}));
  // Three inputs: as the other kernel.
  EXPECT_EQ(kernels({{first, {3, 1, 3, 3}}, {second, {4, 3, 3, 3}}}),
            Found({"3 1 3 3; 1 x 1", "4 3 3 3; 1 x 1"}));
  EXPECT_EQ(kernels({{second, {4, 3, 3, 3}}, {first, {3, 3, 3, 1}}}),
            Found({"4 3 3 3; 4 x 9", "3 1 3 3; 3 x 9"}));
  // Alone it cannot be told, and others fit no order.
  EXPECT_EQ(kernels({{second, {4, 3, 3, 3}}}), Found({"4 3 3 3"}));
  EXPECT_EQ(kernels({{second, {3, 3, 4, 7}}, {taps, {5, 8, 2}}}),
            Found({"3 3 4 7", "5 8 2"}));
}

} // namespace
