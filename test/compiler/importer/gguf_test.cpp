// GGUF files: the header and what is refused in it, names and shapes, the
// configuration and sampling defaults from metadata, models in parts.
#include "compiler/importer/GgufModel.h"
#include "compiler/importer/TensorNames.h"

#include "compiler/importer/Checkpoint.h"
#include "test/compiler/importer/GgufBuilder.h"
#include "test/compiler/importer/TestFiles.h"

#include <functional>
#include <nlohmann/json.hpp>

using namespace gemmac;
using namespace gemmac::test;

namespace {

struct Refusal {
  int code = 0;
  std::string message = "accepted";
};

template <typename Change>
Refusal parse(Change change) {
  GgufBuilder b;
  change(b);
  std::string file = b.file();
  Result<GgufHeader> header = parseGguf(file, "m.gguf");
  if (header)
    return {};
  return {int(header.error().code), header.error().message};
}

// The configuration of the builder's model after `change`.
template <typename Change>
Result<ModelConfig> config(Change change,
                           std::vector<std::string> *said = nullptr) {
  TemporaryFolder folder;
  GgufBuilder b;
  change(b);
  writeText(folder.file("m.gguf"), b.file());
  auto model = GgufModel::open(folder.file("m.gguf"));
  if (!model)
    return model.error();
  std::vector<std::string> warnings;
  Result<ModelConfig> result = readGgufConfig(**model, warnings);
  if (said)
    *said = warnings;
  return result;
}

template <typename Change>
Refusal refused(Change change) {
  Result<ModelConfig> result = config(change);
  if (result)
    return {};
  return {int(result.error().code), result.error().message};
}

TEST(Gguf, ReadsValuesOfEveryType) {
  GgufBuilder b;
  b.entries.clear();
  b.tensors.clear();
  b.raw("u8", bits(0, 4) + bits(200, 1));
  b.raw("i8", bits(1, 4) + bits(0xfe, 1));
  b.raw("u16", bits(2, 4) + bits(65535, 2));
  b.raw("i16", bits(3, 4) + bits(0xfffe, 2));
  b.u32("u32", 4000000000u);
  b.raw("i32", bits(5, 4) + bits(0xffffffff, 4));
  b.f32("f32", 1e-6f);
  b.raw("bool", bits(7, 4) + bits(1, 1));
  b.string("string", "text");
  b.raw("u64", bits(10, 4) + bits(~uint64_t(0), 8));
  b.raw("i64", bits(11, 4) + bits(~uint64_t(0), 8));
  b.raw("f64", bits(12, 4) + bits(std::bit_cast<uint64_t>(0.1), 8));
  b.array("array", 5, {7, -8});
  b.strings("strings", {"a", "", "bc"});
  // [[1], []] of i32.
  b.raw("nested", bits(9, 4) + bits(9, 4) + bits(2, 8) + bits(5, 4) +
                      bits(1, 8) + bits(1, 4) + bits(5, 4) + bits(0, 8));
  std::string file = b.file();
  Result<GgufHeader> header = parseGguf(file, "m.gguf");
  ASSERT_TRUE(header) << header.error().message;
  const Json expected = Json::parse(R"({
    "u8": 200, "i8": -2, "u16": 65535, "i16": -2, "u32": 4000000000, "i32": -1,
    "f32": 1e-6, "bool": true, "string": "text", "u64": 18446744073709551615.0,
    "i64": -1, "f64": 0.1, "array": [7, -8], "strings": ["a", "", "bc"],
    "nested": [[1], []]})");
  EXPECT_EQ(*header->metadata, expected);
  EXPECT_TRUE(header->find("u32").is_number_integer());
  EXPECT_TRUE(header->find("u64").is_number_float());
  EXPECT_TRUE(header->find("none").is_discarded());
  // Whoever changes the file afterwards changes nothing that was read.
  file.assign(file.size(), '\xff');
  EXPECT_EQ(*header->metadata, expected);
}

TEST(Gguf, PlacesTensors) {
  GgufBuilder b;
  b.tensor("token_embd.weight").type = 2; // Q4_0
  b.tensor("token_embd.weight").bytes = 272 * 18;
  std::string file = b.file();
  Result<GgufHeader> header = parseGguf(file, "m.gguf");
  ASSERT_TRUE(header) << header.error().message;
  const GgufTensor &embed = header->tensors[0];
  EXPECT_EQ(embed.name, "token_embd.weight");
  EXPECT_EQ(embed.shape, (std::vector<int64_t>{272, 32}));
  EXPECT_EQ(embed.type->type, SourceType::Q4_0);
  EXPECT_EQ(embed.begin, b.header().size());
  EXPECT_EQ(embed.end - embed.begin, 272u * 18);
}

TEST(Gguf, RefusesOtherFiles) {
  auto r = parse([](GgufBuilder &b) { b.magic = "GGML"; });
  EXPECT_EQ(r.code, 3);
  EXPECT_TRUE(has(r.message, {"m.gguf: ", "magic", "GGML"}));
  r = parse([](GgufBuilder &b) { b.version = 1; });
  EXPECT_EQ(r.code, 4);
  EXPECT_TRUE(has(r.message, {"version 1", "2 or 3"}));
  r = parse([](GgufBuilder &b) { b.version = 4; });
  EXPECT_TRUE(has(r.message, {"version 4", "too old"}));
  r = parse([](GgufBuilder &b) { b.version = 3 << 24; });
  EXPECT_EQ(r.code, 4);
  EXPECT_TRUE(has(r.message, {"big endian"}));
  EXPECT_EQ(parse([](GgufBuilder &b) { b.version = 2; }).code, 0);
}

TEST(Gguf, RefusesCountsAndSizes) {
  auto r = parse([](GgufBuilder &b) { b.entryCount = int64_t(1) << 62; });
  EXPECT_TRUE(has(r.message, {"metadata keys", "at most"}));
  r = parse([](GgufBuilder &b) { b.entryCount = 60000; });
  EXPECT_TRUE(has(r.message, {"60000 metadata keys", "fit"}));
  r = parse([](GgufBuilder &b) { b.tensorCount = 199999; });
  EXPECT_TRUE(has(r.message, {"tensors", "fit"}));
  r = parse(
      [](GgufBuilder &b) { b.raw("x", bits(8, 4) + bits(~uint64_t(0), 8)); });
  EXPECT_TRUE(has(r.message, {"truncated", "string"}));
  r = parse([](GgufBuilder &b) {
    b.raw("x", bits(9, 4) + bits(4, 4) + bits(uint64_t(1) << 62, 8));
  });
  EXPECT_TRUE(has(r.message, {"truncated", "array of 4611686018427387904"}));
  r = parse([](GgufBuilder &b) {
    b.raw("x", bits(9, 4) + bits(0, 4) + bits(ggufValues + 1, 8) +
                   std::string(ggufValues + 1, '\0'));
  });
  EXPECT_TRUE(has(r.message, {"more than 16777216 elements", "\"x\""}));
  r = parse([](GgufBuilder &b) { b.raw("x", bits(13, 4) + bits(0, 8)); });
  EXPECT_TRUE(has(r.message, {"type 0 to 12", "13", "\"x\""}));
  r = parse([](GgufBuilder &b) {
    std::string deep;
    for (int i = 0; i < 100; ++i)
      deep += bits(9, 4) + bits(1, 8);
    b.raw("x", bits(9, 4) + deep);
  });
  EXPECT_TRUE(has(r.message, {"nested deeper"}));
  r = parse([](GgufBuilder &b) { b.entries.push_back(b.entries[0]); });
  EXPECT_TRUE(has(r.message, {"general.architecture", "twice"}));
  r = parse([](GgufBuilder &b) { b.u32("general.alignment", 24); });
  EXPECT_TRUE(has(r.message, {"general.alignment", "power of two", "24"}));
}

TEST(Gguf, RefusesTensors) {
  const char *name = "token_embd.weight";
  auto r = parse([&](GgufBuilder &b) { b.tensor(name).offset = 32; });
  EXPECT_TRUE(has(r.message, {"overlaps"}));
  r = parse([&](GgufBuilder &b) { b.tensor(name).offset = 8; });
  EXPECT_TRUE(has(r.message, {name, "multiple of 32"}));
  r = parse([&](GgufBuilder &b) { b.tensor(name).offset = int64_t(1) << 60; });
  EXPECT_TRUE(has(r.message, {name, "beyond the data", "truncated"}));
  r = parse([&](GgufBuilder &b) {
    b.tensor(name).ne = {uint64_t(1) << 40, uint64_t(1) << 40};
  });
  EXPECT_TRUE(has(r.message, {name, "2^50"}));
  r = parse([&](GgufBuilder &b) { b.tensor(name).ne = {32, 0}; });
  EXPECT_TRUE(has(r.message, {name, "at least 1"}));
  r = parse([&](GgufBuilder &b) { b.tensor(name).ne = {1, 1, 1, 1, 1}; });
  EXPECT_TRUE(has(r.message, {name, "1 to 4 dimensions"}));
  r = parse([&](GgufBuilder &b) { b.tensor(name).ne = {}; });
  EXPECT_TRUE(has(r.message, {name, "1 to 4 dimensions"}));
  r = parse([&](GgufBuilder &b) { b.tensor(name).type = 1000; });
  EXPECT_EQ(r.code, 4);
  EXPECT_TRUE(has(r.message, {name, "unknown type 1000"}));
  r = parse([&](GgufBuilder &b) {
    b.tensor(name).ne = {31, 272};
    b.tensor(name).type = 2;
  });
  EXPECT_TRUE(has(r.message, {name, "Q4_0", "multiple of 32", "31"}));
  r = parse([&](GgufBuilder &b) { b.tensors.push_back(b.tensor(name)); });
  EXPECT_TRUE(has(r.message, {name, "twice"}));
  r = parse([&](GgufBuilder &b) { b.tensor(name).bytes += 64; });
  EXPECT_TRUE(has(r.message, {"64 bytes belong to no tensor"}));
}

// As gguf 0.19 numbers them.
TEST(Gguf, NamesTypesThatAreNotRead) {
  struct {
    uint32_t id;
    const char *name;
  } const types[] = {{9, "Q8_1"},    {10, "Q2_K"},  {15, "Q8_K"},
                     {20, "IQ4_NL"}, {29, "IQ1_M"}, {34, "TQ1_0"},
                     {39, "MXFP4"},  {40, "NVFP4"}, {41, "Q1_0"}};
  for (const auto &type : types) {
    const GgufTensorType *found = findGgufTensorType(type.id);
    ASSERT_TRUE(found) << type.name;
    EXPECT_STREQ(found->name, type.name);
    EXPECT_EQ(found->type, SourceType::Other);
  }
}

// Every file that is cut short is refused, wherever it ends.
TEST(Gguf, RefusesEveryTruncation) {
  GgufBuilder b;
  std::string file = b.file();
  size_t header = b.header().size();
  for (size_t size = 0; size < file.size(); size += size < header ? 1 : 997) {
    Result<GgufHeader> cut = parseGguf(file.substr(0, size), "m.gguf");
    ASSERT_FALSE(cut) << size;
    EXPECT_EQ(cut.error().code, ExitCode::BadInput) << cut.error().message;
  }
}

TEST(Gguf, TranslatesNames) {
  const std::pair<const char *, const char *> names[] = {
      {"token_embd.weight", "embed_tokens.weight"},
      {"blk.12.ffn_gate_inp.scale", "layers.12.router.scale"},
      {"blk.0.ffn_down_exps.scale", "layers.0.router.per_expert_scale"},
      {"blk.0.post_norm.weight", "layers.0.post_per_layer_input_norm.weight"},
      {"blk.3.layer_output_scale.weight", "layers.3.layer_scalar"},
      {"blk.x.ffn_up.weight", "blk.x.ffn_up.weight"},
      {"blk.3.unknown.weight", "blk.3.unknown.weight"},
      {"rope_freqs.weight", "rope_freqs.weight"}};
  for (auto [gguf, canonical] : names) {
    EXPECT_EQ(canonicalFromGguf(gguf), canonical);
    EXPECT_EQ(ggufFromCanonical(canonical), gguf);
  }
  EXPECT_STREQ(towerOf(canonicalFromGguf("v.blk.0.ln1.weight")),
               "vision_tower");
}

TEST(GgufConfig, FillsTheConfiguration) {
  std::vector<std::string> warnings;
  auto model = config([](GgufBuilder &) {}, &warnings);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(model->layers, 2);
  EXPECT_EQ(model->vocab, 272);
  EXPECT_EQ(model->eps, 1e-6);
  EXPECT_EQ(model->localRope.theta, 1e4);
  EXPECT_EQ(model->localRope.pairs, 8);
  EXPECT_EQ(model->globalRope.pairs, 4);
  EXPECT_EQ(model->globalRope.dim, 32);
  EXPECT_FALSE(model->layer[0].global);
  EXPECT_TRUE(model->layer[1].global);
  EXPECT_FALSE(model->layer[0].keyIsValue);
  EXPECT_TRUE(model->layer[1].keyIsValue); // no attn_v
  EXPECT_EQ(model->layer[0].kvHeads, 2);
  EXPECT_EQ(model->layer[1].kvHeads, 1);
  EXPECT_TRUE(model->tied);
  EXPECT_EQ(model->embedScale, 5.65625); // sqrt(32) in bf16
}

TEST(GgufConfig, ScalarsAndArraysPerLayer) {
  auto model = config([](GgufBuilder &b) {
    b.array("gemma4.feed_forward_length", 5, {48, 96});
    b.u32("gemma4.attention.head_count_kv", 1);
    b.u32("gemma4.attention.sliding_window_pattern", 2);
    b.add("blk.1.attn_v.weight", {32, 32});
    b.add("output.weight", {32, 272});
    b.tensor("output.weight").data = std::string(32 * 272 * 4, '\1');
  });
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->layer[1].ffn, 96);
  EXPECT_FALSE(model->layer[1].keyIsValue);
  EXPECT_TRUE(model->layer[1].global);
  EXPECT_FALSE(model->tied);
}

TEST(GgufConfig, Refusals) {
  struct {
    std::function<void(GgufBuilder &)> change;
    int code;
    std::vector<const char *> words;
  } const cases[] = {
      {[](auto &b) { b.erase("gemma4.block_count"); },
       3,
       {"gemma4.block_count", "missing"}},
      {[](auto &b) { b.u32("gemma4.block_count", 0); },
       3,
       {"gemma4.block_count", "from 1 to 1024", "got 0"}},
      {[](auto &b) { b.string("gemma4.block_count", "2"); },
       3,
       {"gemma4.block_count", "integer"}},
      {[](auto &b) { b.array("gemma4.attention.head_count_kv", 5, {1, 1, 1}); },
       3,
       {"head_count_kv", "array of 2"}},
      {[](auto &b) {
         b.strings("gemma4.attention.sliding_window_pattern", {"a", "b"});
       },
       3,
       {"sliding_window_pattern", "array of 2"}},
      {[](auto &b) {
         b.array("gemma4.attention.sliding_window_pattern", 7, {0, 1});
       },
       4,
       {"sliding_window_pattern", "global last layer"}},
      {[](auto &b) { b.u32("gemma4.attention.head_count", 3); },
       3,
       {"layer 0", "multiple"}},
      {[](auto &b) { b.u32("gemma4.attention.value_length", 64); },
       4,
       {"value_length", "32", "64"}},
      {[](auto &b) { b.u32("gemma4.rope.dimension_count", 16); },
       4,
       {"rope.dimension_count", "32", "16"}},
      {[](auto &b) { b.f32("gemma4.rope.scaling.factor", 4); },
       4,
       {"rope.scaling.factor", "4"}},
      {[](auto &b) { b.u32("gemma4.attention.shared_kv_layers", 2); },
       3,
       {"shared_kv_layers", "0 to 1"}},
      {[](auto &b) { b.drop("token_embd.weight"); },
       3,
       {"token_embd.weight", "missing"}},
      {[](auto &b) {
         b.tensor("rope_freqs.weight").data = std::string(64, '\0');
       },
       4,
       {"rope_freqs.weight", "pair 0"}},
      {[](auto &b) { b.string("general.architecture", "llama"); },
       4,
       {"llama", "supported is gemma4"}},
      {[](auto &b) { b.string("general.architecture", "clip"); },
       4,
       {"towers", "mmproj"}},
      {[](auto &b) { b.tensors.clear(); }, 3, {"no tensors", "vocabulary"}},
  };
  for (const auto &c : cases) {
    Refusal r = refused(c.change);
    EXPECT_EQ(r.code, c.code) << r.message;
    for (const char *word : c.words)
      EXPECT_TRUE(has(r.message, {word}));
  }
}

TEST(GgufConfig, WarnsWithoutRopeFactors) {
  std::vector<std::string> warnings;
  auto model =
      config([](GgufBuilder &b) { b.drop("rope_freqs.weight"); }, &warnings);
  ASSERT_TRUE(model);
  EXPECT_EQ(model->globalRope.pairs, 4);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_TRUE(has(warnings[0], {"rope_freqs.weight", "missing"}));
}

TEST(GgufConfig, Generation) {
  TemporaryFolder folder;
  std::vector<std::string> warnings;
  auto read = [&](auto change) {
    GgufBuilder b;
    change(b);
    writeText(folder.file("m.gguf"), b.file());
    auto model = GgufModel::open(folder.file("m.gguf"));
    auto config = readGgufConfig(**model, warnings);
    warnings.clear();
    auto generation = readGgufGeneration(**model, *config, warnings);
    EXPECT_TRUE(generation) << generation.error().message;
    return *generation;
  };
  GenerationConfig none = read([](GgufBuilder &) {});
  EXPECT_EQ(none.temperature, 0);
  EXPECT_EQ(none.samplingFrom, "");
  EXPECT_EQ(none.stopFrom, "");

  GenerationConfig some = read([](GgufBuilder &b) {
    b.u32("tokenizer.ggml.eos_token_id", 1);
    b.u32("tokenizer.ggml.eot_token_id", 3);
    b.array("tokenizer.ggml.suppress_tokens", 5, {9, 7, 9});
    b.f32("general.sampling.top_p", 0.95f);
  });
  EXPECT_EQ(some.stop, (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(some.suppress, (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(some.temperature, 1); // the other values are those of transformers
  EXPECT_EQ(some.topK, 50);
  EXPECT_EQ(some.topP, 0.95);
  EXPECT_TRUE(has(some.samplingFrom, {"m.gguf"}));
  EXPECT_TRUE(warnings.empty());

  some = read([](GgufBuilder &b) {
    b.array("tokenizer.ggml.suppress_tokens", 5, {272, 3});
    b.f32("general.sampling.min_p", 0.05f);
    b.u32("general.sampling.top_k", 0);
    b.f32("general.sampling.penalty_repeat", 1.1f);
  });
  EXPECT_EQ(some.suppress, (std::vector<int64_t>{3}));
  EXPECT_EQ(some.minP, 0.05);
  EXPECT_EQ(some.topK, 0);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_TRUE(has(warnings[0], {"penalty_repeat (1.1) is ignored"}));
  EXPECT_TRUE(has(warnings[1], {"suppress_tokens", "272"}));
}

// Tensors dealt over two files.
struct Parts {
  Parts() {
    for (int i = 0; i < 2; ++i) {
      GgufBuilder b;
      std::vector<GgufBuilder::Tensor> mine;
      for (size_t t = 0; t < b.tensors.size(); ++t)
        if (t % 2 == size_t(i))
          mine.push_back(b.tensors[t]);
      all = b.tensors.size();
      b.tensors = mine;
      if (i == 1)
        b.entries.clear();
      b.raw("split.no", bits(2, 4) + bits(uint64_t(i), 2));
      b.raw("split.count", bits(2, 4) + bits(2, 2));
      b.u32("split.tensors.count", uint32_t(all));
      part[i] = b;
    }
  }
  std::string path(int i) const {
    return folder.file(i ? "m-00002-of-00002.gguf" : "m-00001-of-00002.gguf");
  }
  void write() {
    for (int i = 0; i < 2; ++i)
      writeText(path(i), part[i].file());
  }
  std::string refusal(int i = 0) {
    auto model = GgufModel::open(path(i));
    return model ? "accepted" : model.error().message;
  }
  TemporaryFolder folder;
  GgufBuilder part[2];
  size_t all = 0;
};

TEST(GgufParts, AnyPartOpensAll) {
  Parts parts;
  parts.write();
  for (int i = 0; i < 2; ++i) {
    auto model = GgufModel::open(parts.path(i));
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ((*model)->tensors().size(), parts.all);
    EXPECT_EQ((*model)->files().size(), 2u);
    EXPECT_EQ((*model)->path(), parts.path(0));
    std::vector<std::string> warnings;
    EXPECT_TRUE(readGgufConfig(**model, warnings));
  }
}

TEST(GgufParts, Refusals) {
  {
    Parts parts;
    parts.write();
    std::filesystem::remove(parts.path(1));
    EXPECT_TRUE(has(parts.refusal(), {"m-00002-of-00002.gguf", "2 parts"}));
    parts.part[1].raw("split.no", bits(2, 4) + bits(0, 2));
    parts.write();
    EXPECT_TRUE(has(parts.refusal(), {"part 2 of 2", "got part 1 of 2"}));
    writeText(parts.folder.file("m.gguf"), parts.part[0].file());
    auto renamed = GgufModel::open(parts.folder.file("m.gguf"));
    ASSERT_FALSE(renamed);
    EXPECT_TRUE(has(renamed.error().message, {"-00001-of-00002.gguf", "name"}));
  }
  Parts fewer;
  fewer.part[1].drop(fewer.part[1].tensors[0].name);
  fewer.write();
  EXPECT_TRUE(has(fewer.refusal(), {"split.tensors.count"}));
  Parts twice;
  twice.part[1].tensors[0].name = twice.part[0].tensors[0].name;
  twice.write();
  EXPECT_TRUE(has(twice.refusal(), {"duplicate"}));
}

} // namespace
