// See demand.h.
#include "runtime/serve/demand.h"
#include "runtime/app/json_value.h"
#include "runtime/grammar/gbnf.h"
#include "runtime/grammar/held_calls.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/tools.h"
#include "runtime/manifest_generated.h"

namespace gm {

using namespace grammar;

std::shared_ptr<Compiled> Grammars::compile(Grammar grammar) {
  std::vector<int32_t> stop;
  if (auto *sampling = program.manifest().sampling(); sampling)
    if (sampling->stop())
      stop.assign(sampling->stop()->begin(), sampling->stop()->end());
  std::lock_guard lock(mutex);
  if (!vocabulary) {
    vocabulary =
        std::make_shared<const Vocabulary>(program.tokenizer, program.vocab());
    common = std::make_shared<MaskCache>();
  }
  return std::make_shared<Compiled>(std::move(grammar), vocabulary,
                                    std::move(stop), common);
}

std::shared_ptr<const Constraint> Grammars::find(const std::string &key) {
  std::lock_guard lock(mutex);
  for (auto at = kept.begin(); at != kept.end(); ++at)
    if (at->first == key) {
      kept.splice(kept.begin(), kept, at);
      return kept.front().second;
    }
  return nullptr;
}

void Grammars::keep(const std::string &key,
                    std::shared_ptr<const Constraint> made) {
  if (key.size() > kMostKey)
    return;
  std::lock_guard lock(mutex);
  kept.emplace_front(key, std::move(made));
  if (kept.size() > kMost)
    kept.pop_back();
}

namespace {

Status value_of(const Tree &tree, Value &out) {
  return read_json(dump(tree), "the schema is", out);
}

// Words of other servers that would be ignored otherwise.
constexpr const char *kUnknown[] = {
    "guided_json",        "guided_regex", "guided_choice", "guided_grammar",
    "structured_outputs", "regex",        "ebnf"};

// What all of an answer must be. Key: where that is said, null: nowhere.
struct Form {
  const char *key = nullptr;
  Value schema;
  std::string gbnf; // instead of a schema
};

// The schema that response_format holds; false: it demands none.
bool read_format(Fields &fields, Value &schema) {
  const Tree *format = fields.map("response_format");
  if (!format)
    return false;
  Fields inner(*format, "response_format.");
  std::string type;
  inner.text("type", type);
  const Tree *found = nullptr;
  if (type == "json_schema") {
    if (const Tree *wrapped = inner.map("json_schema"))
      found = Fields(*wrapped).find("schema");
    if (!found && inner.status().ok())
      inner.fail("json_schema",
                 failure(BAD_INPUT, "'response_format.json_schema' expects an "
                                    "object with 'schema'"));
  } else if (type == "json_object") {
    for (const char *key : {"value", "schema"}) // of other clients
      found = found ? found : inner.find(key);
  } else if (type != "text" && inner.status().ok()) {
    inner.fail("type", failure(BAD_INPUT,
                               "'response_format.type' expects text, "
                               "json_object or json_schema, got '%.40s'",
                               type.c_str()));
  }
  fields.fail("response_format", inner.status());
  if (!fields.status().ok() || type == "text")
    return false;
  const Tree any = {{"type", "object"}};
  fields.fail("response_format", value_of(found ? *found : any, schema));
  return true;
}

Form read_form(Fields &fields) {
  Form form;
  for (const char *key : kUnknown)
    if (fields.find(key))
      fields.fail(key, failure(UNSUPPORTED,
                               "'%s' is not known here and would change the "
                               "answer: use response_format, json_schema or "
                               "grammar",
                               key));
  int count = 0;
  if (read_format(fields, form.schema))
    form.key = "response_format", ++count;
  if (const Tree *schema = fields.find("json_schema")) {
    fields.fail("json_schema", value_of(*schema, form.schema));
    form.key = "json_schema", ++count;
  }
  fields.text("grammar", form.gbnf);
  if (!form.gbnf.empty())
    form.key = "grammar", ++count;
  if (count > 1)
    fields.fail(form.key, failure(BAD_INPUT,
                                  "'%s' excludes the other ones of "
                                  "response_format, json_schema and grammar",
                                  form.key));
  return form;
}

struct Tools {
  std::vector<CallableTool> list;
  std::vector<bool> strict; // of each: its schema is demanded
  bool required = false;    // one must be called
};

// The tools that may be called.
Tools read_tools(Fields &fields) {
  Tools out;
  const Tree *tools = fields.list("tools");
  const Tree *choice = fields.find("tool_choice");
  const std::string word =
      choice && choice->is_string() ? choice->get<std::string>() : "auto";
  if (!tools || word == "none")
    return out;
  std::string only;
  if (choice && choice->is_object())
    if (const Tree *function = Fields(*choice).find("function"))
      if (const Tree *name = Fields(*function).find("name");
          name && name->is_string())
        only = name->get<std::string>();
  out.required = word == "required" || !only.empty();
  if (choice && choice->is_object() && only.empty())
    fields.expect("tool_choice",
                  "auto, none, required or {\"type\": \"function\", "
                  "\"function\": {\"name\": ...}}",
                  *choice);
  for (const Tree &tool : *tools) {
    const Tree *function = Fields(tool).find("function");
    const Tree *name = function ? Fields(*function).find("name") : nullptr;
    if (!name || !name->is_string()) // said elsewhere
      continue;
    CallableTool each;
    each.name = name->get<std::string>();
    if (!only.empty() && each.name != only)
      continue;
    if (const Tree *parameters = Fields(*function).find("parameters"))
      fields.fail("tools", value_of(*parameters, each.parameters));
    bool strict = false;
    Fields inner(*function, "tools.function.");
    inner.truth("strict", strict);
    fields.fail("tools", inner.status());
    out.strict.push_back(strict);
    out.list.push_back(std::move(each));
  }
  if (out.list.empty() && !only.empty() && !tools->empty())
    fields.fail("tool_choice",
                failure(BAD_INPUT,
                        "'tool_choice' expects one of 'tools', got '%.100s'",
                        only.c_str()));
  out.required &= !tools->empty(); // without tools nothing can be demanded
  return out;
}

// Everything that a constraint is made of.
std::string key_of(const Fields &fields, bool parallel,
                   const ThoughtState &thought) {
  std::string key = {parallel ? 'p' : '-', thought.allowed ? 'a' : '-',
                     thought.open ? 'o' : '-'};
  for (const char *word :
       {"tools", "tool_choice", "response_format", "json_schema", "grammar"}) {
    key += '\n';
    if (const Tree *value = fields.find(word))
      key += dump(*value);
  }
  return key;
}

// Any object, where a schema is more than can be held to and nobody demands it.
void relax(Tools &tools, const AnswerTokens &tokens) {
  for (size_t i = 0; i < tools.list.size(); ++i) {
    Grammar grammar;
    NodeId node;
    if (tools.strict[i] ||
        add_calls(grammar, {tools.list[i]}, {true, false}, tokens, node).ok())
      continue;
    tools.list[i].parameters = Value();
    tools.list[i].parameters.kind = Value::Map;
  }
}

// Of calls that nobody demands: text is free.
std::shared_ptr<const Constraint> hold_calls(Fields &fields, Tools &tools,
                                             Grammars &grammars) {
  const AnswerTokens tokens = answer_tokens(grammars.program.tokenizer);
  if (tools.list.empty() || tokens.call_open < 0 || tokens.call_close < 0)
    return nullptr;
  relax(tools, tokens);
  Grammar grammar;
  NodeId call = 0;
  Status s = add_calls(grammar, tools.list, {true, false}, tokens, call);
  if (s.ok())
    s = grammar.finish(call);
  fields.fail("tools", s);
  if (!s.ok())
    return nullptr;
  return std::make_shared<HeldCalls>(grammars.compile(std::move(grammar)),
                                     tokens.call_open, tokens.call_close);
}

std::shared_ptr<const Constraint>
make_constraint(Fields &fields, Grammars &grammars, bool parallel,
                const ThoughtState &thought, const Form &form, Tools &tools) {
  const bool formatted = form.key;
  if (!formatted && !tools.required)
    return hold_calls(fields, tools, grammars);
  const AnswerTokens tokens = answer_tokens(grammars.program.tokenizer);
  Grammar grammar;
  NodeId root = 0, calls = 0;
  if (!tools.list.empty()) {
    // A call stands in place of the schema's value.
    Status s = add_calls(grammar, tools.list, {true, parallel}, tokens, calls);
    fields.fail("tools", s);
    root = calls;
  }
  if (formatted && !tools.required) {
    NodeId value = 0;
    fields.fail(form.key,
                form.gbnf.empty()
                    ? add_schema(grammar, form.schema, SchemaStyle(), value)
                    : add_gbnf(grammar, form.gbnf, value));
    root = tools.list.empty() ? value : grammar.choice({value, calls});
  }
  if (!fields.status().ok())
    return nullptr;
  if (thought.open || thought.allowed)
    root = add_thought(grammar, thought.open ? Thought::Open : Thought::Allowed,
                       tokens, root);
  Status s = grammar.finish(root);
  fields.fail(formatted ? form.key : "tools", s);
  if (!s.ok())
    return nullptr;
  return std::make_shared<Matcher>(grammars.compile(std::move(grammar)));
}

} // namespace

std::shared_ptr<const Constraint> read_demand(Fields &fields,
                                              Grammars &grammars, bool parallel,
                                              const ThoughtState &thought) {
  const Form form = read_form(fields);
  Tools tools = read_tools(fields);
  bool endless = false;
  fields.truth("ignore_eos", endless);
  if (endless && (form.key || tools.required))
    fields.fail("ignore_eos",
                failure(BAD_INPUT,
                        "'ignore_eos' expects false beside what says where "
                        "the answer ends, such as '%s'",
                        form.key ? form.key : "tools"));
  if (!fields.status().ok() || (!form.key && tools.list.empty()))
    return nullptr;
  const std::string key = key_of(fields, parallel, thought);
  if (auto known = grammars.find(key))
    return known;
  auto made = make_constraint(fields, grammars, parallel, thought, form, tools);
  if (made)
    grammars.keep(key, made);
  return made;
}

} // namespace gm
