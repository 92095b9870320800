// The JSON reader: what it accepts, and that every refusal names the offset.
#include "compiler/importer/Json.h"

#include "test/compiler/importer/TestFiles.h"

#include <nlohmann/json.hpp>

using namespace gemmac;
using namespace gemmac::test;

namespace {

std::string problem(const std::string &text) {
  Result<Json> value = parseJson(text, "x.json");
  if (value)
    return "accepted";
  EXPECT_EQ(value.error().code, ExitCode::BadInput);
  return value.error().message;
}

TEST(Json, ReadsEveryKind) {
  Result<Json> root =
      parseJson(R"({"a": [1, -2.5, "\u00e9", true, null], "b": {}})", "x.json");
  ASSERT_TRUE(root);
  const Json &a = member(*root, "a");
  ASSERT_EQ(a.size(), 5u);
  EXPECT_TRUE(a[0].is_number_integer());
  EXPECT_EQ(a[0], 1);
  EXPECT_EQ(a[1], -2.5);
  EXPECT_TRUE(isText(a[2], "\xc3\xa9"));
  EXPECT_EQ(a[3], true);
  EXPECT_TRUE(a[4].is_null());
  EXPECT_TRUE(member(*root, "b").is_object());
  EXPECT_TRUE(member(*root, "c").is_discarded());
  EXPECT_TRUE(member(a, "c").is_discarded());
}

TEST(Json, BeyondInt64IsANumber) {
  Result<Json> root = parseJson("18446744073709551615", "x.json");
  ASSERT_TRUE(root);
  EXPECT_TRUE(root->is_number_float());
}

TEST(Json, SyntaxErrorsNameTheByte) {
  EXPECT_TRUE(has(problem("{\"a\": 1,, }"), {"x.json", "JSON", "byte 8"}));
  EXPECT_TRUE(has(problem(""), {"JSON", "byte 0"}));
  EXPECT_TRUE(has(problem("{} {}"), {"JSON", "byte 3"}));
  EXPECT_TRUE(has(problem("[1, 2"), {"JSON", "unexpected end"}));
  EXPECT_TRUE(has(problem("[\"\xff\"]"), {"JSON", "UTF-8"}));
  EXPECT_TRUE(has(problem("[Nan]"), {"JSON", "byte 1"}));
}

// Python writes and reads them; behind them offsets are still those of the
// text.
TEST(Json, PythonsNumbersAreTheirNames) {
  Result<Json> root = parseJson(
      R"({"a":NaN,"b":[-Infinity,Infinity,-1],"c":"NaN\\","d":"\"NaN"})", "x");
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_TRUE(isText(member(*root, "a"), "NaN"));
  EXPECT_TRUE(isText(member(*root, "b")[0], "-Infinity"));
  EXPECT_TRUE(isText(member(*root, "b")[1], "Infinity"));
  EXPECT_EQ(member(*root, "b")[2], -1);
  EXPECT_TRUE(isText(member(*root, "c"), "NaN\\"));
  EXPECT_TRUE(isText(member(*root, "d"), "\"NaN"));
  EXPECT_TRUE(has(problem("[NaN, Infinity, x]"), {"JSON", "byte 16"}));
  EXPECT_TRUE(has(problem(R"({"a":NaN,"a":1})"), {"at byte 12: duplicate"}));
  EXPECT_TRUE(has(problem("[NaN1]"), {"JSON"}));
  EXPECT_TRUE(has(problem("NaN\"\\"), {"JSON"}));
  // Python 3.12 reads numbers that no double holds as infinities, and halves
  // of surrogate pairs as they are.
  root = parseJson(R"([1e999,-1E+400, 1e308,1e-999,"1e999"])", "x");
  EXPECT_TRUE(isText((*root)[0], "Infinity"));
  EXPECT_TRUE(isText((*root)[1], "-Infinity"));
  EXPECT_EQ((*root)[2], 1e308);
  EXPECT_EQ((*root)[3], 0);
  EXPECT_TRUE(isText((*root)[4], "1e999"));
  EXPECT_TRUE(isText(*parseJson("1" + std::string(400, '0'), "x"), "Infinity"));
  EXPECT_TRUE(has(problem("[1e999, x]"), {"JSON", "byte 8"}));
  EXPECT_TRUE(has(problem("[1e999, 1e]"), {"JSON"}));
  root = parseJson(
      R"(["\ud83d\ude00","\ud83d","\ude00x","\ud83d\ud83d\ude00","\\ud83d"])",
      "x");
  EXPECT_TRUE(isText((*root)[0], "\xF0\x9F\x98\x80"));
  EXPECT_TRUE(isText((*root)[1], "\xEF\xBF\xBD"));
  EXPECT_TRUE(isText((*root)[2], "\xEF\xBF\xBDx"));
  EXPECT_TRUE(isText((*root)[3], "\xEF\xBF\xBD\xF0\x9F\x98\x80"));
  EXPECT_TRUE(isText((*root)[4], "\\ud83d"));
  EXPECT_TRUE(has(problem(R"(["\ud83)"), {"JSON"}));
}

TEST(Json, LongTokensStayOutOfTheMessage) {
  EXPECT_LT(problem("[\"" + std::string(100000, 'x')).size(), 400u);
  EXPECT_LT(problem("{\"" + std::string(9999, 'x') + "\":1,\"" +
                    std::string(9999, 'x') + "\":1}")
                .size(),
            400u);
}

TEST(Json, DuplicateKeys) {
  EXPECT_TRUE(has(problem(R"({"a":1,"b":2,"a":3})"),
                  {"x.json: at byte 16: duplicate key \"a\""}));
  // Spelled differently, the same key.
  EXPECT_TRUE(has(problem(R"({"a":1,"\u0061":3})"), {"duplicate key"}));
  EXPECT_EQ(problem(R"([{"a":1},{"a":1}])"), "accepted");
}

TEST(Json, Depth) {
  std::string deepest(jsonDepth, '['), back(jsonDepth, ']');
  EXPECT_EQ(problem(deepest + back), "accepted");
  EXPECT_TRUE(has(problem("[" + deepest + back + "]"), {"deeper than 64"}));
  EXPECT_TRUE(has(problem(std::string(10000000, '[')), {"deeper than 64"}));
}

TEST(Json, Limits) {
  std::string many = "[";
  for (int64_t i = 0; i < jsonValues; ++i)
    many += "1,";
  EXPECT_TRUE(has(problem(many + "1]"),
                  {"at byte 1000001: ", "more than 500000 values"}));
  EXPECT_TRUE(parseJson(many + "1]", "x.json", jsonValues + 2));
  std::string keys = "{";
  for (int64_t i = 0; i <= jsonKeys; ++i)
    keys += fmt::format("\"{}\":1,", i);
  Result<Json> value = parseJson(keys, "x.json", mostJsonValues);
  ASSERT_FALSE(value);
  EXPECT_TRUE(has(value.error().message, {"more than 1000000 keys"}));
}

TEST(Json, QuotedIsPrintable) {
  EXPECT_EQ(gemmac::quoted("a\n\"\xff"), "\"a\\x0a\\\"\\xff\"");
  EXPECT_EQ(gemmac::quoted(std::string(1000, 'a')).size(), 125u);
}

} // namespace
