// Finding and recognising chat templates: where they lie, what in them means
// nothing, and what unknown ones are taken for.
#include "compiler/importer/KnownTemplates.h"
#include "compiler/importer/Tokenizer.h"

#include "test/compiler/importer/TestFiles.h"

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <map>
#include <set>

using namespace gemmac;
using namespace gemmac::test;
using Ordered = nlohmann::ordered_json;

namespace {

TEST(ChatTemplate, KnownOnes) {
  std::vector<std::string> warnings;
  // What the file says decides, not the model.
  for (bool hint : {false, true}) {
    auto small = readChatTemplate(source("examples/nano-e"), hint, warnings);
    ASSERT_TRUE(small);
    EXPECT_EQ(small->protocol, ChatProtocol::Small);
    EXPECT_TRUE(small->known);
    EXPECT_EQ(small->sha256.substr(0, 8), "3beb16a1");
    auto large = readChatTemplate(source("examples/nano-m"), hint, warnings);
    ASSERT_TRUE(large);
    EXPECT_EQ(large->protocol, ChatProtocol::Large);
    EXPECT_TRUE(large->known);
  }
  EXPECT_TRUE(warnings.empty());
}

// What a folder holds and where the template is found.
TEST(ChatTemplate, Places) {
  std::string text = readText(source("examples/nano-m/chat_template.jinja"));
  Ordered one = {{"chat_template", text}}, other = {{"chat_template", "x"}};
  Ordered list = {{"chat_template",
                   {{{"name", "tool_use"}, {"template", "x"}},
                    {{"name", "default"}, {"template", text}}}}};
  Ordered alone = {
      {"chat_template", {{{"name", "tool_use"}, {"template", text}}}}};
  Ordered object = {{"chat_template", {{"rag", "x"}, {"default", text}}}};
  const char *const jinja = "chat_template.jinja",
                    *config = "tokenizer_config.json",
                    *json = "chat_template.json",
                    *processor = "processor_config.json";
  struct {
    std::vector<std::pair<const char *, std::string>> files;
    const char *place; // "": none is found
  } const cases[] = {
      {{}, ""},
      {{{config, "{\"bos_token\": \"<bos>\"}"}, {processor, "{}"}}, ""},
      {{{config, "{\"chat_template\": null}"}, {jinja, " \n"}}, ""},
      {{{jinja, text}}, jinja},
      {{{config, one.dump()}}, "chat_template of tokenizer_config.json"},
      {{{config, list.dump()}}, "tokenizer_config.json, \"default\""},
      {{{config, alone.dump()}}, "tokenizer_config.json, \"tool_use\""},
      {{{json, one.dump()}}, "chat_template of chat_template.json"},
      {{{processor, one.dump()}}, "chat_template of processor_config.json"},
      {{{processor, object.dump()}}, "processor_config.json, \"default\""},
      // The first of them counts.
      {{{jinja, text}, {config, other.dump()}}, jinja},
      {{{config, one.dump()}, {json, other.dump()}}, config},
      {{{json, one.dump()}, {processor, other.dump()}}, json},
  };
  for (const auto &c : cases) {
    TemporaryFolder folder;
    for (const auto &[name, content] : c.files)
      writeText(folder.file(name), content);
    std::vector<std::string> warnings;
    auto found = readChatTemplate(folder.path, true, warnings);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->known, *c.place != 0);
    EXPECT_TRUE(has(found->place, {c.place}));
    EXPECT_EQ(found->protocol,
              *c.place ? ChatProtocol::Large : ChatProtocol::None);
    EXPECT_TRUE(warnings.empty());
  }
}

TEST(ChatTemplate, LineEndsMeanNothing) {
  std::string text = readText(source("examples/nano-m/chat_template.jinja"));
  std::string crlf, cr;
  for (char c : text) {
    crlf += c == '\n' ? "\r\n" : std::string(1, c);
    cr += c == '\n' ? '\r' : c;
  }
  std::string cut = text.substr(0, text.size() - 1);
  for (const std::string &same :
       {crlf, cr, cut, text + "\n", cut + "  \r\n", "\xEF\xBB\xBF" + text}) {
    TemporaryFolder folder;
    writeText(folder.file("chat_template.jinja"), same);
    std::vector<std::string> warnings;
    auto found = readChatTemplate(folder.path, true, warnings);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->known);
    EXPECT_EQ(found->protocol, ChatProtocol::Large);
  }
}

TEST(ChatTemplate, UnknownOnes) {
  const std::string turns = "{{ '<|turn>model\\n' }}<turn|>",
                    thought = "{{ '<|channel>thought\\n<channel|>' }}";
  const struct {
    std::string text;
    bool smallModel;
    ChatProtocol protocol;
    const char *why;
  } cases[] = {
      {"abc", true, ChatProtocol::Small, "does not write Gemma 4's turns"},
      {"abc", false, ChatProtocol::Large, "does not write Gemma 4's turns"},
      // What the text implies comes before what the model does.
      {turns, false, ChatProtocol::Small, "no empty thought"},
      {turns + thought, true, ChatProtocol::Large, "writes an empty thought"},
      {turns + "{#" + thought + "#}", false, ChatProtocol::Small,
       "no empty thought"},
  };
  for (const auto &c : cases) {
    TemporaryFolder folder;
    std::vector<std::string> warnings;
    writeText(folder.file("chat_template.jinja"), c.text);
    auto other = readChatTemplate(folder.path, c.smallModel, warnings);
    ASSERT_TRUE(other);
    EXPECT_FALSE(other->known);
    EXPECT_EQ(other->protocol, c.protocol) << c.text;
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_TRUE(has(warnings[0],
                    {other->sha256.c_str(), c.why, chatProtocolName(c.protocol),
                     "--chat-template=small"}))
        << warnings[0];
    if (c.text == "abc") // a well-known hash
      EXPECT_EQ(other->sha256, "ba7816bf8f01cfea414140de5dae2223"
                               "b00361a396177a9cb410ff61f20015ad");
  }
}

TEST(ChatTemplate, WhatMeansNothingIsNoDifference) {
  const std::string text =
      readText(source("examples/nano-m/chat_template.jinja"));
  auto replaced = [&](const std::string &from, const std::string &to) {
    std::string out = text;
    EXPECT_NE(out.find(from), out.npos) << from;
    for (size_t at = 0; (at = out.find(from, at)) != out.npos; at += to.size())
      out.replace(at, from.size(), to);
    return out;
  };
  const std::string normalised = normalisedTemplate(text);
  for (const std::string &same :
       {"{# whose it is: 'x #}\n" + text, "{#- - x -#}" + text,
        replaced("{%- if ", "{%-   if\n "), replaced(" -%}", "-%}"),
        replaced("{%- endif -%}", "{%- endif -%}\n\n  {#- then -#}\n"),
        replaced("{%- else -%}\n", "{%- else -%}")})
    EXPECT_TRUE(normalisedTemplate(same) == normalised) << same.substr(0, 80);
  for (const std::string &other :
       {text + "x", replaced("<|think|>\\n", "<|think|>"),
        replaced("thought\\n", "thought\\n "),
        replaced("{%- endif -%}", "{%- endif -%}."),
        replaced("key not in", "keynot in"),
        replaced("'<|turn>'", "' <|turn>'")})
    EXPECT_TRUE(normalisedTemplate(other) != normalised) << other.substr(0, 80);
}

// Blanks that are output stay, and those that tags take away go.
TEST(ChatTemplate, Normalised) {
  const struct {
    const char *a, *b;
    bool same;
  } cases[] = {
      {"a {{ b }} c", "a {{b}} c", true},
      {"a {{ b }} c", "a {{ b }}  c", false},
      {"a {{- b -}} c", "a{{ b }}c", true},
      {"a {% if b %} c", "a{% if b %} c", false}, // not alone in its line
      {"a\n  {% if b %}\nc", "a\n{% if b %}c", true},
      {"a\n  {%+ if b +%}\nc", "a\n{% if b %}c", false},
      {"a\n  {{ b }}\nc", "a\n{{ b }}c", false},
      {"a\n  {# b #}\nc", "a\nc", true},
      {"a{# b -#}  \nc", "ac", true},
      {"{{ a == b }}", "{{a==b}}", true},
      {"{{ a * * b }}", "{{a**b}}", false},
      {"{{ ab }}", "{{ a b }}", false},
      {"{{ '}} ' }}", "{{'}} '}}", true},
      {"{{ '}} ' }}", "{{'}}'}}", false},
      {"{{ '\\' ' }}", "{{'\\' '}}", true},
      {"{ {% if a %}", "{{% if a %}", false},
      {"{% raw %}{# a #}{% endraw %}", "{% raw %}{% endraw %}", false},
      {"{{ a", "{{  a", false}, // no template at all
  };
  for (const auto &c : cases)
    EXPECT_EQ(normalisedTemplate(c.a) == normalisedTemplate(c.b), c.same)
        << c.a << " and " << c.b;
}

// The table holds what it says, wherever there are the texts.
TEST(ChatTemplate, Table) {
  std::set<std::string> hashes;
  std::map<std::string, const KnownTemplate *> equal;
  for (const KnownTemplate &each : knownTemplates()) {
    EXPECT_EQ(std::string_view(each.sha256).size(), 64u);
    EXPECT_TRUE(hashes.insert(each.sha256).second) << each.sha256;
    // Texts that differ in nothing that counts are one template.
    const KnownTemplate *&first = equal[each.normalised];
    if (!first)
      first = &each;
    EXPECT_EQ(first->protocol, each.protocol) << each.sha256;
    EXPECT_EQ(first->differs, each.differs) << each.sha256;
    EXPECT_STREQ(first->in, each.in);
    EXPECT_EQ(each.differs == 0, !*each.in);
    EXPECT_LE(each.differs, 199);
  }
  EXPECT_GT(equal.size(), 20u);
}

TEST(ChatTemplate, TableKnowsTheGoldens) {
  const char *golden = std::getenv("GEMMAC_GOLDEN");
  if (!golden)
    GTEST_SKIP() << "GEMMAC_GOLDEN does not name a folder of outside goldens";
  const struct {
    const char *file;
    ChatProtocol protocol;
    int differs;
  } cases[] = {{"small-2026-07-09", ChatProtocol::Small, 0},
               {"large-2026-07-09", ChatProtocol::Large, 0},
               {"april-2026", ChatProtocol::Small, 136},
               {"small-intermediate", ChatProtocol::Small, 74}};
  for (const auto &c : cases) {
    const KnownTemplate *found = findTemplate(
        readText(std::string(golden) + "/chat/templates/" + c.file + ".jinja"));
    ASSERT_TRUE(found) << c.file;
    EXPECT_EQ(found->protocol, c.protocol) << c.file;
    EXPECT_EQ(found->differs, c.differs) << c.file;
  }
}

TEST(ChatTemplate, Broken) {
  TemporaryFolder folder;
  std::vector<std::string> warnings;
  for (const char *text :
       {"{", "{\"chat_template\": 3}", "{\"chat_template\": {\"a\": 1}}",
        "{\"chat_template\": [{\"name\": \"default\"}]}"}) {
    writeText(folder.file("tokenizer_config.json"), text);
    auto found = readChatTemplate(folder.path, true, warnings);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, ExitCode::BadInput);
    EXPECT_TRUE(has(found.error().message, {"tokenizer_config.json"}));
  }
}

} // namespace
