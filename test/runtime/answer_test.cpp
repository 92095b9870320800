// Reading what models write: thoughts, text and tool calls, as a whole, token
// by token and cut anywhere.
#include "runtime/app/answer.h"
#include "runtime/app/json_value.h"

#include "test/runtime/tokenizer_cases.h"

using Json = nlohmann::json;
using gm::AnswerEvent;

namespace {

const cases::Packed &nano() {
  static cases::Packed packed(cases::nanoJson(), cases::nanoVocab);
  return packed;
}

struct Read {
  gm::Answer answer;
  gm::AnswerEnd end = gm::AnswerEnd::Open;
  std::vector<AnswerEvent> events;
};

// What streams promise: calls begin, grow and end in order.
void checkOrder(const std::vector<AnswerEvent> &events) {
  size_t begun = 0;
  bool open = false;
  for (const AnswerEvent &event : events) {
    bool ofCall = event.kind == AnswerEvent::Arguments ||
                  event.kind == AnswerEvent::CallEnd;
    if (event.kind == AnswerEvent::CallBegin) {
      EXPECT_EQ(event.index, begun++);
      EXPECT_FALSE(open);
      open = true;
    } else if (ofCall) {
      EXPECT_EQ(event.index, begun - 1);
      EXPECT_TRUE(open);
      open = event.kind != AnswerEvent::CallEnd;
    } else {
      EXPECT_FALSE(open);
      EXPECT_FALSE(event.text.empty());
    }
  }
  EXPECT_FALSE(open);
}

template <typename Pieces>
Read readWith(gm::AnswerReader reader, const Pieces &pieces) {
  Read read;
  for (const auto &piece : pieces) {
    std::vector<AnswerEvent> events;
    reader.push(piece, events);
    read.answer.add(events);
    read.events.insert(read.events.end(), events.begin(), events.end());
  }
  std::vector<AnswerEvent> events;
  reader.finish(events);
  read.answer.add(events);
  read.events.insert(read.events.end(), events.begin(), events.end());
  read.end = reader.end();
  checkOrder(read.events);
  for (const gm::Answer::Call &call : read.answer.calls)
    EXPECT_TRUE(Json::accept(call.json)) << call.json;
  return read;
}

Read readIds(const std::string &text, gm::AnswerOptions options = {}) {
  return readWith(gm::AnswerReader(nano().tokenizer, options),
                  nano().encode(text, true));
}

Read readText(const std::vector<std::string> &pieces,
              gm::AnswerOptions options = {}) {
  return readWith(gm::AnswerReader(options), pieces);
}

std::vector<std::string> bytes(const std::string &text) {
  std::vector<std::string> out;
  for (char c : text)
    out.emplace_back(1, c);
  return out;
}

void expectSame(const Read &a, const Read &b, const std::string &what) {
  EXPECT_EQ(a.answer.thought, b.answer.thought) << what;
  EXPECT_EQ(a.answer.text, b.answer.text) << what;
  EXPECT_EQ(a.end, b.end) << what;
  ASSERT_EQ(a.answer.calls.size(), b.answer.calls.size()) << what;
  for (size_t i = 0; i < a.answer.calls.size(); ++i) {
    EXPECT_EQ(a.answer.calls[i].name, b.answer.calls[i].name) << what;
    EXPECT_EQ(a.answer.calls[i].json, b.answer.calls[i].json) << what;
  }
}

// An output read in every way.
Read readAll(const std::string &text, gm::AnswerOptions options = {}) {
  Read whole = readText({text}, options);
  expectSame(whole, readText(bytes(text), options), text);
  expectSame(whole, readIds(text, options), text);
  return whole;
}

TEST(Answer, OutsideGoldens) {
  SKIP_WITHOUT_GOLDEN();
  int count = 0;
  for (const Json &c : cases::readLines(std::string(cases::goldenFolder()) +
                                        "/chat/parsing.jsonl")) {
    gm::Prompt prefix;
    std::string text, before = c["prefix"];
    size_t last = before.rfind("<|channel>");
    prefix += before.substr(0, last);
    if (last != before.npos)
      prefix.control("<|channel>") += before.substr(last + 10);
    for (const std::string piece : c["pieces"])
      text += piece;
    gm::AnswerOptions options;
    options.in_thought = gm::ends_in_thought(prefix);
    Read read = readAll(text, options);
    expectSame(read,
               readText(c["pieces"].get<std::vector<std::string>>(), options),
               c["id"]);
    const Json &expected = c["expected"];
    EXPECT_EQ(read.answer.thought, expected["thinking"].get<std::string>())
        << c["id"];
    EXPECT_EQ(read.answer.text, expected["content"].get<std::string>())
        << c["id"];
    ASSERT_EQ(read.answer.calls.size(), expected["tool_calls"].size())
        << c["id"];
    for (size_t i = 0; i < read.answer.calls.size(); ++i) {
      const gm::Answer::Call &call = read.answer.calls[i];
      const Json &wanted = expected["tool_calls"][i];
      EXPECT_EQ(call.name, wanted["name"].get<std::string>()) << c["id"];
      EXPECT_EQ(Json::parse(call.json), wanted["arguments"]) << c["id"];
      EXPECT_EQ(Json::parse(gm::to_json(call.arguments)), wanted["arguments"])
          << c["id"];
    }
    ++count;
  }
  EXPECT_EQ(count, 83);
}

TEST(Answer, SplitsThoughtFromAnswer) {
  const struct {
    const char *text, *thought, *answer;
    bool inThought = false;
  } tests[] = {
      {"<|channel>thought\nHm.\n\nYes.\n<channel|>The answer\n", "Hm.\n\nYes.",
       "The answer"},
      {"plain \U0001F9FF text", "", "plain \U0001F9FF text"},
      {"<|channel>thought\n<channel|>ok", "", "ok"},
      {"<|channel>thought<channel|>a<channel|>b<|channel>though\n", "though",
       "ab"},
      {"still thinking\n<channel|>done", "still thinking", "done", true},
      {"thought\nx<channel|>y", "thought\nx", "y", true},
      {"<|channel>thought\na<|channel>thought\nb\n<channel|>c", "ab", "c"},
      {"<|channel>thought", "thought", ""}, // not in front of <channel|>
      {"<|channel>a<|tool_call>call:f{}<tool_call|>b", "a", "b"},
      {" \n\u00A0a \n", "", "a"},
      {"a<turn|>b<|channel>c", "", "a"},
      {"x <|\"|> y<tool_call|>z <|tur", "", "x <|\"|> yz <|tur"},
  };
  for (const auto &test : tests) {
    gm::AnswerOptions options;
    options.in_thought = test.inThought;
    Read read = readAll(test.text, options);
    EXPECT_EQ(read.answer.thought, test.thought) << test.text;
    EXPECT_EQ(read.answer.text, test.answer) << test.text;
  }
}

TEST(Answer, WhiteSpaceIsKeptWhereAsked) {
  gm::AnswerOptions options;
  options.trimmed = false;
  Read read = readAll(" <|channel>thought\n a \n<channel|>\n b \n", options);
  EXPECT_EQ(read.answer.thought, " a ");
  EXPECT_EQ(read.answer.text, " \n b \n");
}

TEST(Answer, SaysWhatEndedIt) {
  EXPECT_EQ(readAll("a").end, gm::AnswerEnd::Open);
  EXPECT_EQ(readAll("a<turn|>").end, gm::AnswerEnd::Turn);
  EXPECT_EQ(readAll("<|channel>a<eos>").end, gm::AnswerEnd::Eos);
  EXPECT_EQ(readAll("<|tool_call>call:f{<|tool_response>").end,
            gm::AnswerEnd::ToolResponse);
}

// The arguments of a call that the text after "call:f" makes.
TEST(Answer, ArgumentsAreJson) {
  const struct {
    const char *text, *json;
  } tests[] = {
      {"", "{}"},
      {" ", "{}"},
      {"{}", "{}"},
      {"{", "{}"},
      {"{a:1.50,b:-0,c:1e-07,d:100000000000000000000000,e:1E5}",
       R"({"a":1.50,"b":-0,"c":1e-07,"d":100000000000000000000000,"e":1E5})"},
      // Numbers of other spellings; what is no number is a word.
      {"{a:+1,b:.5,c:2.,d:-.5,e:007,f:1.2.3,g:nan,h:-,i:1e999}",
       R"({"a":1,"b":0.5,"c":2.0,"d":-0.5,"e":"007","f":"1.2.3","g":"nan",)"
       R"("h":"-","i":"1e999"})"},
      {"{a:true,b:false,c:null,d:truer,e:t, f : true }",
       R"({"a":true,"b":false,"c":null,"d":"truer","e":"t","f":true})"},
      {"{a:1,a:2}", R"({"a":1,"a":2})"},
      {"{ a : 1 , b-c.d : [ 1 , 2 ] , \"e\" : \"f\" }",
       R"({"a":1,"b-c.d":[1,2],"e":"f"})"},
      {"{<|\"|>a b<|\"|>:1,'c':2,\"d\\\"\\u00e9\":3}",
       R"({"a b":1,"c":2,"d\"é":3})"},
      {"{a:<|\"|>x\\n\"y\"}]<|\"|>}", R"({"a":"x\\n\"y\"}]"})"},
      {"{a:\"\\n\\u0041\\ud83d\\ude00\\ud83d.\\x\\u12\"}",
       "{\"a\":\"\\nA\U0001F600\uFFFD.\\\\x\\\\u12\"}"},
      {"{a:<|\"|>ls -l } ]", R"({"a":"ls -l"})"},
      {"{a:\"ls, b:1}", R"({"a":"ls, b:1"})"},
      {"{a:\"x<|\"|>,b:1}", R"({"a":"x","b":1})"},
      {"{a:<|\"|>x<|\"|>b:1}", R"({"a":"x","b":1})"}, // forgotten commas
      {"{a:[<|\"|>x<|\"|><|\"|>y<|\"|>]}", R"({"a":["x","y"]})"},
      {"{a:'it''s',b:'x' ,c:'tis,d:''}",
       R"({"a":"'it''s'","b":"x","c":"'tis","d":""})"},
      {"{a:'x", R"({"a":"'x"})"},
      {"{a:'x'", R"({"a":"x"})"},
      {"{a:two words ,b:x<y}", R"({"a":"two words","b":"x<y"})"},
      {"{a:größe\u00A0}", R"({"a":"größe"})"},
      {"{a:,b:[,1,],c:}", R"({"a":"","b":["",1],"c":""})"},
      {"{a,b:1}", R"({"a,b":1})"},
      {"{a}", "{}"},
      {"{a:", R"({"a":""})"},
      {"{a:[1,{b:[2", R"({"a":[1,{"b":[2]}]})"},
      {"{a:[1}", R"({"a":[1]})"}, // the wrong bracket
      {"{a:[{b:1],c:2}", R"({"a":[{"b":1}],"c":2})"},
      {"{a:1]}", R"({"a":1})"},
      {"{a:1},b:2}", R"({"a":1})"},
      {"{a:http://x/y?z=1}", R"({"a":"http://x/y?z=1"})"},
      {"{a:x<|channel>y}", R"({"a":"x<|channel>y"})"},
  };
  for (const auto &test : tests) {
    Read read =
        readAll("<|tool_call>call:f" + std::string(test.text) + "<tool_call|>");
    ASSERT_EQ(read.answer.calls.size(), 1u) << test.text;
    EXPECT_EQ(read.answer.calls[0].name, "f") << test.text;
    EXPECT_EQ(read.answer.calls[0].json, test.json) << test.text;
  }
}

TEST(Answer, DepthHasALimit) {
  for (size_t depth : {63u, 64u, 100000u}) {
    const std::string open(depth, '['), close(depth, ']');
    const std::string kept(std::min(depth, size_t(63)), '[');
    Read read = readText(
        {"<|tool_call>call:f{a:" + open + "1" + close + ",b:2}<tool_call|>"});
    ASSERT_EQ(read.answer.calls.size(), 1u);
    EXPECT_TRUE(read.answer.calls[0].json.starts_with(
        "{\"a\":" + kept + (depth > 63 ? "null" : "1") + "]"))
        << read.answer.calls[0].json;
    EXPECT_TRUE(read.answer.calls[0].json.ends_with("],\"b\":2}"));
    EXPECT_EQ(read.answer.calls[0].arguments.fields.size(), 2u);
  }
}

// The last of a key counts.
TEST(Answer, KeysThatStandTwice) {
  Read read = readAll("<|tool_call>call:f{a:1,b:2,a:3,a:4}<tool_call|>");
  ASSERT_EQ(read.answer.calls.size(), 1u);
  EXPECT_EQ(gm::to_json(read.answer.calls[0].arguments), R"({"a":4,"b":2})");
}

TEST(Answer, NamesOfCalls) {
  EXPECT_EQ(readAll("<|tool_call> call: a.b-c {}").answer.calls.at(0).name,
            "a.b-c");
  EXPECT_TRUE(readAll("<|tool_call>f{a:1}<tool_call|>x").answer.calls.empty());
  EXPECT_EQ(readAll("<|tool_call>call:f{}<|tool_call>call:g<turn|>")
                .answer.calls.size(),
            2u);
}

// What is certain is given at once.
TEST(Answer, HoldsNothingBack) {
  gm::AnswerReader reader;
  auto push = [&](const char *text) {
    std::vector<AnswerEvent> events;
    reader.push(std::string_view(text), events);
    std::string out;
    for (const AnswerEvent &event : events)
      out += event.text + (event.kind == AnswerEvent::CallEnd ? "." : "");
    return out;
  };
  EXPECT_EQ(push("Hello "), "Hello");
  EXPECT_EQ(push("<"), "");
  EXPECT_EQ(push("b"), " <b");
  EXPECT_EQ(push("<|channel>though"), "");
  EXPECT_EQ(push("ts"), "thoughts");
  EXPECT_EQ(push("\n"), "");
  EXPECT_EQ(push("<channel|><|tool_call>call:ab"), "");
  EXPECT_EQ(push("{"), "ab{");
  EXPECT_EQ(push("key"), "");
  EXPECT_EQ(push(":"), "\"key\":");
  EXPECT_EQ(push("<|\"|>"), "\"");
  EXPECT_EQ(push("text }"), "text");
  EXPECT_EQ(push("x"), " }x");
  EXPECT_EQ(push("<|\"|>"), "\"");
  EXPECT_EQ(push(",k:12"), ",\"k\":");
  EXPECT_EQ(push("3,"), "123");
  EXPECT_EQ(push("w:fas"), ",\"w\":\"fas");
  EXPECT_EQ(push("t]"), "t\"");
  EXPECT_EQ(push("}"), "}");
  EXPECT_EQ(push("<tool_call|>"), ".");
  EXPECT_EQ(push("!"), "!");
}

TEST(Answer, TextThatReadsLikeATagIsText) {
  gm::AnswerReader reader(nano().tokenizer);
  gm::Answer answer;
  for (int32_t id : nano().encode("a<turn|><|channel>b", false)) {
    std::vector<AnswerEvent> events;
    reader.push(id, events);
    answer.add(events);
  }
  std::vector<AnswerEvent> events;
  reader.finish(events);
  answer.add(events);
  EXPECT_EQ(answer.text, "a<turn|><|channel>b");
}

// A vocabulary that has none of the tokens: the same, found in the text.
TEST(Answer, VocabularyWithoutTheTokens) {
  std::string json = cases::nanoJson();
  for (const char *tag : {"channel", "tool_call"})
    for (size_t at; (at = json.find(std::string("<|") + tag)) != json.npos ||
                    (at = json.find(std::string(tag) + "|>")) != json.npos;)
      json.replace(json.find(tag, at), 4, "none");
  cases::Packed without(json, cases::nanoVocab);
  ASSERT_LT(without.tokenizer.named(GM_TOK_CHANNEL_OPEN), 0);
  const std::string text =
      "<|channel>thought\nhm\n<channel|>a<|tool_call>call:f{b:1}<tool_call|>";
  Read read =
      readWith(gm::AnswerReader(without.tokenizer), without.encode(text, true));
  expectSame(read, readText({text}), text);
  EXPECT_EQ(read.answer.thought, "hm");
}

} // namespace
