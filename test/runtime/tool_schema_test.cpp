// Declarations of tools in every shape that clients send: what of them is shown
// to the model, and that nothing breaks the notation.
#include "runtime/app/json_value.h"
#include "runtime/app/template.h"
#include "runtime/app/tool_schema.h"

#include <gtest/gtest.h>

namespace {

gm::Value json(const std::string &text) {
  gm::Value value;
  gm::Status s = gm::read_json(text, "the test has", value);
  EXPECT_TRUE(s.ok()) << s.text << ": " << text;
  return value;
}

std::string normal(const std::string &schema) {
  gm::Value value = json(schema);
  return gm::to_json(gm::normal_schema(value, value));
}

std::string declared(const gm::Value &tool) {
  gm::Prompt out;
  gm::append_declaration(gm::normal_tool(tool), out);
  return out.text;
}

TEST(ToolSchema, EverySchemaHasOneType) {
  const struct {
    const char *schema, *normal;
  } tests[] = {
      {R"({"type":"string","description":"d"})",
       R"({"type":"string","description":"d"})"},
      {R"({"type":["string","null"]})", R"({"type":"string","nullable":true})"},
      {R"({"type":["null","integer","number"]})",
       R"({"type":"number","nullable":true})"},
      {R"({"type":[]})", R"({"type":"string"})"},
      {R"({"type":3})", R"({"type":"string"})"},
      {"{}", R"({"type":"string"})"},
      {"true", R"({"type":"string"})"},
      {"null", R"({"type":"string"})"},
      {R"({"type":"null"})", R"({"type":"null"})"},
      {R"({"enum":["a","b",null]})",
       R"({"enum":["a","b"],"type":"string","nullable":true})"},
      {R"({"enum":[1,2]})", R"({"enum":[1,2],"type":"integer"})"},
      {R"({"const":"x"})", R"({"enum":["x"],"type":"string"})"},
      {R"({"items":{}})", R"({"items":{"type":"string"},"type":"array"})"},
      {R"({"type":"array","items":[{"type":"integer"},true]})",
       R"({"type":"array","items":{"type":"integer"}})"},
      {R"({"type":"array","items":true})", R"({"type":"array"})"},
      {R"({"type":"object"})", R"({"type":"object","properties":{}})"},
      {R"({"type":"object","additionalProperties":{"type":"string"}})",
       R"({"type":"object","properties":{}})"},
      {R"({"properties":{"a":{}},"required":["a",1]})",
       R"({"properties":{"a":{"type":"string"}},"required":["a"],)"
       R"("type":"object"})"},
      {R"({"type":"object","properties":[],"required":"a","description":[1],)"
       R"("nullable":"no","enum":{}})",
       R"({"type":"object","properties":{}})"},
      // Alternatives.
      {R"({"anyOf":[{"type":"integer"},{"type":"null"}],"description":"d"})",
       R"({"description":"d","type":"integer","nullable":true})"},
      {R"({"oneOf":[{"type":"string","enum":["a"]},{"enum":["a","b"]}]})",
       R"({"type":"string","enum":["a","b"]})"},
      {R"({"anyOf":[{"enum":["a"]},{"type":"string"}]})",
       R"({"type":"string"})"},
      {R"({"anyOf":[{"type":"integer"},{"type":"object","properties":{}}]})",
       R"({"type":"integer"})"}, // the first type counts
      {R"({"anyOf":[{"type":"object","properties":{"a":{},"b":{}},"required":)"
       R"(["a","b"]},{"type":"object","properties":{"b":{},"c":{}},)"
       R"("required":["b"]}]})",
       R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":)"
       R"("string"},"c":{"type":"string"}},"required":["b"]})"},
      {R"({"allOf":[{"properties":{"a":{}},"required":["a"]},{"properties":)"
       R"({"b":{}},"required":["b"]}]})",
       R"({"properties":{"a":{"type":"string"},"b":{"type":"string"}},)"
       R"("required":["a","b"],"type":"object"})"},
      // References.
      {R"({"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"integer"}}})",
       R"({"type":"integer"})"},
      {R"({"$ref":"#/$defs/gone"})", R"({"type":"object","properties":{}})"},
      {R"({"$ref":"http://x/y"})", R"({"type":"object","properties":{}})"},
      {R"({"type":"object","properties":{"next":{"$ref":"#"}}})",
       R"({"type":"object","properties":{"next":{"type":"object",)"
       R"("properties":{}}}})"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},)"
       R"("b":{"$ref":"#/$defs/a"}}})",
       R"({"type":"object","properties":{}})"},
  };
  for (const auto &test : tests)
    EXPECT_EQ(normal(test.schema), test.normal) << test.schema;
}

// What is normal already stays as it is.
TEST(ToolSchema, NormalTwiceIsNormal) {
  for (const char *schema :
       {R"({"type":"object","properties":{"a":{"type":"array","items":)"
        R"({"type":"object","properties":{"b":{"type":"string","enum":["x"]}},)"
        R"("required":["b"]}}},"required":["a"]})"})
    EXPECT_EQ(normal(schema), schema);
}

TEST(ToolSchema, Declarations) {
  const std::string q = "<|\"|>";
  EXPECT_EQ(declared(json(R"({"type":"function","function":{"name":"now",)"
                          R"("description":"d","parameters":null}})")),
            "declaration:now{description:" + q + "d" + q + "}");
  for (const char *none : {"{}", "[]", "3", "\"x\"", "true"})
    EXPECT_EQ(declared(json(R"({"function":{"name":"now","parameters":)" +
                            std::string(none) + "}}")),
              "declaration:now{description:" + q + q + "}");
  EXPECT_EQ(declared(json(R"({"name":"f","input_schema":{"properties":)"
                          R"({"a":{"type":["string","null"]}}}})")),
            "declaration:f{description:" + q + q +
                ",parameters:{properties:{a:{nullable:true,type:" + q +
                "STRING" + q + "}},type:" + q + "OBJECT" + q + "}}");
  // Nothing of these shows.
  for (const char *odd :
       {"{}", "[]", "null", R"({"function":[]})",
        R"({"function":{"name":["x"],"description":{"a":true}}})",
        R"({"function":{"response":{"type":"string"}}})"})
    EXPECT_EQ(declared(json(odd)), "declaration:{description:" + q + q + "}")
        << odd;
}

// Brackets are closed and no text of Python's shows, whatever the schema.
TEST(ToolSchema, RandomSchemas) {
  unsigned state = 7;
  auto draw = [&](unsigned n) {
    state = state * 1664525 + 1013904223;
    return (state >> 16) % n;
  };
  const char *const keys[] = {"type",        "properties", "items",  "required",
                              "enum",        "anyOf",      "oneOf",  "allOf",
                              "$ref",        "$defs",      "const",  "nullable",
                              "description", "default",    "format", "x"};
  auto value = [&](auto &self, int depth) -> std::string {
    switch (draw(depth > 4 ? 6 : 11)) {
    case 0:
      return "null";
    case 1:
      return draw(2) ? "true" : "false";
    case 2:
      return "1.5";
    case 3:
      return "\"object\"";
    case 4:
      return "\"#/properties/x\"";
    case 5:
      return "\"array\"";
    case 6:
    case 7: {
      std::string out = "[";
      for (unsigned i = draw(4); i; --i)
        out += self(self, depth + 1) + (i > 1 ? "," : "");
      return out + "]";
    }
    default: {
      std::string out = "{";
      for (unsigned i = draw(6); i; --i)
        out += std::string("\"") + keys[draw(std::size(keys))] +
               "\":" + self(self, depth + 1) + (i > 1 ? "," : "");
      return out + "}";
    }
    }
  };
  for (int i = 0; i < 20000; ++i) {
    std::string text =
        R"({"function":{"name":"f","parameters":)" + value(value, 0) + "}}";
    const std::string out = declared(json(text));
    for (const char *python : {"None", "True", "False", "['", "{'"})
      EXPECT_EQ(out.find(python), out.npos) << text << "\n" << out;
    for (const char *pair : {"{}", "[]"})
      EXPECT_EQ(std::count(out.begin(), out.end(), pair[0]),
                std::count(out.begin(), out.end(), pair[1]))
          << text << "\n"
          << out;
  }
}

// References that double at each step, and one to much.
TEST(ToolSchema, ReferencesDoNotExplode) {
  std::string text =
      R"({"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{)";
  for (int i = 0; i < 40; ++i) {
    const std::string next =
        R"({"$ref":"#/$defs/d)" + std::to_string(i + 1) + "\"}";
    text += "\"d" + std::to_string(i) +
            R"(":{"type":"object","properties":{"x":)" + next +
            ",\"y\":" + next + "}},";
  }
  text += R"("d40":{"type":"string"}}})";
  EXPECT_LT(normal(text).size(), 30000000u);
}

//===----------------------------------------------------------------------===//
// Rendering for who generates
//===----------------------------------------------------------------------===//

gm::ToolCall call(const std::string &name) {
  return {"1", name, json(R"({"a":1})")};
}

std::string rendered(const std::vector<gm::Message> &messages,
                     gm::ChatOptions options) {
  gm::Prompt out;
  EXPECT_EQ(gm::render_chat(messages, {}, options, out), "");
  EXPECT_EQ(gm::ends_in_thought(out),
            out.text.ends_with("<|channel>thought\n"));
  return out.text;
}

// A call with its response and a text as the last message: the template opens
// no turn, or a thought outside of one.
TEST(ChatRepair, TurnBehindAnAnsweredCall) {
  gm::Message answered = gm::text_message("assistant", "done");
  answered.tool_calls = {call("f")};
  answered.tool_responses = {{"f", json("1")}};
  const std::vector<gm::Message> messages = {gm::text_message("user", "x"),
                                             answered};
  for (bool large : {false, true})
    for (bool thinking : {false, true}) {
      gm::ChatOptions options;
      options.large = large;
      options.enable_thinking = thinking;
      EXPECT_TRUE(rendered(messages, options)
                      .ends_with(thinking ? "done<turn|>\n<|channel>thought\n"
                                          : "done<turn|>\n"));
      options.repair = true;
      EXPECT_TRUE(
          rendered(messages, options)
              .ends_with(large && !thinking
                             ? "done<turn|>\n<|turn>model\n<|channel>thought\n"
                               "<channel|>"
                             : "done<turn|>\n<|turn>model\n"));
    }
}

// After <|tool_response> the same turn goes on: the next prompt begins with the
// one before and what the model wrote, whose last token is the response's
// first.
TEST(ChatRepair, GoesOnInTheSameTurn) {
  for (bool thinking : {false, true}) {
    gm::ChatOptions options;
    options.enable_thinking = thinking;
    options.repair = true;
    std::vector<gm::Message> messages = {gm::text_message("user", "x")};
    const std::string first = rendered(messages, options);
    std::string wrote = "<|tool_call>call:f{a:1}<tool_call|><|tool_response>";
    gm::Message called;
    called.role = "assistant";
    called.tool_calls = {call("f")};
    if (thinking) {
      called.reasoning = "hm";
      wrote = "<|channel>thought\nhm\n<channel|>" + wrote;
    }
    gm::Message response = gm::text_message("tool", "ok");
    response.tool_call_id = "1";
    messages.push_back(called);
    messages.push_back(response);
    const std::string second = rendered(messages, options);
    EXPECT_EQ(second, first + wrote + "response:f{value:<|\"|>ok<|\"|>}" +
                          "<tool_response|>" +
                          (thinking ? "<|channel>thought\n" : ""));
    // Of a finished sequence the thought is gone.
    messages.push_back(gm::text_message("assistant", "done"));
    messages.push_back(gm::text_message("user", "y"));
    EXPECT_EQ(rendered(messages, options).find("hm"), std::string::npos);
  }
}

} // namespace
