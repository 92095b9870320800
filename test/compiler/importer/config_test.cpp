// config.json and generation_config.json: the five real sizes and the tiny
// models give what docs/model/text.md#1.2 says, in both spellings; every
// broken or foreign file is refused with the field, what it expects and what it
// got.
#include "compiler/importer/Config.h"

#include "test/compiler/importer/TestFiles.h"

#include <functional>
#include <nlohmann/json.hpp>

using namespace gemmac;
using namespace gemmac::test;
using Json = nlohmann::json;

namespace {

std::string folder(const std::string &model) {
  return source("test/Inputs/configs/" + model);
}

ModelConfig read(const std::string &path) {
  std::vector<std::string> warnings;
  Result<ModelConfig> model = readModelConfig(path, warnings);
  EXPECT_TRUE(model) << (model ? "" : model.error().message);
  EXPECT_TRUE(warnings.empty()) << warnings.front();
  return model ? *model : ModelConfig();
}

std::vector<int64_t> globals(const ModelConfig &model) {
  std::vector<int64_t> indices;
  for (size_t i = 0; i < model.layer.size(); ++i)
    if (model.layer[i].global)
      indices.push_back(int64_t(i));
  return indices;
}

Json base(const std::string &model) {
  return Json::parse(readText(folder(model) + "/config.json"));
}

struct Parsed {
  std::optional<ModelConfig> model;
  int code = 0;
  std::string message;
  std::vector<std::string> warnings;
};

Parsed parse(const std::string &text) {
  Parsed parsed;
  Result<ModelConfig> model =
      parseModelConfig(text, "config.json", parsed.warnings);
  if (model) {
    parsed.model = *model;
  } else {
    parsed.code = int(model.error().code);
    parsed.message = model.error().message;
  }
  return parsed;
}

// A model's config.json after one change.
Parsed changed(const std::string &model,
               const std::function<void(Json &)> &change) {
  Json json = base(model);
  change(json);
  return parse(json.dump());
}

// One field of text_config set to a value.
Parsed withField(const std::string &model, const std::string &field,
                 const Json &value) {
  return changed(model, [&](Json &c) { c["text_config"][field] = value; });
}

#define EXPECT_REFUSED(parsed, exit, ...)                                      \
  do {                                                                         \
    Parsed p = (parsed);                                                       \
    EXPECT_FALSE(p.model);                                                     \
    EXPECT_EQ(p.code, exit) << p.message;                                      \
    EXPECT_TRUE(has(p.message, {__VA_ARGS__}));                                \
  } while (0)

TEST(Config, E2B) {
  ModelConfig m = read(folder("E2B"));
  EXPECT_EQ(m.modelType, "gemma4");
  EXPECT_EQ(m.variant, "E2B");
  EXPECT_EQ(m.layers, 35);
  EXPECT_EQ(m.hidden, 1536);
  EXPECT_EQ(m.heads, 8);
  EXPECT_EQ(m.vocab, 262144);
  EXPECT_EQ(m.window, 512);
  EXPECT_EQ(m.maxContext, 131072);
  EXPECT_EQ(m.pleWidth, 256);
  EXPECT_EQ(m.pleVocab, 262144);
  EXPECT_EQ(m.experts, 0);
  EXPECT_EQ(m.eps, 1e-6);
  EXPECT_EQ(m.softcap, 30);
  EXPECT_EQ(m.embedScale, 39.25);
  EXPECT_EQ(m.pleScale, 16);
  EXPECT_TRUE(m.tied && m.vision && m.audio && !m.imageBlocks);
  EXPECT_EQ(globals(m), (std::vector<int64_t>{4, 9, 14, 19, 24, 29, 34}));
  EXPECT_EQ(m.lastOwner(), 14);
  EXPECT_EQ(m.localRope.theta, 1e4);
  EXPECT_EQ(m.localRope.dim, 256);
  EXPECT_EQ(m.localRope.pairs, 128);
  EXPECT_EQ(m.globalRope.theta, 1e6);
  EXPECT_EQ(m.globalRope.dim, 512);
  EXPECT_EQ(m.globalRope.pairs, 64);
  for (int64_t i = 0; i < 35; ++i) {
    const LayerConfig &l = m.layer[size_t(i)];
    EXPECT_EQ(l.headDim, l.global ? 512 : 256);
    EXPECT_EQ(l.kvHeads, 1);
    EXPECT_FALSE(l.keyIsValue);
    EXPECT_EQ(l.ownsKv, i < 15);
    EXPECT_EQ(l.donor, i < 15 ? i : l.global ? 14 : 13);
    EXPECT_EQ(l.ffn, i < 15 ? 6144 : 12288);
  }
}

TEST(Config, E4BInTheNewSpelling) {
  ModelConfig m = read(folder("E4B"));
  EXPECT_EQ(m.variant, "E4B");
  EXPECT_EQ(m.embedScale, 50.5);
  EXPECT_EQ(globals(m), (std::vector<int64_t>{5, 11, 17, 23, 29, 35, 41}));
  EXPECT_EQ(m.lastOwner(), 23);
  for (int64_t i = 0; i < 42; ++i) {
    const LayerConfig &l = m.layer[size_t(i)];
    EXPECT_EQ(l.headDim, l.global ? 512 : 256);
    EXPECT_EQ(l.kvHeads, 2);
    EXPECT_EQ(l.donor, i < 24 ? i : l.global ? 23 : 22);
    EXPECT_EQ(l.ffn, 10240);
  }
}

TEST(Config, Unified12B) {
  ModelConfig m = read(folder("12B"));
  EXPECT_EQ(m.modelType, "gemma4_unified");
  EXPECT_EQ(m.variant, "12B");
  EXPECT_EQ(m.embedScale, 62.0);
  EXPECT_EQ(m.pleWidth, 0);
  EXPECT_TRUE(m.imageBlocks);
  EXPECT_EQ(globals(m).size(), 8u);
  for (const LayerConfig &l : m.layer) {
    EXPECT_EQ(l.kvHeads, l.global ? 1 : 8);
    EXPECT_EQ(l.headDim, l.global ? 512 : 256);
    EXPECT_EQ(l.keyIsValue, l.global);
    EXPECT_TRUE(l.ownsKv);
  }
}

TEST(Config, MoE26B) {
  ModelConfig m = read(folder("26B-A4B"));
  EXPECT_EQ(m.variant, "26B-A4B");
  EXPECT_EQ(m.embedScale, 53.0);
  EXPECT_EQ(m.experts, 128);
  EXPECT_EQ(m.topExperts, 8);
  EXPECT_EQ(m.expertFfn, 704);
  EXPECT_FALSE(m.audio);
  EXPECT_TRUE(m.vision);
  for (const LayerConfig &l : m.layer) {
    EXPECT_EQ(l.kvHeads, l.global ? 2 : 8);
    EXPECT_EQ(l.ffn, 2112);
  }
}

TEST(Config, Dense31B) {
  ModelConfig m = read(folder("31B"));
  EXPECT_EQ(m.variant, "31B");
  EXPECT_EQ(m.embedScale, 73.5);
  EXPECT_EQ(m.layers, 60);
  EXPECT_EQ(globals(m).size(), 10u);
  for (const LayerConfig &l : m.layer) {
    EXPECT_EQ(l.kvHeads, l.global ? 4 : 16);
    EXPECT_EQ(l.keyIsValue, l.global);
  }
}

TEST(Config, TinyModelsInBothSpellings) {
  ModelConfig e = read(folder("tiny-e"));
  EXPECT_EQ(e.variant, "custom");
  EXPECT_EQ(e.layer[4].headDim, 64);
  EXPECT_EQ(e.globalRope.pairs, 8);
  EXPECT_EQ(e.layer[9].donor, 4);
  EXPECT_EQ(e.layer[5].donor, 3);
  EXPECT_EQ(e.layer[5].ffn, 128);
  EXPECT_FALSE(e.vision);
  ModelConfig e4 = read(folder("tiny-e4"));
  EXPECT_EQ(e4.layer[5].headDim, 64);
  EXPECT_EQ(e4.layer[4].headDim, 32);
  EXPECT_EQ(e4.layer[11].kvHeads, 2);
  ModelConfig u = read(folder("tiny-u"));
  EXPECT_EQ(u.layer[5].kvHeads, 1);
  EXPECT_EQ(u.layer[4].kvHeads, 2);
  ModelConfig d = read(folder("tiny-d"));
  EXPECT_EQ(d.layer[5].kvHeads, 1);
  EXPECT_TRUE(d.layer[5].keyIsValue);
  ModelConfig m = read(folder("tiny-m"));
  EXPECT_EQ(m.topExperts, 8);
  EXPECT_EQ(globals(m), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(read(source("examples/nano-e")).embedScale, 12.625);
  EXPECT_EQ(read(source("examples/nano-m")).layers, 6);
}

TEST(Config, TextOnlyForm) {
  Json text = base("31B")["text_config"];
  Parsed p = parse(text.dump());
  ASSERT_TRUE(p.model) << p.message;
  EXPECT_EQ(p.model->modelType, "gemma4_text");
  EXPECT_EQ(p.model->variant, "31B");
  EXPECT_FALSE(p.model->vision);
}

TEST(Config, Defaults) {
  Parsed p = changed("tiny-d", [](Json &c) {
    for (const char *key :
         {"layer_types", "rope_parameters", "rms_norm_eps", "hidden_activation",
          "attention_bias", "tie_word_embeddings",
          "use_bidirectional_attention", "global_head_dim", "model_type"})
      c["text_config"].erase(key);
    c.erase("tie_word_embeddings");
  });
  ASSERT_TRUE(p.model) << p.message;
  EXPECT_TRUE(p.warnings.empty());
  EXPECT_EQ(globals(*p.model), (std::vector<int64_t>{5, 11}));
  EXPECT_EQ(p.model->layer[5].headDim, 512);
  EXPECT_EQ(p.model->globalRope.pairs, 64);
  EXPECT_EQ(p.model->globalRope.theta, 1e6);
  EXPECT_EQ(p.model->localRope.pairs, 16);
  EXPECT_TRUE(p.model->tied);
  EXPECT_FALSE(p.model->imageBlocks);
}

TEST(Config, GlobalKvHeadsCountOnlyWithKeyIsValue) {
  Parsed p = withField("31B", "attention_k_eq_v", false);
  ASSERT_TRUE(p.model);
  EXPECT_EQ(p.model->layer[5].kvHeads, 16);
  EXPECT_FALSE(p.model->layer[5].keyIsValue);
}

TEST(Config, PerLayerConfigHidesTheOldKeys) {
  Parsed p = withField("31B", "per_layer_config", Json::object());
  ASSERT_TRUE(p.model) << p.message;
  EXPECT_EQ(p.model->layer[5].headDim, 256);
  EXPECT_EQ(p.model->layer[5].kvHeads, 16);
  EXPECT_EQ(p.model->globalRope.pairs, 32);
}

TEST(Config, LastLayerIsForcedGlobal) {
  Parsed p = changed("E2B", [](Json &c) {
    c["text_config"]["layer_types"][34] = "sliding_attention";
  });
  ASSERT_TRUE(p.model);
  EXPECT_TRUE(p.model->layer[34].global);
  ASSERT_EQ(p.warnings.size(), 1u);
  EXPECT_TRUE(has(p.warnings[0], {"layer_types", "full_attention"}));
}

TEST(Config, SoftcapAndTies) {
  EXPECT_EQ(withField("31B", "final_logit_softcapping", nullptr).model->softcap,
            0);
  Parsed absent = changed("31B", [](Json &c) {
    c["text_config"].erase("final_logit_softcapping");
  });
  EXPECT_EQ(absent.model->softcap, 30);
  EXPECT_EQ(absent.warnings.size(), 1u);
  EXPECT_REFUSED(withField("31B", "final_logit_softcapping", 0), 3,
                 "final_logit_softcapping", "got 0");
  Parsed untied = changed("31B", [](Json &c) {
    c["tie_word_embeddings"] = false;
    c["text_config"]["tie_word_embeddings"] = false;
  });
  EXPECT_FALSE(untied.model->tied);
  EXPECT_TRUE(untied.warnings.empty());
  Parsed differ =
      changed("31B", [](Json &c) { c["tie_word_embeddings"] = false; });
  EXPECT_FALSE(differ.model->tied);
  EXPECT_EQ(differ.warnings.size(), 1u);
}

TEST(Config, UnifiedIgnoresKeysItDoesNotKnow) {
  Parsed p = changed("12B", [](Json &c) {
    c["text_config"]["enable_moe_block"] = true;
    c["text_config"]["hidden_size_per_layer_input"] = 256;
    c["id2label"] = {{"0", "x"}};
  });
  ASSERT_TRUE(p.model) << p.message;
  EXPECT_EQ(p.model->experts, 0);
  EXPECT_EQ(p.model->pleWidth, 0);
}

TEST(Config, Folders) {
  std::vector<std::string> w;
  Result<ModelConfig> none = readModelConfig("/no/such/folder", w);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ExitCode::BadInput);
  EXPECT_TRUE(has(none.error().message, {"/no/such/folder", "no such folder"}));
  TemporaryFolder empty;
  none = readModelConfig(empty.path, w);
  ASSERT_FALSE(none);
  EXPECT_TRUE(has(none.error().message, {"config.json", "no such file"}));
  writeText(empty.file("model.gguf"), "GGUF");
  none = readModelConfig(empty.file("model.gguf"), w);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ExitCode::BadInput);
  writeText(empty.file("notes.txt"), "x");
  none = readModelConfig(empty.file("notes.txt"), w);
  ASSERT_FALSE(none);
  EXPECT_TRUE(has(none.error().message, {"neither a folder nor a GGUF file"}));
  std::filesystem::create_directory(empty.file("config.json"));
  none = readModelConfig(empty.path, w);
  ASSERT_FALSE(none);
  EXPECT_TRUE(has(none.error().message, {"config.json", "regular file"}));
}

TEST(Config, BrokenText) {
  EXPECT_REFUSED(parse("{\"model_type\": "), 3, "config.json", "JSON", "byte");
  EXPECT_REFUSED(parse(""), 3, "JSON");
  EXPECT_REFUSED(parse("[]"), 3, "expects an object");
  EXPECT_REFUSED(parse("{}"), 3, "model_type is missing");
  EXPECT_REFUSED(parse(R"({"model_type": "gemma4", "model_type": "x"})"), 3,
                 "duplicate key \"model_type\"");
  EXPECT_REFUSED(parse(R"({"model_type": 4})"), 3, "model_type", "got 4");
  EXPECT_REFUSED(parse(R"({"model_type": "gemma4"})"), 3,
                 "text_config is missing");
}

TEST(Config, ForeignModels) {
  EXPECT_REFUSED(parse(R"({"model_type": "llama"})"), 4, "\"llama\"",
                 "supported are gemma4");
  for (const char *drafter : {"tiny-e-assistant", "tiny-u-assistant"})
    EXPECT_REFUSED(parse(base(drafter).dump()), 4, "_assistant\"", "drafter");
  struct {
    const char *type, *what;
  } const others[] = {{"gemma3", "is Gemma 3;"},
                      {"gemma3n", "is Gemma 3n;"},
                      {"paligemma", "is PaliGemma;"},
                      {"diffusion_gemma", "DiffusionGemma"},
                      {"embedding_gemma2", "gives vectors, not text"},
                      {"gemma", "the first Gemma"},
                      {"gemma2", "Gemma 2"},
                      {"gemma3_text", "Gemma 3"},
                      {"recurrent_gemma", "RecurrentGemma"},
                      {"shieldgemma2", "ShieldGemma 2"},
                      {"t5gemma", "T5Gemma"},
                      {"vaultgemma", "VaultGemma"},
                      {"gemma5", "is not supported"},
                      {"gemma4_vision", "tower of Gemma 4 alone"}};
  for (const auto &other : others)
    EXPECT_REFUSED(parse(fmt::format(R"({{"model_type": "{}"}})", other.type)),
                   4, other.type, other.what);
  EXPECT_REFUSED(withField("E2B", "model_type", "gemma3_text"), 4,
                 "text_config.model_type", "gemma3_text");
}

// Whether tensors are quantised they say themselves.
TEST(Config, NotesQuantisation) {
  auto note = [](const char *key, const Json &value) {
    Parsed parsed = changed("E2B", [&](Json &c) { c[key] = value; });
    EXPECT_EQ(parsed.code, 0) << parsed.message;
    return parsed.model->quantisation;
  };
  EXPECT_EQ(note("quantization_config", {{"quant_method", "gptq"}}),
            "quantization_config with quant_method \"gptq\"");
  EXPECT_EQ(note("quantization", {{"bits", 4}}), "quantization");
  EXPECT_EQ(note("quantization_config", nullptr), "");
  EXPECT_EQ(withField("E2B", "quantization_config", 3).model->quantisation,
            "text_config.quantization_config");
}

TEST(Config, UnsupportedFeatures) {
  EXPECT_REFUSED(withField("12B", "use_bidirectional_attention", "all"), 4,
                 "use_bidirectional_attention", "\"all\"");
  EXPECT_REFUSED(withField("12B", "hidden_activation", "silu"), 4,
                 "hidden_activation", "gelu_pytorch_tanh", "silu");
  EXPECT_REFUSED(withField("12B", "attention_bias", true), 4, "attention_bias");
  EXPECT_REFUSED(withField("12B", "rope_scaling", {{"factor", 8}}), 4,
                 "rope_scaling");
  auto rope = [](const char *type, const char *key, Json value) {
    return changed("E2B", [&](Json &c) {
      c["text_config"]["rope_parameters"][type][key] = value;
    });
  };
  EXPECT_REFUSED(rope("full_attention", "rope_type", "yarn"), 4, "yarn");
  EXPECT_REFUSED(rope("full_attention", "factor", 8.0), 4, "factor", "got 8");
  EXPECT_REFUSED(rope("sliding_attention", "partial_rotary_factor", 0.5), 4,
                 "partial_rotary_factor", "got 0.5");
  EXPECT_REFUSED(rope("full_attention", "partial_rotary_factor", 1e-4), 3,
                 "rotates no lane");
  EXPECT_REFUSED(rope("full_attention", "rope_theta", -1), 3, "rope_theta");
  EXPECT_REFUSED(withField("E2B", "rope_parameters", {{"rope_theta", 1e6}}), 3,
                 "rope_parameters.sliding_attention is missing");
  EXPECT_REFUSED(
      changed("E2B",
              [](Json &c) { c["text_config"]["layer_types"][3] = "chunked"; }),
      4, "layer_types[3]", "chunked");
}

TEST(Config, MissingFields) {
  for (const char *field :
       {"num_hidden_layers", "hidden_size", "num_attention_heads",
        "num_key_value_heads", "head_dim", "intermediate_size", "vocab_size",
        "sliding_window", "max_position_embeddings", "num_experts",
        "top_k_experts", "moe_intermediate_size"}) {
    EXPECT_REFUSED(withField("26B-A4B", field, nullptr), 3, field, "is missing",
                   "integer from");
    EXPECT_REFUSED(
        changed("26B-A4B", [&](Json &c) { c["text_config"].erase(field); }), 3,
        field, "is missing");
  }
}

TEST(Config, AbsurdFields) {
  for (const char *field :
       {"num_hidden_layers", "hidden_size", "num_attention_heads",
        "num_key_value_heads", "head_dim", "global_head_dim",
        "num_global_key_value_heads", "intermediate_size", "vocab_size",
        "sliding_window", "max_position_embeddings", "num_experts",
        "top_k_experts", "moe_intermediate_size"})
    for (const Json &value :
         {Json(0), Json(-1), Json(1e18), Json(int64_t(1) << 40), Json(2.5),
          Json("12"), Json(true), Json::array({1})})
      EXPECT_REFUSED(withField("26B-A4B", field, value), 3, field, "expects",
                     "got");
  for (const char *field :
       {"hidden_size_per_layer_input", "num_kv_shared_layers"})
    for (const Json &value : {Json(-1), Json(int64_t(1) << 40), Json("x")})
      EXPECT_REFUSED(withField("E2B", field, value), 3, field, "got");
  EXPECT_REFUSED(withField("E2B", "rms_norm_eps", 0), 3, "rms_norm_eps");
  EXPECT_REFUSED(withField("E2B", "rms_norm_eps", "x"), 3, "rms_norm_eps");
  EXPECT_REFUSED(withField("E2B", "attention_k_eq_v", 1), 3, "true or false");
  EXPECT_REFUSED(withField("26B-A4B", "top_k_experts", 129), 3, "top_k_experts",
                 "from 1 to 128");
}

TEST(Config, InconsistentLayers) {
  EXPECT_REFUSED(withField("E2B", "num_key_value_heads", 3), 3, "layer 0",
                 "multiple", "8 and 3");
  EXPECT_REFUSED(withField("E2B", "head_dim", 255), 3, "even head_dim", "255");
  EXPECT_REFUSED(withField("E2B", "layer_types", Json::array({"x"})), 3,
                 "layer_types", "35 strings", "array of 1");
  EXPECT_REFUSED(withField("E2B", "layer_types", "x"), 3, "layer_types");
  EXPECT_REFUSED(
      changed("E2B", [](Json &c) { c["text_config"]["layer_types"][3] = 3; }),
      3, "layer_types[3]", "got 3");
  EXPECT_REFUSED(withField("E2B", "num_kv_shared_layers", 35), 3,
                 "num_kv_shared_layers", "0 to 34");
  EXPECT_REFUSED(withField("E2B", "num_kv_shared_layers", 32), 3, "layer 4",
                 "full_attention");
}

TEST(Config, BrokenPerLayerConfig) {
  auto with = [](const Json &map) {
    return withField("12B", "per_layer_config", map);
  };
  EXPECT_REFUSED(with(Json::array()), 3, "per_layer_config", "object");
  EXPECT_REFUSED(with({{"48", Json::object()}}), 3, "0 to 47", "\"48\"");
  EXPECT_REFUSED(with({{"x", Json::object()}}), 3, "\"x\"");
  EXPECT_REFUSED(with({{"99999999999999999999", Json::object()}}), 3, "9999");
  EXPECT_REFUSED(with({{"5", Json::object()}, {"05", Json::object()}}), 3,
                 "layer 5 twice");
  EXPECT_REFUSED(with({{"5", 3}}), 3, "expects an object");
  EXPECT_REFUSED(with({{"5", {{"head_dim", 0}}}}), 3, "head_dim", "got 0");
  EXPECT_REFUSED(with({{"5", {{"intermediate_size", 64}}}}), 4,
                 "intermediate_size");
  EXPECT_REFUSED(with({{"5", {{"head_dim", 512}}}}), 4, "layer 11",
                 "head_dim 512");
  EXPECT_REFUSED(
      changed(
          "E4B",
          [](Json &c) {
            c["text_config"]["per_layer_config"]["41"]["num_key_value_heads"] =
                4;
          }),
      3, "layer 41", "layer 23");
}

} // namespace
