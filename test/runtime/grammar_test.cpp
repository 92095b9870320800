// Grammars: automata of patterns, schemas with what they take and refuse, GBNF,
// tool calls, masks against a slow reference that tries every token, and
// bounds. test/runtime/check_grammars.py compares with the package jsonschema.
#include "runtime/grammar/gbnf.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/regex.h"
#include "runtime/grammar/schema.h"
#include "runtime/grammar/tools.h"
#include "test/runtime/grammar_vocabulary.h"

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <map>
#include <random>

using namespace gm::grammar;
using Json = nlohmann::ordered_json;

namespace {

struct Made {
  gm::Status status;
  std::shared_ptr<Compiled> compiled;

  // Bytes; "<q>" and the like are control tokens.
  bool takes(std::string_view text) const {
    EXPECT_TRUE(status.ok()) << status.text;
    if (!status.ok())
      return false;
    Machine machine(compiled->grammar);
    StateId s = machine.start();
    while (!text.empty()) {
      size_t n = 0;
      for (size_t t = 0; t < small_controls.size(); ++t)
        if (text.starts_with(small_controls[t])) {
          s = machine.step_token(s, int32_t(t));
          n = small_controls[t].size();
        }
      if (!n)
        s = machine.step(s, uint8_t(text[0])), n = 1;
      text.remove_prefix(n);
      if (machine.full())
        machine.compact({&s, 1});
    }
    return machine.ends(s);
  }
};

Made finish(Grammar &&grammar, NodeId root, gm::Status status) {
  if (status.ok())
    status = grammar.finish(root);
  static const auto vocabulary = vocabulary_of(small_pieces());
  Made made = {status, nullptr};
  if (status.ok())
    made.compiled = std::make_shared<Compiled>(
        std::move(grammar), vocabulary, std::vector<int32_t>{kStopToken});
  return made;
}

Made schema(const std::string &text, const SchemaStyle &style = {}) {
  Grammar grammar;
  NodeId root = 0;
  gm::Value value = value_of_json(Json::parse(text));
  gm::Status s = add_schema(grammar, value, style, root);
  return finish(std::move(grammar), root, s);
}

Made gbnf(const std::string &text) {
  Grammar grammar;
  NodeId root = 0;
  gm::Status s = add_gbnf(grammar, text, root);
  return finish(std::move(grammar), root, s);
}

const AnswerTokens answer = {kQuoteToken, kCallToken, kCallEndToken,
                             kChannelToken, kChannelEndToken};

Made calls(const std::vector<CallableTool> &tools, const CallRules &rules,
           bool thought = false) {
  Grammar grammar;
  NodeId root = 0;
  gm::Status s = add_calls(grammar, tools, rules, answer, root);
  if (thought)
    root = add_thought(grammar, Thought::Allowed, answer, root);
  return finish(std::move(grammar), root, s);
}

void refused(const Made &made, gm::Code code, const std::string &words) {
  EXPECT_EQ(made.status.code, code) << made.status.text;
  EXPECT_NE(std::string(made.status.text).find(words), std::string::npos)
      << made.status.text;
}

// Random walks whose masks are compared with trying every token.
void compare(const Made &made, int walks = 3, int steps = 12) {
  ASSERT_TRUE(made.status.ok()) << made.status.text;
  const Vocabulary &v = *made.compiled->vocabulary;
  std::mt19937 random(1);
  for (int walk = 0; walk < walks; ++walk) {
    Matcher matcher(made.compiled);
    for (int step = 0; step < steps; ++step) {
      std::vector<uint32_t> mask(v.words(), ~0u);
      matcher.allow(mask.data());
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < v.size(); ++id) {
        bool set = mask[size_t(id) / 32] >> (id % 32) & 1;
        ASSERT_EQ(set, matcher.can(id)) << id;
        if (set)
          allowed.push_back(id);
      }
      ASSERT_FALSE(allowed.empty());
      int32_t id = allowed[random() % allowed.size()];
      if (id == kStopToken)
        break;
      auto copy = matcher.clone();
      ASSERT_TRUE(matcher.accept(id));
      ASSERT_TRUE(copy->accept(id));
      std::vector<uint32_t> other(v.words(), ~0u);
      mask = other;
      matcher.allow(mask.data());
      copy->allow(other.data());
      ASSERT_EQ(mask, other);
    }
  }
}

// The same in front of every byte and control token of a text.
void compare_along(const Made &made, std::string_view text) {
  ASSERT_TRUE(made.status.ok()) << made.status.text;
  const Vocabulary &v = *made.compiled->vocabulary;
  Matcher matcher(made.compiled);
  while (!text.empty()) {
    std::vector<uint32_t> mask(v.words(), ~0u);
    matcher.allow(mask.data());
    int32_t next = -1;
    size_t bytes = 1;
    for (size_t t = 0; t < small_controls.size(); ++t)
      if (text.starts_with(small_controls[t]))
        next = int32_t(t), bytes = small_controls[t].size();
    for (int32_t id = 0; id < v.size(); ++id) {
      ASSERT_EQ(mask[size_t(id) / 32] >> (id % 32) & 1, matcher.can(id))
          << id << " in front of " << text;
      std::string piece;
      if (next < 0 && v.append_bytes(id, piece) && piece == text.substr(0, 1))
        next = id;
    }
    ASSERT_TRUE(matcher.accept(next)) << text;
    text.remove_prefix(bytes);
  }
}

bool matches(const char *pattern, const char *text) {
  Dfa d;
  gm::Status s = regex_dfa(pattern, d);
  EXPECT_TRUE(s.ok()) << s.text;
  return d.run(text) >= 0;
}

} // namespace

TEST(Regex, Searches) {
  EXPECT_TRUE(matches("b+", "abbc"));
  EXPECT_FALSE(matches("^b+$", "abb"));
  EXPECT_TRUE(matches("^a|b$", "xb"));
  EXPECT_FALSE(matches("^(?:a|b)$", "xb"));
  EXPECT_TRUE(matches("^\\d{2,3}$", "123"));
  EXPECT_FALSE(matches("^\\d{2,3}$", "1234"));
  EXPECT_TRUE(matches("^[^a-c]\\u00e9.$", "xé日"));
  EXPECT_TRUE(matches("^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$", "-1.5"));
  EXPECT_FALSE(matches("^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$", "-."));
  EXPECT_TRUE(matches("^(?=.*\\d)[a-z\\d]+$", "a1"));
  EXPECT_FALSE(matches("^(?=.*\\d)[a-z\\d]+$", "ab"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_TRUE(matches("a{x", "a{x"));
}

TEST(Regex, Refuses) {
  Dfa d;
  EXPECT_EQ(regex_dfa("(?<=a)b", d).code, gm::UNSUPPORTED);
  EXPECT_EQ(regex_dfa("(a)\\1", d).code, gm::UNSUPPORTED);
  EXPECT_EQ(regex_dfa("a(?=b)", d).code, gm::UNSUPPORTED);
  EXPECT_EQ(regex_dfa("\\bword", d).code, gm::UNSUPPORTED);
  EXPECT_EQ(regex_dfa("(a", d).code, gm::BAD_INPUT);
  EXPECT_EQ(regex_dfa("a{3,2}", d).code, gm::BAD_INPUT);
  EXPECT_EQ(regex_dfa("*", d).code, gm::BAD_INPUT);
  EXPECT_EQ(regex_dfa("((a{1000}){1000}){1000}", d).code, gm::UNSUPPORTED);
  EXPECT_EQ(regex_dfa("^(?:a|b)*a(?:a|b){20}$", d).code, gm::UNSUPPORTED);
  EXPECT_EQ(regex_dfa(std::string(10000, '('), d).code, gm::UNSUPPORTED);
}

TEST(Schema, Strings) {
  Made m = schema(R"({"type": "string", "minLength": 2, "maxLength": 3})");
  EXPECT_FALSE(m.takes("\"a\""));
  EXPECT_TRUE(m.takes("\"a\\n\""));
  EXPECT_TRUE(m.takes("\"\\ud83d\\ude00é日\""));
  EXPECT_FALSE(m.takes("\"\\ud83d\\ude00\""));
  EXPECT_FALSE(m.takes("\"\\ud83d\""));
  EXPECT_FALSE(m.takes("\"\\ude00a\""));
  EXPECT_FALSE(m.takes("\"a\nb\""));
  EXPECT_FALSE(m.takes("\"abcd\""));
  EXPECT_FALSE(m.takes("\"\xC0\x80\x61\""));     // overlong
  EXPECT_FALSE(m.takes("\"\xE0\x80\x80\x61\"")); // overlong
  EXPECT_FALSE(m.takes("\"\xED\xA0\x80\x61\"")); // surrogate
  EXPECT_FALSE(m.takes("\"\xF4\x90\x80\x80\x61\""));
  m = schema(R"({"type": "string", "pattern": "^a+$", "maxLength": 2})");
  EXPECT_TRUE(m.takes("\"a\\u0061\""));
  EXPECT_FALSE(m.takes("\"aaa\""));
  m = schema(R"({"type": "string", "pattern": "b", "minLength": 3})");
  EXPECT_TRUE(m.takes("\"xbx\""));
  EXPECT_FALSE(m.takes("\"xb\""));
  refused(schema(R"({"type": "string", "pattern": "^a{5}$", "maxLength": 3})"),
          gm::UNSUPPORTED, "no text");
}

TEST(Schema, Numbers) {
  Made m = schema(R"({"type": "number", "minimum": -1.5, "maximum": 20})");
  for (const char *good : {"-1.5", "0", "-0.25", "20", "20.0", "19.999"})
    EXPECT_TRUE(m.takes(good)) << good;
  for (const char *bad : {"-1.6", "20.1", "-0", "01", "1e1", "21", "-2"})
    EXPECT_FALSE(m.takes(bad)) << bad;
  m = schema(R"({"type": "integer", "multipleOf": 6, "exclusiveMinimum": 6})");
  EXPECT_TRUE(m.takes("12"));
  EXPECT_TRUE(m.takes("600"));
  EXPECT_FALSE(m.takes("6"));
  EXPECT_FALSE(m.takes("-6"));
  m = schema(R"({"multipleOf": 0.25, "type": "number"})");
  EXPECT_TRUE(m.takes("0.750"));
  EXPECT_TRUE(m.takes("1.0"));
  EXPECT_FALSE(m.takes("0.3"));
  m = schema(R"({"type": "number"})");
  EXPECT_TRUE(m.takes("-12.5e-3"));
  EXPECT_FALSE(m.takes("1."));
  refused(schema(R"({"type": "integer", "minimum": 3, "maximum": 2})"),
          gm::UNSUPPORTED, "no text");
}

TEST(Schema, Objects) {
  Made m = schema(R"({"type": "object", "additionalProperties": false,
    "properties": {"a": {"type": "integer"}, "b": {}, "ab": {"type": "null"}},
    "required": ["b", "a"]})");
  EXPECT_TRUE(m.takes(R"({"b":[1,{"x": null}],"a":1})"));
  EXPECT_TRUE(m.takes("{\n  \"a\": 1,\n  \"b\": \"x\",\n  \"ab\": null\n}"));
  EXPECT_FALSE(m.takes(R"({"a":1})"));
  EXPECT_FALSE(m.takes(R"({"a":1,"b":2,"a":1})"));
  EXPECT_FALSE(m.takes(R"({"a":1,"b":2,"c":1})"));
  EXPECT_FALSE(m.takes(R"({"a":1,"b":2,})"));
  EXPECT_FALSE(m.takes("{  \"a\":1,\"b\":2}"));
  SchemaStyle declared;
  declared.order = Order::Declared;
  m = schema(R"({"type": "object", "additionalProperties": false,
    "properties": {"a": {}, "b": {}, "c": {}}, "required": ["b"]})",
             declared);
  EXPECT_TRUE(m.takes(R"({"b":1,"c":1})"));
  EXPECT_TRUE(m.takes(R"({"a":1,"b":1})"));
  EXPECT_FALSE(m.takes(R"({"b":1,"a":1})"));
  EXPECT_FALSE(m.takes(R"({"a":1,"c":1})"));
  // Required, and known to nobody else.
  m = schema(R"({"type": "object", "required": ["x"]})");
  EXPECT_TRUE(m.takes(R"({"y": 1, "x": 2})"));
  EXPECT_FALSE(m.takes(R"({"y": 1})"));
  m = schema(R"({"patternProperties": {"^n": {"type": "integer"}},
    "type": "object", "additionalProperties": {"type": "null"},
    "properties": {"name": {"minimum": 3}}})");
  EXPECT_TRUE(m.takes(R"({"n1": 1, "name": 3, "x": null})"));
  EXPECT_FALSE(m.takes(R"({"name": 2})"));
  EXPECT_FALSE(m.takes(R"({"name": "x"})"));
  EXPECT_FALSE(m.takes(R"({"x": 1})"));
}

// Names and listed strings are written as JSON writes them shortest.
TEST(Schema, SpellingsOfNames) {
  Made m = schema(R"({"type": "object", "properties": {"a/\"\u0001é": {"enum":
      ["x\\y/😀"]}}, "additionalProperties": false})");
  EXPECT_TRUE(m.takes(R"({"a/\"\u0001é": "x\\y/😀"})"));
  for (const char *text :
       {R"({"\u0061/\"\u0001é": "x\\y/😀"})", R"({"a\/\"\u0001é": "x\\y/😀"})",
        R"({"a/\u0022\u0001é": "x\\y/😀"})",
        R"({"a/\"\u0001\u00e9": "x\\y/😀"})",
        R"({"a/\"\u0001é": "x\\y/\ud83d\ude00"})",
        R"({"a/\"\u0001é": "\u0078\\y/😀"})"})
    EXPECT_FALSE(m.takes(text)) << text;
  compare_along(m, R"({"a/\"\u0001é": "x\\y/😀"})");
  EXPECT_TRUE(
      schema(R"({"type": "string"})").takes(R"("\u0061\/\ud83d\ude00")"));
}

TEST(Schema, Combinations) {
  Made m = schema(R"({"anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    "type": "object", "properties": {"a": {"type": "integer"}}})");
  EXPECT_TRUE(m.takes(R"({"a": 1})"));
  EXPECT_TRUE(m.takes(R"({"b": 1})"));
  EXPECT_FALSE(m.takes("{}"));
  EXPECT_FALSE(m.takes("3"));
  m = schema(R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"},
      {"type": "null"}]}}, "required": ["next"],
    "additionalProperties": false}}})");
  EXPECT_TRUE(m.takes(R"({"next":{"next":null}})"));
  EXPECT_FALSE(m.takes(R"({"next":{}})"));
  refused(schema(R"({"type": "object", "properties": {"n": {"$ref": "#"}},
    "required": ["n"]})"),
          gm::UNSUPPORTED, "no text");
  m = schema(R"({"enum": ["a", "\"", 1, null, {"k": [1]}, "bb"],
    "maxLength": 1})");
  EXPECT_TRUE(m.takes(R"("\"")"));
  EXPECT_TRUE(m.takes(R"({"k": [1]})"));
  EXPECT_FALSE(m.takes(R"({"k":[1.0]})"));
  EXPECT_FALSE(m.takes(R"("bb")"));
}

TEST(Schema, RefusesByPointer) {
  refused(schema(R"({"properties": {"a/b": {"not": {"type": "null"}}}})"),
          gm::UNSUPPORTED, "'/properties/a~1b/not': not is not enforced");
  for (const char *keyword :
       {"contains", "dependentRequired", "unevaluatedProperties"})
    refused(schema("{\"" + std::string(keyword) + "\": {}}"), gm::UNSUPPORTED,
            keyword);
  refused(schema(R"({"type": "array", "uniqueItems": true})"), gm::UNSUPPORTED,
          "uniqueItems");
  refused(schema(R"({"$ref": "http://x/y"})"), gm::UNSUPPORTED, "/$ref");
  refused(schema(R"({"$ref": "#/nope"})"), gm::BAD_INPUT, "#/nope");
  refused(schema(R"({"oneOf": [{"minimum": 1}, {"maximum": 3}]})"),
          gm::UNSUPPORTED, "/oneOf");
  refused(schema(R"({"type": "text"})"), gm::BAD_INPUT, "/type");
}

TEST(Masks, EqualTryingEveryToken) {
  for (const char *text :
       {R"({})", R"({"type": "string", "maxLength": 4})",
        R"({"type": "string", "pattern": "^[a-f]+é?$"})",
        R"({"type": "string", "pattern": "^(?:ab?)+$", "minLength": 2,
            "maxLength": 40})",
        R"({"type": "array", "items": {"type": "string"}, "minItems": 2})",
        R"({"type": "object", "properties": {"a": {"type": "integer"},
            "ab": {"type": "boolean"}}, "required": ["a"]})",
        R"({"type": "number", "minimum": 0, "maximum": 3})",
        R"({"enum": ["cat", "dog", "a"]})"})
    compare(schema(text));
  compare(gbnf("root ::= \"a\" root \"b\" | [0-9]+ | \"日\"*"));
  compare(
      calls({{"f", value_of_json(Json::parse(
                       R"({"properties": {"city": {"type": "string"}}})"))}},
            {}, true));
  // Between quotes, where a text may end and go on.
  for (const char *city :
       {R"({"type": "string"})", R"({"type": "string", "minLength": 2})",
        R"({"type": "string", "pattern": "^P[a-z]*$"})"}) {
    const std::string parameters =
        std::string(R"({"properties": {"city": )") + city + "}}";
    compare_along(calls({{"f", value_of_json(Json::parse(parameters))}}, {}),
                  "so<call>call:f{city:<q>Paris<q>}</call>");
  }
}

TEST(Gbnf, Syntax) {
  Made m = gbnf("# a list\nroot ::= item (\",\" item)* # end\n"
                "item ::= [a-c\\]]{2,3} |\n  \"\\x41\\u00e9\\\"\" | .\n");
  EXPECT_TRUE(m.takes("ab"));
  EXPECT_TRUE(m.takes("a]c,Aé\",日"));
  EXPECT_FALSE(m.takes("abca"));
  EXPECT_FALSE(m.takes("ab,"));
  m = gbnf("root ::= \"(\" root \")\" | x\nx ::= [^()]?");
  EXPECT_TRUE(m.takes("((a))"));
  EXPECT_TRUE(m.takes("()"));
  EXPECT_FALSE(m.takes("(a"));
  EXPECT_TRUE(gbnf("root ::= \"a\"{2}").takes("aa"));
  EXPECT_TRUE(gbnf("root ::= (\"a\" | \"b\"){1,}").takes("abab"));
}

TEST(Gbnf, Refuses) {
  refused(gbnf("root ::= root \"a\" | \"b\""), gm::UNSUPPORTED,
          "'root' begins");
  refused(gbnf("root ::= a\na ::= b? a2\na2 ::= a\nb ::= \"x\""),
          gm::UNSUPPORTED, "left recursion");
  refused(gbnf("root ::= nope"), gm::BAD_INPUT, "'nope' is not defined");
  refused(gbnf("rot ::= \"a\""), gm::BAD_INPUT, "'root'");
  refused(gbnf("root ::= \"a"), gm::BAD_INPUT, "line 1");
  refused(gbnf("root ::= \"a\"\n\nroot ::= \"b\""), gm::BAD_INPUT, "line 3");
  refused(gbnf("root ::= " + std::string(10000, '(')), gm::UNSUPPORTED,
          "nested");
  refused(gbnf("root ::= \"(\" root \")\""), gm::UNSUPPORTED, "no text");
}

// Hostile ones end, in a status or with masks.
// Who generates gets no names but those that a schema speaks of.
TEST(Objects, AreClosedWhereMembersAreNamed) {
  const char *named =
      R"({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]})";
  EXPECT_TRUE(schema(named).takes(R"({"a": 1, "b": 2})"));
  EXPECT_FALSE(schema(named).takes(R"({"a": 1, "b": 2, "c": 3})"));
  SchemaStyle open;
  open.closed = false;
  EXPECT_TRUE(schema(named, open).takes(R"({"a": 1, "b": 2, "c": 3})"));
  // Said, or nothing is named: as the draft has it.
  for (
      const char *free :
      {R"({"properties": {"a": true}, "additionalProperties": true})",
       R"({"properties": {"a": true}, "additionalProperties": {"type": "integer"}})",
       R"({"type": "object"})", R"({"required": ["a"]})"})
    EXPECT_EQ(schema(free).takes(R"({"a": 1, "c": 3})"),
              schema(free, open).takes(R"({"a": 1, "c": 3})"))
        << free;
  // Names of all that holds are known.
  const char *merged =
      R"({"allOf": [{"properties": {"a": true}}, {"properties": {"b": true}}]})";
  EXPECT_TRUE(schema(merged).takes(R"({"a": 1, "b": 2})"));
  EXPECT_FALSE(schema(merged).takes(R"({"a": 1, "c": 2})"));
  EXPECT_TRUE(
      schema(
          R"({"properties": {"a": true}, "patternProperties": {"^x": true}})")
          .takes(R"({"a": 1, "xy": 2})"));
  EXPECT_FALSE(
      schema(
          R"({"properties": {"a": true}, "patternProperties": {"^x": true}})")
          .takes(R"({"a": 1, "yx": 2})"));
}

TEST(Bounds, Hold) {
  auto begin = std::chrono::steady_clock::now();
  Made m = gbnf("root ::= ((\"a\"{1000}){1000}){1000}");
  if (m.status.ok())
    compare(m, 1, 3);
  m = gbnf(
      "root ::= (\"a\"? | root2)*\nroot2 ::= \"(\" (root2 | \"a\"?){0,500} "
      "\")\"");
  if (m.status.ok())
    compare(m, 1, 6);
  std::string deep = "true";
  for (int i = 0; i < 400; ++i)
    deep = "{\"type\": \"array\", \"items\": " + deep + "}";
  m = schema(deep);
  if (m.status.ok())
    compare(m, 1, 3);
  std::string wide = "{\"allOf\": [";
  for (int i = 0; i < 12; ++i)
    wide +=
        std::string(i ? "," : "") +
        R"({"anyOf": [{"minLength": 1}, {"minLength": 2}, {"type": "null"}]})";
  refused(schema(wide + "]}"), gm::UNSUPPORTED, "combinations");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

// A stack that grows to its bound: what is deeper is forbidden, what is open
// can be closed.
TEST(Bounds, DepthCanBeClosed) {
  Made m = schema("{}");
  Matcher matcher(m.compiled);
  const auto open = int32_t(small_controls.size()) + '[',
             close = int32_t(small_controls.size()) + ']';
  int depth = 0;
  while (depth < 5000 && matcher.accept(open))
    ++depth;
  EXPECT_GT(depth, 200);
  EXPECT_LT(depth, 1100);
  std::vector<uint32_t> mask(m.compiled->vocabulary->words(), ~0u);
  matcher.allow(mask.data());
  for (int32_t id = 0; id < m.compiled->vocabulary->size(); ++id)
    ASSERT_EQ(bool(mask[size_t(id) / 32] >> (id % 32) & 1), matcher.can(id));
  for (; depth; --depth)
    ASSERT_TRUE(matcher.accept(close)) << depth;
  EXPECT_TRUE(matcher.may_end());
}

TEST(Calls, Syntax) {
  std::vector<CallableTool> tools = {
      {"get-weather", value_of_json(Json::parse(R"({"type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"},
        "unit": {"enum": ["c", "f"]}}, "required": ["city"],
        "additionalProperties": false})"))},
      {"now", {}}};
  Made m = calls(tools, {});
  EXPECT_TRUE(m.takes("plain \"text\""));
  EXPECT_TRUE(m.takes(""));
  EXPECT_TRUE(m.takes("ok<call>call:get-weather{city:<q>A \"b\"\n<q>,days:3,"
                      "unit:<q>c<q>}</call><call>call:now{}</call>"));
  EXPECT_TRUE(m.takes("<call>call:get-weather{days:3,city:<q>x<q>}</call>"));
  EXPECT_FALSE(m.takes("<call>call:get-weather{days:3}</call>"));
  EXPECT_FALSE(m.takes("<call>call:get-weather{city:\"x\"}</call>"));
  EXPECT_FALSE(m.takes("<call>call:none{}</call>"));
  EXPECT_FALSE(m.takes("<call>call:now{}"));
  m = calls(tools, {true, false}, true);
  EXPECT_FALSE(m.takes("text"));
  EXPECT_TRUE(m.takes("<call>call:now{}</call>"));
  EXPECT_TRUE(
      m.takes("<channel>thought\nI {think}.</channel><call>call:now{}</call>"));
  EXPECT_FALSE(m.takes("<call>call:now{}</call><call>call:now{}</call>"));
}

// 262,144 tokens: what a mask costs where masks of the tops are known, and a
// schema of 10 KB. Bounds are loose: the machine may be busy.
TEST(Speed, OfMasksAndSchemas) {
  auto now = [] { // us of this thread
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) * 1e6 + double(t.tv_nsec) / 1e3;
  };
  std::vector<std::string> pieces = small_pieces();
  std::mt19937 random(1);
  const char *ends[] = {"", "\"", "\",", "\": ", "s", "}", ",\n"};
  while (pieces.size() < 262144) {
    std::string piece = random() % 2 ? " " : "";
    for (size_t n = 1 + random() % 8; n; --n)
      piece += random() % 16
                   ? std::string(1, char('a' + random() % 26))
                   : std::string("日本語").substr(random() % 3 * 3, 3);
    pieces.push_back(piece + (random() % 50 ? "" : ends[random() % 7]));
  }
  std::map<std::string, int32_t> ids;
  for (size_t i = small_controls.size(); i < pieces.size(); ++i)
    ids[pieces[i]] = int32_t(i);
  double begin = now();
  auto vocabulary = vocabulary_of(pieces);
  const double tree = now() - begin;

  std::string text = R"({"type": "object", "properties": {)";
  for (int i = 0; i < 60; ++i)
    text +=
        (i ? ", " : "") + ("\"property_" + std::to_string(i)) +
        R"(": {"anyOf": [{"type": "string", "maxLength": )" +
        std::to_string(80 + i) +
        R"(, "pattern": "^[a-z ]+$"}, {"type": "array", "items": {"type": "number", "minimum": 0}, "maxItems": 9}, {"type": "null"}]})";
  text += R"(}, "required": ["property_3"]})";
  gm::Value value = value_of_json(Json::parse(text));
  begin = now();
  Grammar grammar;
  NodeId root;
  SchemaStyle open;
  open.closed = false;
  ASSERT_TRUE(add_schema(grammar, value, open, root).ok());
  ASSERT_TRUE(grammar.finish(root).ok());
  const double compile = now() - begin;

  auto compiled = std::make_shared<Compiled>(std::move(grammar), vocabulary,
                                             std::vector<int32_t>{kStopToken});
  const std::string json =
      R"({"property_3": "a text that goes on for a while", "property_7": [1, 2.5, 30], "property_9": null, "other": {"deep": ["x y z", "quoted \" text"], "n": -1.5e3}, "property_20": "another text here"})";
  double cold = 0, warm = 0;
  int calls = 0;
  for (double *total : {&cold, &warm}) {
    Matcher matcher(compiled);
    std::vector<uint32_t> mask(vocabulary->words());
    calls = 0;
    for (size_t at = 0; at < json.size(); ++calls) {
      std::fill(mask.begin(), mask.end(), ~0u);
      begin = now();
      matcher.allow(mask.data());
      *total += now() - begin;
      size_t n = std::min<size_t>(12, json.size() - at);
      while (!ids.count(json.substr(at, n)))
        --n;
      const int32_t id = ids[json.substr(at, n)];
      ASSERT_TRUE(mask[size_t(id) / 32] >> (id % 32) & 1)
          << json.substr(0, at + n);
      ASSERT_TRUE(matcher.accept(id));
      at += n;
    }
    EXPECT_TRUE(matcher.may_end());
  }
  printf("tree %.0f ms, %zu nodes; schema of %zu bytes %.1f ms; %d masks: "
         "%.0f us each at first, then %.1f us\n",
         tree / 1e3, vocabulary->nodes.size(), text.size(), compile / 1e3,
         calls, cold / calls, warm / calls);
  EXPECT_LT(compile, 1e6);
  EXPECT_LT(warm / calls, 2000);
}
