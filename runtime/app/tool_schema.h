// Tool declarations as clients send them, in any shape that JSON schema allows,
// -> the shape that the chat protocol can write: every schema has one type,
// every object its properties. What a model is shown, not what is enforced.
// Knows no messages and no notation of the protocol.
#pragma once

#include "runtime/app/tool_text.h"

namespace gm {

// {"type": "function", "function": {...}} with a name and a description that
// are texts, and parameters, if there are any, as normal_schema. `tool` may be
// the function alone, and call its parameters input_schema.
Value normal_tool(const Value &tool);

// A schema whose references are resolved (within `root`), whose alternatives
// and conjunctions are merged into one, and whose type is one text:
//   anyOf, oneOf   the first type of them; of objects all properties; null
//                  makes it nullable
//   allOf          all of them
//   type           a list: its first that is not null; none: what the keywords,
//                  enum or const imply, else string
// Recursion ends in an object without properties, as does what references make
// too large.
Value normal_schema(const Value &schema, const Value &root);

} // namespace gm
