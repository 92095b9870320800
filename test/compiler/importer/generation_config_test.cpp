// generation_config.json: sampling defaults and special ids, also as recorded
// of transformers (test/tools/make_generation_cases.py).
#include "compiler/importer/Config.h"

#include "test/compiler/importer/TestFiles.h"

#include <nlohmann/json.hpp>

#include <sstream>

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
  EXPECT_TRUE(w.empty());
}

// Each case: the two files, and what transformers does with them in effect.
TEST(GenerationConfig, EqualsTransformers) {
  std::istringstream lines(
      readText(source("test/Inputs/generation/transformers.jsonl")));
  TemporaryFolder folder;
  int cases = 0;
  for (std::string line; std::getline(lines, line); ++cases) {
    auto expected = nlohmann::json::parse(line);
    SCOPED_TRACE(line);
    writeText(folder.file("config.json"), expected["config"]);
    std::string own = folder.file("generation_config.json");
    if (expected["generation"].is_null())
      remove(own.c_str());
    else
      writeText(own, expected["generation"]);
    std::vector<std::string> warnings;
    Result<GenerationConfig> g =
        readGenerationConfig(folder.path, model(200), warnings);
    ASSERT_TRUE(g) << g.error().message;
    if (expected.contains("refused")) {
      // A whole number is as good as one with a point, and the reverse.
      std::string own = expected["generation"];
      bool plain = has(own, {"\"top_k\": 40.0"}) ||
                   has(own, {"\"temperature\": 2,"}) ||
                   has(own, {"\"temperature\": 2}"});
      EXPECT_EQ(warnings.size(), plain ? 0u : 1u);
      continue;
    }
    EXPECT_EQ(g->temperature, expected["temperature"].get<double>());
    if (g->temperature > 0) {
      EXPECT_EQ(g->topK >= 200 ? 0 : g->topK, expected["top_k"].get<int>());
      EXPECT_EQ(g->topP, expected["top_p"].get<double>());
      EXPECT_EQ(g->minP, expected["min_p"].get<double>());
    }
    EXPECT_EQ(g->suppress, expected["suppress"].get<std::vector<int64_t>>());
    bool ignored =
        std::any_of(warnings.begin(), warnings.end(), [](const std::string &w) {
          return has(w, {"is ignored"});
        });
    if (!expected["other"].empty())
      EXPECT_TRUE(ignored);
  }
  EXPECT_GE(cases, 200);
}

TEST(GenerationConfig, Defaults) {
  GenerationConfig g = parse("{}");
  EXPECT_EQ(g.temperature, 0); // do_sample is false
  EXPECT_EQ(g.topK, 50);
  EXPECT_EQ(g.topP, 1);
  EXPECT_EQ(g.samplingFrom, "g.json");
  EXPECT_TRUE(g.stop.empty());
  EXPECT_EQ(g.stopFrom, "");
  EXPECT_TRUE(g.suppress.empty());
}

TEST(GenerationConfig, Stop) {
  EXPECT_EQ(parse(R"({"eos_token_id": 7})").stop, (std::vector<int64_t>{7}));
  EXPECT_EQ(parse(R"({"eos_token_id": [9, 7, 9]})").stop,
            (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(parse(R"({"eos_token_id": 7.0})").stop, (std::vector<int64_t>{7}));
  EXPECT_EQ(parse(R"({"eos_token_id": []})").stopFrom, "g.json");
}

TEST(GenerationConfig, ConfigJsonFillsIn) {
  TemporaryFolder folder;
  writeText(folder.file("config.json"),
            R"({"eos_token_id": [1, 106],
                "text_config": {"eos_token_id": 3}})");
  std::vector<std::string> w;
  Result<GenerationConfig> g = readGenerationConfig(folder.path, model(200), w);
  ASSERT_TRUE(g) << g.error().message;
  EXPECT_EQ(g->stop, (std::vector<int64_t>{1, 106}));
  EXPECT_TRUE(has(g->stopFrom, {"/config.json"}));
  EXPECT_EQ(g->samplingFrom, ""); // nobody says
  writeText(folder.file("generation_config.json"), R"({"top_k": 4})");
  g = readGenerationConfig(folder.path, model(200), w);
  ASSERT_TRUE(g);
  EXPECT_EQ(g->stop, (std::vector<int64_t>{1, 106}));
  writeText(folder.file("generation_config.json"), R"({"eos_token_id": 4})");
  g = readGenerationConfig(folder.path, model(200), w);
  ASSERT_TRUE(g);
  EXPECT_EQ(g->stop, (std::vector<int64_t>{4}));
  EXPECT_TRUE(has(g->stopFrom, {"generation_config.json"}));
}

TEST(GenerationConfig, Broken) {
  EXPECT_TRUE(has(problem("{"), {"g.json", "JSON", "byte"}));
  EXPECT_TRUE(has(problem("[]"), {"expects an object"}));
  EXPECT_TRUE(has(problem(R"({"eos_token_id": "x"})"),
                  {"eos_token_id", "token ids", "\"x\""}));
  EXPECT_TRUE(has(problem(R"({"eos_token_id": [1, null]})"), {"null"}));
  EXPECT_TRUE(has(problem(R"({"suppress_tokens": [1.5]})"), {"1.5"}));
  EXPECT_TRUE(has(problem(R"({"do_sample": true, "temperature": "warm"})"),
                  {"temperature", "a number", "warm"}));
  EXPECT_TRUE(has(problem(R"({"do_sample": true, "top_k": [1]})"), {"top_k"}));
  // What is not used is not looked at.
  EXPECT_EQ(problem(R"({"top_k": [1], "temperature": "warm"})"), "accepted");
}

TEST(GenerationConfig, SaysHowOddValuesAreTaken) {
  struct {
    const char *text;
    std::vector<const char *> words;
  } const cases[] = {
      {R"({"eos_token_id": [1, -1]})", {"eos_token_id", "-1", "no id of the"}},
      {R"({"suppress_tokens": [250, 3]})", {"suppress_tokens", "250", "200"}},
      {R"({"repetition_penalty": 1.1})", {"repetition_penalty (1.1)", "ignor"}},
      {R"({"do_sample": true, "temperature": -1})",
       {"temperature is -1", "most likely"}},
      {R"({"do_sample": true, "top_k": -5})", {"top_k is -5", "no limit"}},
      {R"({"do_sample": true, "top_p": -1})", {"top_p is -1", "no limit"}},
      {R"({"do_sample": true, "min_p": 2})", {"min_p is 2", "no limit"}},
  };
  for (const auto &c : cases) {
    std::vector<std::string> w;
    ASSERT_TRUE(parseGenerationConfig(c.text, "g.json", model(200), w));
    ASSERT_EQ(w.size(), 1u) << c.text;
    for (const char *word : c.words)
      EXPECT_TRUE(has(w[0], {"g.json: ", word})) << c.text;
  }
}

} // namespace
