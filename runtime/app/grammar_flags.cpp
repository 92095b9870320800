// See grammar_flags.h.
#include "runtime/app/grammar_flags.h"
#include "runtime/app/json_value.h"
#include "runtime/grammar/gbnf.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/schema.h"
#include "runtime/grammar/tools.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstdio>

namespace gm {
namespace {

using namespace grammar;

constexpr size_t kMostBytes = 4u << 20;

// The text itself, or that of the file that it names.
Status read_text(const char *flag, const std::string &given, bool is_text,
                 std::string &text) {
  if (is_text)
    return text = given, Status{};
  FILE *file = fopen(given.c_str(), "rb");
  if (!file)
    return failure(BAD_INPUT, "%s: cannot read the file '%.200s'", flag,
                   given.c_str());
  char buffer[1 << 16];
  size_t n;
  while ((n = fread(buffer, 1, sizeof buffer, file)) > 0 &&
         text.size() <= kMostBytes)
    text.append(buffer, n);
  const bool bad = ferror(file);
  fclose(file);
  if (bad)
    return failure(BAD_INPUT, "%s: cannot read the file '%.200s'", flag,
                   given.c_str());
  if (text.size() > kMostBytes)
    return failure(BAD_INPUT, "%s: '%.200s' is larger than %zu MiB", flag,
                   given.c_str(), kMostBytes >> 20);
  return {};
}

Status named(const char *flag, const Status &s) {
  return s.ok() ? s : failure(s.code, "%s: %s", flag, s.text);
}

Value any_object() {
  Value type, schema;
  type.kind = Value::String;
  type.text = "object";
  schema.kind = Value::Map;
  schema.fields.push_back({"type", type});
  return schema;
}

} // namespace

std::vector<Flag> GrammarFlags::flags() {
  return {
      {"--json-schema", "", "SCHEMA",
       "the answer is JSON that this schema allows, a file or the schema "
       "itself; what of it is not enforced is an error",
       &schema},
      {"--json", "", "", "the answer is a JSON object", &json},
      {"--grammar", "", "GRAMMAR",
       "the answer is a text of the rule 'root' of this grammar (GBNF), a file "
       "or the grammar itself",
       &grammar},
  };
}

Status GrammarFlags::check(bool ignore_stop) const {
  if (bool(schema) + bool(grammar) + json > 1)
    return failure(USAGE, "--json-schema, --json and --grammar exclude each "
                          "other");
  if (any() && ignore_stop)
    return failure(USAGE,
                   "%s says where the answer ends, so it excludes --ignore-eos",
                   schema ? "--json-schema"
                   : json ? "--json"
                          : "--grammar");
  return {};
}

Status GrammarFlags::compile(const Program &program, bool thinks,
                             std::shared_ptr<const Constraint> &out) const {
  if (!any())
    return {};
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  const char *flag = schema ? "--json-schema" : json ? "--json" : "--grammar";
  Grammar grammar;
  NodeId root = 0;
  std::string text;
  if (this->grammar) {
    if (Status s =
            read_text(flag, *this->grammar,
                      this->grammar->find("::=") != std::string::npos, text);
        !s.ok())
      return s;
    if (Status s = add_gbnf(grammar, text, root); !s.ok())
      return named(flag, s);
  } else {
    Value value = any_object();
    if (schema) {
      const size_t first = schema->find_first_not_of(" \t\r\n");
      const bool is_text = first != std::string::npos &&
                           ((*schema)[first] == '{' || *schema == "true");
      if (Status s = read_text(flag, *schema, is_text, text); !s.ok())
        return s;
      if (Status s = read_json(text, "the schema is", value); !s.ok())
        return named(flag, s);
    }
    SchemaStyle style;
    if (Status s = add_schema(grammar, value, style, root); !s.ok())
      return named(flag, s);
  }
  if (thinks)
    root = add_thought(grammar, Thought::Allowed,
                       answer_tokens(program.tokenizer), root);
  if (Status s = grammar.finish(root); !s.ok())
    return named(flag, s);
  std::vector<int32_t> stop;
  if (auto *sampling = program.manifest().sampling(); sampling)
    if (sampling->stop())
      stop.assign(sampling->stop()->begin(), sampling->stop()->end());
  auto vocabulary =
      std::make_shared<const Vocabulary>(program.tokenizer, program.vocab());
  out = std::make_shared<Matcher>(std::make_shared<Compiled>(
      std::move(grammar), std::move(vocabulary), std::move(stop)));
  return {};
}

} // namespace gm
