// Reading tokenizer.json: what is accepted, and that each
// kind of broken file is refused with a message that names what is wrong.
#include "compiler/importer/Tokenizer.h"

#include "test/compiler/importer/TestFiles.h"

#include <nlohmann/json.hpp>

#include <sys/stat.h>

using namespace gemmac;
using namespace gemmac::test;
using Ordered = nlohmann::ordered_json;

namespace {

constexpr int64_t vocabSize = 319;

Ordered synthetic() {
  static const Ordered json =
      Ordered::parse(readText(source("test/Inputs/tokenizer/synthetic.json")));
  return json;
}

Result<std::vector<uint8_t>> packText(const std::string &text,
                                      int64_t vocab = vocabSize) {
  std::vector<std::string> warnings;
  auto packed = packTokenizerText(text, "tokenizer.json", vocab, warnings);
  if (!packed)
    return packed.error();
  return std::move(packed->blob);
}

// The message for the synthetic tokenizer after `change`.
template <typename Change>
std::string refused(Change change, ExitCode code = ExitCode::BadInput,
                    int64_t vocab = vocabSize) {
  Ordered json = synthetic();
  change(json);
  auto packed = packText(json.dump(), vocab);
  if (packed)
    return "accepted";
  EXPECT_EQ(packed.error().code, code) << packed.error().message;
  EXPECT_TRUE(has(packed.error().message, {"tokenizer.json: "}));
  return packed.error().message;
}

template <typename Change>
bool accepted(Change change, int64_t vocab = vocabSize) {
  Ordered json = synthetic();
  change(json);
  auto packed = packText(json.dump(), vocab);
  if (!packed)
    ADD_FAILURE() << packed.error().message;
  return bool(packed);
}

TEST(Tokenizer, AcceptsWhatHfAccepts) {
  EXPECT_TRUE(accepted([](Ordered &) {}));
  EXPECT_TRUE(accepted([](Ordered &j) { j["pre_tokenizer"] = nullptr; }));
  EXPECT_TRUE(accepted([](Ordered &j) { j.erase("version"); }));
  EXPECT_TRUE(accepted([](Ordered &j) { j["model"].erase("dropout"); }));
  EXPECT_TRUE(accepted([](Ordered &j) {
    j["post_processor"] = {{"type", "TemplateProcessing"}};
  }));
  // Both spellings of merges, in any mix, give the same bytes.
  Ordered lists = synthetic();
  for (Ordered &merge : lists["model"]["merges"]) {
    std::string text = merge;
    size_t space = text.find(' ', 1);
    merge = Ordered::array({text.substr(0, space), text.substr(space + 1)});
  }
  EXPECT_EQ(*packText(lists.dump()), *packText(synthetic().dump()));
  // vocab may follow merges.
  Ordered turned = synthetic();
  Ordered vocab = turned["model"]["vocab"];
  turned["model"].erase("vocab");
  turned["model"]["vocab"] = vocab;
  EXPECT_EQ(*packText(turned.dump()), *packText(synthetic().dump()));
}

TEST(Tokenizer, WarnsOfAPostProcessor) {
  Ordered json = synthetic();
  json["post_processor"] = {{"type", "ByteLevel"}};
  std::vector<std::string> warnings;
  EXPECT_TRUE(packTokenizerText(json.dump(), "t", vocabSize, warnings));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_TRUE(has(warnings[0], {"post_processor", "ByteLevel"}));
}

TEST(Tokenizer, NotJson) {
  std::string text = synthetic().dump();
  for (size_t cut : {size_t(0), size_t(1), text.size() / 2, text.size() - 1}) {
    auto packed = packText(text.substr(0, cut));
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, ExitCode::BadInput);
    EXPECT_TRUE(has(packed.error().message, {"JSON", "byte"}));
  }
  for (const char *other :
       {"[]", "{}", "3", "[[1]]", "[{\"model\":{}}]", "{\"model\":3}",
        "{\"model\":[[1]]}", "{\"model\":{\"vocab\":{}}}"})
    EXPECT_FALSE(packText(other)) << other;
  std::string deep(100, '[');
  EXPECT_TRUE(has(packText(deep).error().message, {"64"}));
}

TEST(Tokenizer, OtherKinds) {
  auto unsupported = [](auto change) {
    return refused(change, ExitCode::Unsupported);
  };
  EXPECT_TRUE(
      has(unsupported([](Ordered &j) { j["model"]["type"] = "Unigram"; }),
          {"model.type", "BPE", "Unigram"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) { j["model"].erase("type"); }),
                  {"model.type", "nothing"}));
  EXPECT_TRUE(
      has(unsupported([](Ordered &j) { j["model"]["byte_fallback"] = false; }),
          {"byte_fallback", "true", "false"}));
  EXPECT_TRUE(
      has(unsupported([](Ordered &j) { j["model"]["ignore_merges"] = true; }),
          {"ignore_merges"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) { j["model"]["dropout"] = 0.5; }),
                  {"dropout"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) {
                    j["model"]["continuing_subword_prefix"] = "##";
                  }),
                  {"continuing_subword_prefix", "##"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) {
                    j["model"]["end_of_word_suffix"] = "</w>";
                  }),
                  {"end_of_word_suffix"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) { j["normalizer"] = nullptr; }),
                  {"normalizer.type", "Replace"}));
  EXPECT_TRUE(
      has(unsupported([](Ordered &j) { j["normalizer"] = {{"type", "NFC"}}; }),
          {"normalizer.type", "NFC"}));
  EXPECT_TRUE(
      has(unsupported([](Ordered &j) { j["normalizer"]["content"] = "_"; }),
          {"normalizer.content", "\"_\""}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) {
                    j["normalizer"]["pattern"] = {{"Regex", " "}};
                  }),
                  {"normalizer.pattern.String"}));
  EXPECT_TRUE(has(
      unsupported([](Ordered &j) { j["pre_tokenizer"]["type"] = "ByteLevel"; }),
      {"pre_tokenizer.type", "ByteLevel"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) {
                    j["pre_tokenizer"]["pattern"]["String"] = "a";
                  }),
                  {"pre_tokenizer.pattern"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) { j["decoder"] = nullptr; }),
                  {"decoder.type"}));
  EXPECT_TRUE(
      has(unsupported([](Ordered &j) { j["decoder"]["decoders"].erase(2); }),
          {"decoder.decoders"}));
  EXPECT_TRUE(has(unsupported([](Ordered &j) {
                    j["decoder"]["decoders"][1]["type"] = "ByteLevel";
                  }),
                  {"decoder.decoders[1]", "ByteFallback"}));
}

TEST(Tokenizer, SizesAndIds) {
  EXPECT_TRUE(has(refused([](Ordered &) {}, ExitCode::BadInput, 300),
                  {"at most 300", "got 316"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["model"]["vocab"]["a"] = "x"; }),
                  {"\"a\"", "id", "got \"x\""}));
  EXPECT_TRUE(has(
      refused([](Ordered &j) { j["model"]["vocab"]["a"] = Ordered::object(); }),
      {"\"a\"", "object"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["model"]["vocab"]["a"] = 1.5; }),
                  {"\"a\"", "got 1.5"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["model"]["vocab"]["a"] = 319; }),
                  {"\"a\"", "318", "319 rows", "got 319"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["model"]["vocab"]["a"] = -1; }),
                  {"\"a\"", "-1"}));
  EXPECT_TRUE(has(refused([](Ordered &j) {
                    j["model"]["vocab"]["a"] = j["model"]["vocab"]["b"];
                  }),
                  {"\"a\"", "\"b\"", "same id"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["model"]["vocab"] = nullptr; }),
                  {"model.vocab", "null"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["model"].erase("merges"); }),
                  {"model.merges", "nothing"}));
  EXPECT_TRUE(has(refused([](Ordered &j) {
                    j["model"]["vocab"].erase("<0x41>");
                    j["model"]["vocab"]["zz"] = 75;
                  }),
                  {"byte tokens", "<0x41>"}));
  std::string text = synthetic().dump();
  text.insert(text.find("\"a\":"), "\"a\":1,");
  EXPECT_TRUE(has(packText(text).error().message, {"duplicate", "\"a\""}));
}

TEST(Tokenizer, AddedTokens) {
  EXPECT_TRUE(has(refused([](Ordered &j) { j["added_tokens"] = 3; }),
                  {"added_tokens", "got 3"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["added_tokens"][1] = 3; }),
                  {"added_tokens[1]"}));
  EXPECT_TRUE(
      has(refused([](Ordered &j) { j["added_tokens"][1]["content"] = ""; }),
          {"added_tokens[1].content"}));
  EXPECT_TRUE(has(refused([](Ordered &j) { j["added_tokens"][1]["id"] = "x"; }),
                  {"added_tokens[1].id"}));
  EXPECT_TRUE(
      has(refused([](Ordered &j) { j["added_tokens"][1]["lstrip"] = 1; }),
          {"added_tokens[1].lstrip", "true or false"}));
}

// The library counts on from the pieces, whatever ids the file has.
TEST(Tokenizer, IdsOfAddedTokens) {
  for (int id : {400, 4}) {
    Ordered json = synthetic();
    json["added_tokens"].back()["id"] = id;
    std::vector<std::string> warnings;
    auto packed = packTokenizerText(json.dump(), "t", vocabSize, warnings);
    ASSERT_TRUE(packed) << packed.error().message;
    EXPECT_EQ(packed->vocabulary.pieces, vocabSize);
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_TRUE(has(warnings[0], {"t: added token \"", "library counts on"}));
  }
}

// Rows that no token has, ids that nothing has, tokens without a row.
TEST(Tokenizer, OtherSizes) {
  std::vector<std::string> warnings;
  Ordered json = synthetic();
  auto packed = packTokenizerText(json.dump(), "t", 2048, warnings);
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_EQ(packed->vocabulary.pieces, vocabSize);
  EXPECT_TRUE(packed->vocabulary.unused.empty());
  EXPECT_TRUE(packed->vocabulary.speaksChat());

  packed = packTokenizerText(json.dump(), "t", vocabSize - 2, warnings);
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_EQ(packed->vocabulary.pieces, vocabSize - 2);
  EXPECT_EQ(packed->vocabulary.beyond, 2);

  json["model"]["vocab"]["zz"] = 330; // 316 to 318 are added tokens
  packed = packTokenizerText(json.dump(), "t", 400, warnings);
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_EQ(packed->vocabulary.pieces, 331);
  EXPECT_EQ(packed->vocabulary.unused.front(), 316); // a piece more: 317 on
  EXPECT_EQ(packed->vocabulary.unused.size(), 331u - 320);
  warnings.clear();
  for (const char *name : {"<|turn>", "<turn|>"}) {
    Ordered less = synthetic();
    Ordered &vocab = less["model"]["vocab"];
    int id = vocab[name];
    vocab.erase(name);
    vocab["other"] = id;
    Ordered kept = Ordered::array();
    for (const Ordered &token : less["added_tokens"])
      if (token["content"] != name)
        kept.push_back(token);
    less["added_tokens"] = kept;
    packed = packTokenizerText(less.dump(), "t", vocabSize, warnings);
    ASSERT_TRUE(packed) << packed.error().message;
    EXPECT_FALSE(packed->vocabulary.speaksChat()) << name;
  }
}

TEST(Tokenizer, Merges) {
  auto with = [](Ordered merge) {
    return refused([&](Ordered &j) { j["model"]["merges"].push_back(merge); });
  };
  EXPECT_TRUE(
      has(with("zz a"), {"merge 26", "\"zz\"", "not in the vocabulary"}));
  EXPECT_TRUE(has(with("a zz"), {"\"zz\"", "not in the vocabulary"}));
  EXPECT_TRUE(has(with("a f"), {"\"af\"", "not in the vocabulary"}));
  EXPECT_TRUE(has(with("a b"), {"same pair"}));
  EXPECT_TRUE(has(with("ab"), {"merge 26", "left right"}));
  EXPECT_TRUE(has(with(" "), {"left right"}));
  EXPECT_TRUE(has(with(""), {"left right"}));
  EXPECT_TRUE(has(with(3), {"merge 26", "got 3"}));
  EXPECT_TRUE(has(with(nullptr), {"merge 26", "null"}));
  EXPECT_TRUE(has(with(Ordered::object()), {"merge 26", "got {}"}));
  EXPECT_TRUE(has(with(Ordered::array({"a"})),
                  {"merge 26", "two pieces, got [\"a\"]"}));
  EXPECT_TRUE(has(with(Ordered::array()), {"merge 26", "got []"}));
  EXPECT_TRUE(has(with(Ordered::array({"a", "b", "c"})),
                  {"merge 26", "got [\"a\",\"b\",\"c\"]"}));
  EXPECT_TRUE(
      has(with(Ordered::array({"a", 1})), {"merge 26", "got [\"a\",1]"}));
  EXPECT_TRUE(has(with(Ordered::array({"a", Ordered::array()})), {"merge 26"}));
  EXPECT_TRUE(has(with(Ordered::array({"", "a"})), {"\"\"", "not in"}));
  EXPECT_TRUE(has(refused(
                      [](Ordered &j) {
                        j["model"]["vocab"]["<0x41>a"] = 316;
                        j["model"]["merges"].push_back("<0x41> a");
                      },
                      ExitCode::BadInput, 320),
                  {"<0x41>", "byte token"}));
}

TEST(Tokenizer, Files) {
  TemporaryFolder folder;
  std::vector<std::string> warnings;
  auto none = packTokenizer(folder.path, vocabSize, warnings);
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());

  writeText(folder.file("tokenizer.json"), synthetic().dump());
  auto some = packTokenizer(folder.path, vocabSize, warnings);
  ASSERT_TRUE(some && some->has_value());

  writeText(folder.file("tokenizer.json"), "");
  auto empty = packTokenizer(folder.path, vocabSize, warnings);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, ExitCode::BadInput);
  EXPECT_TRUE(has(empty.error().message, {"tokenizer.json", "JSON"}));

  TemporaryFolder other;
  mkdir(other.file("tokenizer.json").c_str(), 0755);
  EXPECT_FALSE(packTokenizer(other.path, vocabSize, warnings));
}

} // namespace
