// See tools.h.
#include "runtime/grammar/tools.h"

namespace gm::grammar {

AnswerTokens answer_tokens(const Tokenizer &tokenizer) {
  return {tokenizer.named(GM_TOK_QUOTE), tokenizer.named(GM_TOK_TOOL_CALL_OPEN),
          tokenizer.named(GM_TOK_TOOL_CALL_CLOSE),
          tokenizer.named(GM_TOK_CHANNEL_OPEN),
          tokenizer.named(GM_TOK_CHANNEL_CLOSE)};
}

NodeId add_text(Grammar &grammar) {
  TextRule rule;
  rule.form = TextForm::Raw;
  rule.dfa = grammar.dfa(any_text());
  return grammar.text(rule);
}

Status add_calls(Grammar &grammar, const std::vector<CallableTool> &tools,
                 const CallRules &rules, const AnswerTokens &tokens,
                 NodeId &node) {
  if (tokens.quote < 0 || tokens.call_open < 0 || tokens.call_close < 0)
    return failure(UNSUPPORTED, "the vocabulary has no tokens of tool calls");
  if (tools.size() > Grammar::kMostListed)
    return failure(UNSUPPORTED, "expects at most %zu tools, got %zu",
                   Grammar::kMostListed, tools.size());
  SchemaStyle style;
  style.call = true;
  style.quote = tokens.quote;
  std::vector<NodeId> calls;
  for (const CallableTool &tool : tools) {
    if (tool.name.empty() || tool.name.find_first_of("{}") != std::string::npos)
      return failure(BAD_INPUT,
                     "the tool '%.100s': a name without braces is "
                     "expected",
                     tool.name.c_str());
    Value schema = tool.parameters;
    if (schema.kind == Value::Null) {
      schema.kind = Value::Map;
      Value no;
      no.kind = Value::Bool;
      schema.fields.push_back({"additionalProperties", no});
    }
    // Arguments are an object, whatever the schema leaves open.
    if (schema.kind == Value::Map && !schema.find("type")) {
      Value object;
      object.kind = Value::String;
      object.text = "object";
      schema.fields.push_back({"type", object});
    }
    NodeId arguments;
    if (Status s = add_schema(grammar, schema, style, arguments); !s.ok())
      return failure(s.code, "the tool '%.100s': %s", tool.name.c_str(),
                     s.text);
    calls.push_back(
        grammar.seq({grammar.literal("call:" + tool.name), arguments}));
  }
  const NodeId call = grammar.seq({grammar.token(tokens.call_open),
                                   grammar.choice(std::move(calls)),
                                   grammar.token(tokens.call_close)});
  const NodeId all = grammar.repeat(call, rules.required ? 1 : 0,
                                    rules.parallel ? kNoLimit : 1);
  node = rules.required ? all : grammar.seq({add_text(grammar), all});
  return {};
}

NodeId add_thought(Grammar &grammar, Thought thought,
                   const AnswerTokens &tokens, NodeId answer) {
  if (tokens.channel_open < 0 || tokens.channel_close < 0)
    return answer;
  const NodeId rest =
      grammar.seq({add_text(grammar), grammar.token(tokens.channel_close)});
  if (thought == Thought::Open)
    return grammar.seq({rest, answer});
  const NodeId whole = grammar.seq(
      {grammar.token(tokens.channel_open), grammar.literal("thought\n"), rest});
  return grammar.seq({grammar.repeat(whole, 0, 1), answer});
}

} // namespace gm::grammar
