// Conversations in JSON: what is refused, and that refusing is all that
// happens.
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

TEST(Messages, ArgumentsAreJson) {
  EXPECT_EQ(refusal(callWith(R"("{")")),
            "x.json: message 0 calls 'f' with arguments that are no JSON");
  EXPECT_EQ(refusal("{"), "x.json: is no JSON");
}

} // namespace
