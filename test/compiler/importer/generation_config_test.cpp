// generation_config.json: sampling defaults and special ids.
#include "compiler/importer/Config.h"

#include "test/compiler/importer/TestFiles.h"

using namespace gemmac;
using namespace gemmac::test;

namespace {

ModelConfig model(int64_t vocab) {
  ModelConfig config;
  config.vocab = vocab;
  return config;
}

GenerationConfig parse(const std::string &text) {
  std::vector<std::string> warnings;
  Result<GenerationConfig> config =
      parseGenerationConfig(text, "g.json", model(200), warnings);
  EXPECT_TRUE(config) << (config ? "" : config.error().message);
  return config ? *config : GenerationConfig();
}

std::string problem(const std::string &text) {
  std::vector<std::string> warnings;
  Result<GenerationConfig> config =
      parseGenerationConfig(text, "g.json", model(200), warnings);
  if (config)
    return "accepted";
  EXPECT_EQ(config.error().code, ExitCode::BadInput);
  return config.error().message;
}

TEST(GenerationConfig, ReadsTheReleasedForm) {
  std::vector<std::string> w;
  Result<GenerationConfig> g =
      readGenerationConfig(source("test/Inputs/configs/12B"), model(262144), w);
  ASSERT_TRUE(g);
  EXPECT_EQ(g->temperature, 1.0);
  EXPECT_EQ(g->topK, 64);
  EXPECT_EQ(g->topP, 0.95);
  EXPECT_EQ(g->stop, (std::vector<int64_t>{1, 50, 106}));
  EXPECT_EQ(g->suppress, (std::vector<int64_t>{258882, 258883}));
  EXPECT_EQ(g->bos, 2);
  EXPECT_EQ(g->pad, 0);
}

TEST(GenerationConfig, Defaults) {
  GenerationConfig g = parse("{}");
  EXPECT_EQ(g.temperature, 1.0);
  EXPECT_EQ(g.topK, 64);
  EXPECT_EQ(g.topP, 0.95);
  EXPECT_EQ(g.stop, (std::vector<int64_t>{1}));
  EXPECT_TRUE(g.suppress.empty());
}

TEST(GenerationConfig, NumberListAndGreedy) {
  EXPECT_EQ(parse(R"({"eos_token_id": 7})").stop, (std::vector<int64_t>{7}));
  EXPECT_EQ(parse(R"({"eos_token_id": [9, 7, 9]})").stop,
            (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(parse(R"({"do_sample": false, "temperature": 1.0})").temperature,
            0);
  EXPECT_EQ(parse(R"({"temperature": null, "top_k": null})").topK, 64);
}

TEST(GenerationConfig, ConfigJsonFillsIn) {
  TemporaryFolder folder;
  writeText(folder.file("config.json"),
            R"({"eos_token_id": [1, 106],
                "text_config": {"bos_token_id": 5, "eos_token_id": 3}})");
  std::vector<std::string> w;
  Result<GenerationConfig> g = readGenerationConfig(folder.path, model(200), w);
  ASSERT_TRUE(g) << g.error().message;
  EXPECT_EQ(g->stop, (std::vector<int64_t>{1, 106}));
  EXPECT_EQ(g->bos, 5);
  writeText(folder.file("generation_config.json"), R"({"eos_token_id": 4})");
  g = readGenerationConfig(folder.path, model(200), w);
  ASSERT_TRUE(g);
  EXPECT_EQ(g->stop, (std::vector<int64_t>{4}));
  EXPECT_EQ(g->bos, 5);
}

TEST(GenerationConfig, Broken) {
  EXPECT_TRUE(has(problem("{"), {"g.json", "JSON", "byte"}));
  EXPECT_TRUE(has(problem("[]"), {"expects an object"}));
  EXPECT_TRUE(has(problem(R"({"eos_token_id": 200})"),
                  {"eos_token_id", "0 to 199", "got 200"}));
  EXPECT_TRUE(has(problem(R"({"eos_token_id": [1, -1]})"), {"got -1"}));
  EXPECT_TRUE(has(problem(R"({"eos_token_id": "x"})"), {"\"x\""}));
  EXPECT_TRUE(has(problem(R"({"suppress_tokens": [250]})"),
                  {"suppress_tokens", "got 250"}));
  EXPECT_TRUE(has(problem(R"({"bos_token_id": 1.5})"), {"bos_token_id"}));
  EXPECT_TRUE(has(problem(R"({"temperature": -1})"), {"temperature"}));
  EXPECT_TRUE(has(problem(R"({"top_p": 1.5})"), {"top_p", "got 1.5"}));
  EXPECT_TRUE(has(problem(R"({"top_k": -5})"), {"top_k", "got -5"}));
  EXPECT_TRUE(has(problem(R"({"do_sample": 0})"), {"do_sample"}));
}

TEST(GenerationConfig, WarnsOfWhatIsIgnored) {
  std::vector<std::string> w;
  Result<GenerationConfig> g = parseGenerationConfig(
      R"({"repetition_penalty": 1.1, "eos_token_id": []})", "g.json",
      model(200), w);
  ASSERT_TRUE(g);
  ASSERT_EQ(w.size(), 2u);
  EXPECT_TRUE(has(w[0], {"repetition_penalty"}));
  EXPECT_TRUE(has(w[1], {"eos_token_id"}));
}

} // namespace
