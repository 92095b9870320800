// Whole folders: the demo models open, and a folder whose files do not fit
// together is refused by name.
#include "compiler/importer/Checkpoint.h"
#include "compiler/importer/TensorNames.h"

#include "test/compiler/importer/TestFiles.h"

#include <cstring>
#include <sys/stat.h>

using namespace gemmac;
using namespace gemmac::test;

namespace {

std::string tensor(const std::string &name, int at) {
  return "\"" + name +
         "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" +
         std::to_string(at) + "," + std::to_string(at + 4) + "]}";
}

// A file of one-element tensors.
std::string file(std::initializer_list<const char *> names) {
  std::string header = "{";
  int at = 0;
  for (const char *name : names) {
    header += (at ? "," : "") + tensor(name, at);
    at += 4;
  }
  return safetensors(header + "}", size_t(at));
}

struct Opened {
  std::unique_ptr<TensorSource> source;
  int code = 0;
  std::string message;
  std::vector<std::string> warnings;
};

Opened open(const std::string &folder) {
  Opened opened;
  Result<std::unique_ptr<TensorSource>> source =
      openCheckpoint(folder, opened.warnings);
  if (source) {
    opened.source = std::move(*source);
  } else {
    opened.code = int(source.error().code);
    opened.message = source.error().message;
  }
  return opened;
}

TEST(Checkpoint, OneFile) {
  Opened nano = open(source("examples/nano-e"));
  ASSERT_TRUE(nano.source) << nano.message;
  EXPECT_TRUE(nano.warnings.empty());
  EXPECT_EQ(nano.source->tensors().size(), 454u);
  ASSERT_EQ(nano.source->files().size(), 1u);
  EXPECT_EQ(nano.source->files()[0].bytes, 8294612u);
  EXPECT_GT(nano.source->files()[0].mtimeNs, 0);
  const SourceTensor *embed = nano.source->find("embed_tokens.weight");
  ASSERT_TRUE(embed);
  EXPECT_EQ(embed->fileName, "model.language_model.embed_tokens.weight");
  EXPECT_EQ(embed->type, SourceType::BF16);
  EXPECT_EQ(embed->typeName, "BF16");
  EXPECT_EQ(embed->shape, (std::vector<int64_t>{2048, 160}));
  EXPECT_EQ(embed->bytes, 2048u * 160 * 2);
  EXPECT_TRUE(nano.source->findings().empty());
  EXPECT_EQ(nano.source->nameInFile("norm.weight"),
            "model.language_model.norm.weight");
  EXPECT_EQ(nano.source->find("nothing"), nullptr);
  // Data is where the header says: compare with the file's own bytes.
  std::string text = readText(nano.source->files()[0].path);
  const SourceTensor &last = nano.source->tensors().back();
  EXPECT_EQ(std::memcmp(last.data, text.data() + text.size() - last.bytes,
                        last.bytes),
            0);
}

TEST(Checkpoint, Shards) {
  Opened nano = open(source("examples/nano-m"));
  ASSERT_TRUE(nano.source) << nano.message;
  EXPECT_EQ(nano.source->tensors().size(), 164u);
  EXPECT_EQ(nano.source->files().size(), 2u);
  EXPECT_TRUE(nano.source->find("layers.0.experts.gate_up_proj"));
  EXPECT_TRUE(nano.source->find("norm.weight"));
}

std::string prefixOf(std::initializer_list<const char *> names) {
  std::vector<SourceTensor> tensors;
  for (const char *name : names)
    tensors.push_back({.fileName = name});
  return decoderPrefix(tensors);
}

TEST(TensorNames, WhatStandsInFrontOfAll) {
  EXPECT_EQ(prefixOf({}), "");
  EXPECT_EQ(prefixOf({"layers.0.layer_scalar", "lm_head.weight"}), "");
  EXPECT_EQ(prefixOf({"model.norm.weight", "model.vision_tower.layers.0.x"}),
            "model.");
  EXPECT_EQ(prefixOf({"a.layers.0.x", "b.layers.0.x", "b.layers.1.x"}), "b.");
  EXPECT_EQ(prefixOf({"ema.model.layers.0.x", "model.layers.0.x"}), "model.");
  EXPECT_EQ(prefixOf({"optimizer.model.layers.0.x", "exp_avg.layers.0.x",
                      "base_model.model.model.embed_tokens.weight"}),
            "base_model.model.model.");
  EXPECT_EQ(prefixOf({"module._orig_mod.model.layers.0._checkpoint_wrapped_"
                      "module.mlp.up_proj.weight"}),
            "model.");
}

TEST(TensorNames, Canonical) {
  struct {
    const char *name, *prefix, *canonical;
  } const cases[] = {
      {"model.language_model.norm.weight", "model.language_model.",
       "norm.weight"},
      {"model.norm.weight", "model.", "norm.weight"},
      {"norm.weight", "model.", "norm.weight"},
      {"other.norm.weight", "model.", "other.norm.weight"},
      {"lm_head.weight", "model.", "lm_head.weight"},
      {"language_model.lm_head.weight", "model.", "lm_head.weight"},
      {"xlm_head.weight", "", "xlm_head.weight"},
      {"vision_tower.lm_head.weight", "", "vision_tower.lm_head.weight"},
      {"module.layers.3._orig_mod.layer_scalar", "", "layers.3.layer_scalar"},
      {"layers.3.experts.switch_glu.up_proj.weight", "",
       "layers.3.experts.up_proj"},
      {"layers.3.experts.gate_up_proj.weight", "",
       "layers.3.experts.gate_up_proj"},
      {"layers.3.moe.gate_up_proj", "", "layers.3.experts.gate_up_proj"},
      {"layers.3.moe.per_expert_scale", "", "layers.3.router.per_expert_scale"},
      {"layers.3.moe.experts.7.down_proj.weight", "",
       "layers.3.experts.7.down_proj"},
      {"layers.3.mlp.up_proj.weight", "", "layers.3.mlp.up_proj.weight"},
      {"layers.x.moe.up_proj", "", "layers.x.moe.up_proj"},
      {"", "", ""},
  };
  for (const auto &c : cases)
    EXPECT_EQ(canonicalName(c.name, c.prefix), c.canonical) << c.name;
  ASSERT_TRUE(expertOf("layers.3.experts.7.up_proj"));
  EXPECT_EQ(expertOf("layers.3.experts.7.up_proj")->stack,
            "layers.3.experts.up_proj");
  EXPECT_EQ(expertOf("layers.3.experts.7.up_proj")->expert, 7);
  for (const char *name : {"layers.3.experts.up_proj", "experts.7.up_proj",
                           "layers.3.experts.-7.up_proj", "layers.3.experts.7",
                           "layers.3.experts.99999999999999999999.up_proj"})
    EXPECT_FALSE(expertOf(name)) << name;
}

TEST(TensorNames, WhatIsNotNeeded) {
  EXPECT_STREQ(towerOf("model.vision_tower.x"), "vision_tower");
  EXPECT_STREQ(towerOf("embed_audio.embedding_projection.weight"),
               "embed_audio");
  EXPECT_EQ(towerOf("embed_tokens.weight"), nullptr);
  EXPECT_EQ(towerOf("vision_tower2.x"), nullptr);
  for (const char *name :
       {"model.rotary_emb.full_attention_inv_freq", "embed_tokens.embed_scale",
        "layers.0.self_attn.rotary_emb.inv_freq", "v_head.summary.weight",
        "optimizer.state.0.step", "layers.0.mlp.up_proj.weight.exp_avg"})
    EXPECT_TRUE(whyLeftOver(name)) << name;
  for (const char *name : {"embed_tokens.weight", "layers.0.layer_scalar",
                           "norm.weight", "my_optimizer.x"})
    EXPECT_FALSE(whyLeftOver(name)) << name;
}

TEST(TensorNames, DeadKv) {
  std::vector<std::string> w;
  Result<ModelConfig> model = readModelConfig(source("examples/nano-e"), w);
  ASSERT_TRUE(model);
  int dead = 0;
  Opened nano = open(source("examples/nano-e"));
  for (const SourceTensor &t : nano.source->tensors())
    dead += whyDeadKv(*model, t.name) != nullptr;
  EXPECT_EQ(dead, 15); // 5 sharing layers, three tensors each
  EXPECT_TRUE(whyDeadKv(*model, "layers.5.self_attn.k_norm.weight"));
  EXPECT_TRUE(whyDeadKv(*model, "layers.5.self_attn.k_proj.weight_scale"));
  for (const char *name :
       {"layers.4.self_attn.k_norm.weight", "layers.5.self_attn.q_norm.weight",
        "layers.10.self_attn.k_norm.weight", "layers.-5.self_attn.k_norm.x",
        "layers.", "layers.99999999999999999999.x"})
    EXPECT_FALSE(whyDeadKv(*model, name)) << name;
  model->layer[4].keyIsValue = true;
  EXPECT_TRUE(whyDeadKv(*model, "layers.4.self_attn.v_proj.weight"));
  EXPECT_FALSE(whyDeadKv(*model, "layers.4.self_attn.k_proj.weight"));
}

TEST(Checkpoint, BrokenFolders) {
  TemporaryFolder folder;
  Opened none = open(folder.path);
  EXPECT_EQ(none.code, 3);
  EXPECT_TRUE(has(none.message, {"no safetensors", "model.safetensors"}));
  EXPECT_TRUE(has(open(folder.file("x")).message, {"no such folder"}));
  writeText(folder.file("model.gguf"), "GGUF");
  EXPECT_EQ(open(folder.file("model.gguf")).code, 3);
  writeText(folder.file("model.safetensors"), "");
  EXPECT_TRUE(has(open(folder.path).message,
                  {"model.safetensors", "truncated", "0 bytes"}));
  std::filesystem::remove(folder.file("model.safetensors"));
  ASSERT_EQ(mkfifo(folder.file("model.safetensors").c_str(), 0600), 0);
  EXPECT_TRUE(has(open(folder.path).message, {"regular file"}));
  std::filesystem::remove(folder.file("model.safetensors"));
  std::filesystem::create_symlink("gone", folder.file("model.safetensors"));
  EXPECT_TRUE(
      has(open(folder.path).message, {"model.safetensors", "cannot be read"}));
}

// The data of file() are the same everywhere, those of the second differ.
TEST(Checkpoint, TwoTensorsOfOneName) {
  TemporaryFolder folder;
  std::string two = file({"lm_head.weight", "model.lm_head.weight"});
  writeText(folder.file("model.safetensors"), two);
  Opened same = open(folder.path);
  ASSERT_TRUE(same.source) << same.message;
  EXPECT_STREQ(same.source->whyUnused(same.source->tensors()[1]),
               "a copy of another tensor");
  EXPECT_FALSE(same.source->whyUnused(same.source->tensors()[0]));
  two.back() = 1;
  writeText(folder.file("model.safetensors"), two);
  EXPECT_TRUE(
      has(open(folder.path).message, {"\"model.lm_head.weight\"", "duplicate",
                                      "\"lm_head.weight\"", "other contents"}));
}

std::string layoutOf(const Opened &opened) {
  std::string text;
  for (const Finding &finding : opened.source->findings())
    text += finding.text + "; ";
  return text;
}

TEST(Checkpoint, FilesHoldWhereTheIndexIsWrong) {
  TemporaryFolder folder;
  auto index = [&](const std::string &map) {
    writeText(folder.file("model.safetensors.index.json"),
              "{\"weight_map\":{" + map + "}}");
    return open(folder.path);
  };
  writeText(folder.file("1.safetensors"), file({"a", "b"}));
  writeText(folder.file("2.safetensors"), file({"c"}));
  Opened good =
      index(R"("a":"1.safetensors","b":"1.safetensors","c":"2.safetensors")");
  ASSERT_TRUE(good.source) << good.message;
  EXPECT_EQ(good.source->find("c")->file, 1);
  EXPECT_EQ(layoutOf(good), "");

  Opened missing = index(R"("a":"1.safetensors","b":"3.safetensors")");
  EXPECT_EQ(missing.code, 3);
  EXPECT_TRUE(has(missing.message, {"3.safetensors", "missing shard"}));
  Opened odd = index(R"("b":"2.safetensors","c":"2.safetensors",
                        "norm.weight":"1.safetensors","x":"1.safetensors")");
  ASSERT_TRUE(odd.source) << odd.message;
  EXPECT_EQ(odd.source->find("b")->file, 0);
  EXPECT_TRUE(odd.source->find("a"));
  EXPECT_EQ(layoutOf(odd),
            "tensors of the index that are in no file: 2, such as "
            "\"norm.weight\"; tensors in another file than the index says: 1, "
            "such as \"b\"; tensors that are not in the index: 1, such as "
            "\"a\"; ");
  EXPECT_TRUE(has(odd.source->whyMissing("norm.weight"),
                  {"lists it in 1.safetensors", "does not hold it"}));
  EXPECT_EQ(odd.source->whyMissing("embed_tokens.weight"), "");
  EXPECT_TRUE(has(index("").message, {"no tensor"}));

  std::string other = file({"c", "a"});
  writeText(folder.file("2.safetensors"), other);
  Opened twice = index(R"("a":"1.safetensors","c":"2.safetensors")");
  ASSERT_TRUE(twice.source) << twice.message;
  other.back() = 1;
  writeText(folder.file("2.safetensors"), other);
  EXPECT_TRUE(has(open(folder.path).message,
                  {"2.safetensors", "\"a\"", "duplicate", "1.safetensors"}));
}

// A tensor per expert, the members of a stack, in any order.
TEST(Checkpoint, ExpertsApart) {
  TemporaryFolder folder;
  auto write = [&](std::initializer_list<const char *> names) {
    writeText(folder.file("model.safetensors"), file(names));
    return open(folder.path);
  };
  Opened good = write({"layers.0.experts.1.up_proj.weight",
                       "layers.0.experts.0.up_proj.weight",
                       "layers.0.experts.2.up_proj.weight", "norm.weight"});
  ASSERT_TRUE(good.source) << good.message;
  ASSERT_EQ(good.source->tensors().size(), 2u);
  const SourceTensor *stack = good.source->find("layers.0.experts.up_proj");
  ASSERT_TRUE(stack);
  EXPECT_EQ(stack->fileName, "layers.0.experts.*.up_proj.weight");
  EXPECT_EQ(stack->shape, (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(stack->bytes, 12u);
  EXPECT_EQ(stack->at(4) - stack->at(0), -4);
  EXPECT_EQ(stack->at(9) - stack->at(0), 5);
  EXPECT_EQ(stack->run(5), 3u);
  EXPECT_TRUE(has(layoutOf(good), {"every expert"}));
  EXPECT_TRUE(has(write({"layers.0.experts.0.up_proj.weight",
                         "layers.0.experts.2.up_proj.weight"})
                      .message,
                  {"experts.*.up_proj", "missing for expert 1", "for 2"}));
}

// What has no usual name: one file is taken, of several the index is missing.
TEST(Checkpoint, FilesWithoutIndex) {
  TemporaryFolder folder;
  writeText(folder.file("model-00001-of-00001.safetensors"), file({"a"}));
  Opened one = open(folder.path);
  ASSERT_TRUE(one.source) << one.message;
  EXPECT_TRUE(has(layoutOf(one), {"taking model-00001-of-00001.safetensors"}));
  EXPECT_TRUE(hasTensors(folder.path));
  writeText(folder.file("other.safetensors"), file({"b"}));
  EXPECT_TRUE(has(open(folder.path).message,
                  {"index.json is missing", "2 files", "other.safetensors"}));
  std::filesystem::remove(folder.file("model-00001-of-00001.safetensors"));
  std::filesystem::rename(folder.file("other.safetensors"),
                          folder.file("model-00002-of-00003.safetensors"));
  Opened shard = open(folder.path);
  EXPECT_EQ(shard.code, 3);
  EXPECT_TRUE(has(shard.message, {"index.json is missing",
                                  "model-00002-of-00003", "0 more of 3"}));
}

TEST(Checkpoint, SingleFileWinsOverIndex) {
  TemporaryFolder folder;
  writeText(folder.file("model.safetensors"), file({"a"}));
  writeText(folder.file("model.safetensors.index.json"), "not read");
  Opened both = open(folder.path);
  ASSERT_TRUE(both.source);
  ASSERT_EQ(both.warnings.size(), 1u);
  EXPECT_TRUE(has(both.warnings[0], {"taking model.safetensors"}));
}

} // namespace
