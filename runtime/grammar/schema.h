// JSON schema (draft 2020-12) -> grammar. A keyword is enforced, an annotation,
// or refused by its JSON pointer: docs/structured-output.md has the list. Knows
// JSON's texts and those of tool calls; no tokens but the quote's.
#pragma once

#include "runtime/app/tool_text.h"
#include "runtime/grammar/grammar.h"

#include <string>

namespace gm::grammar {

enum class Order { Any, Declared }; // of the properties of an object

struct SchemaStyle {
  // Tool calls: bare keys, strings between tokens `quote`, no blanks.
  bool call = false;
  int32_t quote = -1;
  Order order = Order::Any;
  // Objects whose schema names members have no others unless it says so. The
  // draft leaves them open; who generates would get names that are made up.
  bool closed = true;
};

// Adds to `grammar` a node for the values that `schema` allows. BAD_INPUT for
// what is no schema, UNSUPPORTED for what is not enforced here or grows beyond
// bounds; the text names the JSON pointer. `schema` need not outlive the call.
Status add_schema(Grammar &grammar, const Value &schema,
                  const SchemaStyle &style, NodeId &node);

// Whether `value` is what `schema` allows, as far as add_schema takes it.
// Nothing is known of texts: of `pattern` and `format` everything passes.
bool same_value(const Value &a, const Value &b);
// As JSON, without blanks.
std::string value_text(const Value &v);

} // namespace gm::grammar
