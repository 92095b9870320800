// Conversations in JSON: what is refused, and that refusing is all that
// happens.
#include "runtime/app/json_value.h"
#include "runtime/app/messages.h"

#include <gtest/gtest.h>

using namespace gm;

namespace {

Status parse(const std::string &text, Conversation &out) {
  return parse_conversation(text, "x.json", "", out);
}

std::string refusal(const std::string &text) {
  Conversation out;
  const Status s = parse(text, out);
  EXPECT_EQ(s.code, BAD_INPUT) << s.text;
  return s.text;
}

std::string nested(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

std::string callWith(const std::string &arguments) {
  return R"([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": )" +
         arguments + "}]}]";
}

TEST(Messages, DepthHasALimit) {
  EXPECT_EQ(refusal(nested(100000)), "x.json: is nested more than 64 deep");
  // Also of JSON in a text, which is read in a recursion.
  EXPECT_EQ(refusal(callWith('"' + nested(300000) + '"')),
            "x.json: message 0 calls 'f' with arguments that are nested more "
            "than 64 deep");
  Conversation out;
  EXPECT_TRUE(parse(callWith('"' + nested(60) + '"'), out).ok());
}

// Digits stay as they are, and of a key that stands twice the last value
// counts.
TEST(Messages, ValuesAreKept) {
  Conversation out;
  ASSERT_TRUE(parse(callWith(R"({"a": 12345678901234567890123, "b": 1.50, )"
                             R"("c": -0, "a": 1e-07, "d": "\u00e9\n"})"),
                    out)
                  .ok());
  const Value &arguments = out.messages[0].tool_calls[0].arguments;
  EXPECT_EQ(to_json(arguments),
            "{\"a\":1e-07,\"b\":1.50,\"c\":0,\"d\":\"é\\n\"}");
  Value big;
  ASSERT_TRUE(read_json("[12345678901234567890123]", "it is", big).ok());
  EXPECT_EQ(big.items[0].kind, Value::Integer);
  EXPECT_EQ(to_json(big), "[12345678901234567890123]");
}

TEST(Messages, TooManyValues) {
  std::string text = "[0";
  for (size_t i = 0; i < kMostValues; ++i)
    text += ",0";
  EXPECT_EQ(refusal(text + "]"),
            "x.json: is too large: more than 1048576 values");
}

TEST(Messages, ArgumentsAreJson) {
  EXPECT_EQ(refusal(callWith(R"("{")")),
            "x.json: message 0 calls 'f' with arguments that are no JSON");
  EXPECT_EQ(refusal("{"), "x.json: is no JSON");
}

} // namespace
