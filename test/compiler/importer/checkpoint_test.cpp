// Whole folders: the demo models open, and a folder whose files do not fit
// together is refused by name.
#include "compiler/importer/Checkpoint.h"

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

TEST(Checkpoint, Names) {
  EXPECT_EQ(canonicalName("model.language_model.norm.weight"), "norm.weight");
  EXPECT_EQ(canonicalName("model.norm.weight"), "norm.weight");
  EXPECT_EQ(canonicalName("lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(canonicalName("model.vision_tower.x"), "vision_tower.x");
  EXPECT_STREQ(towerOf("vision_tower.x"), "vision_tower");
  EXPECT_STREQ(towerOf("embed_audio.embedding_projection.weight"),
               "embed_audio");
  EXPECT_EQ(towerOf("embed_tokens.weight"), nullptr);
  EXPECT_EQ(towerOf("vision_tower2.x"), nullptr);
}

TEST(Checkpoint, DeadKv) {
  std::vector<std::string> w;
  Result<ModelConfig> model = readModelConfig(source("examples/nano-e"), w);
  ASSERT_TRUE(model);
  int dead = 0;
  Opened nano = open(source("examples/nano-e"));
  for (const SourceTensor &t : nano.source->tensors())
    dead += isDeadKv(*model, t.name);
  EXPECT_EQ(dead, 15); // 5 sharing layers, three tensors each
  EXPECT_TRUE(isDeadKv(*model, "layers.5.self_attn.k_norm.weight"));
  EXPECT_FALSE(isDeadKv(*model, "layers.4.self_attn.k_norm.weight"));
  EXPECT_FALSE(isDeadKv(*model, "layers.5.self_attn.q_norm.weight"));
  EXPECT_FALSE(isDeadKv(*model, "layers.10.self_attn.k_norm.weight"));
  EXPECT_FALSE(isDeadKv(*model, "layers.-5.self_attn.k_norm.weight"));
  EXPECT_FALSE(isDeadKv(*model, "layers."));
  EXPECT_FALSE(isDeadKv(*model, "layers.99999999999999999999.x"));
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

TEST(Checkpoint, TwoNamesOfOneTensor) {
  TemporaryFolder folder;
  writeText(folder.file("model.safetensors"),
            file({"model.norm.weight", "model.language_model.norm.weight"}));
  EXPECT_TRUE(
      has(open(folder.path).message, {"model.language_model.norm.weight",
                                      "duplicate", "\"model.norm.weight\""}));
}

TEST(Checkpoint, IndexAndShardsMustAgree) {
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

  Opened missing = index(R"("a":"1.safetensors","b":"3.safetensors")");
  EXPECT_EQ(missing.code, 3);
  EXPECT_TRUE(has(missing.message, {"3.safetensors", "missing shard"}));
  EXPECT_TRUE(has(index(R"("a":"1.safetensors","b":"1.safetensors",
                           "x":"1.safetensors")")
                      .message,
                  {"\"x\"", "listed in 1.safetensors", "does not hold it"}));
  EXPECT_TRUE(has(index(R"("a":"1.safetensors")").message,
                  {"1.safetensors", "\"b\"", "not listed"}));
  EXPECT_TRUE(has(index(R"("a":"1.safetensors","b":"2.safetensors",
                           "c":"2.safetensors")")
                      .message,
                  {"\"b\"", "listed in 2.safetensors", "1.safetensors"}));
  EXPECT_TRUE(has(index("").message, {"no tensor"}));

  writeText(folder.file("2.safetensors"), file({"c", "a"}));
  EXPECT_TRUE(has(index(R"("a":"1.safetensors","b":"1.safetensors",
                           "c":"2.safetensors")")
                      .message,
                  {"2.safetensors", "\"a\"", "duplicate", "1.safetensors"}));
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
