// What a request demands of its answer's form (response_format, json_schema,
// grammar, tools, tool_choice), as a constraint. Knows JSON and grammars; must
// not know how answers are drawn or sent.
#pragma once

#include "runtime/grammar/vocabulary.h"
#include "runtime/serve/context.h"

#include <mutex>

namespace gm {

// The vocabulary as grammars see it, made at the first use.
class Grammars {
public:
  explicit Grammars(const Program &program) : program(program) {}
  std::shared_ptr<const grammar::Vocabulary> vocabulary();
  const Program &program;

private:
  std::once_flag once;
  std::shared_ptr<const grammar::Vocabulary> made;
};

struct ThoughtState {
  bool allowed = false; // the answer may begin with a thought
  bool open = false;    // the prompt has begun one
};

// Null where nothing is demanded. `fields` keeps what is wrong, and what cannot
// be enforced.
std::shared_ptr<const Constraint> read_demand(Fields &fields,
                                              Grammars &grammars, bool parallel,
                                              const ThoughtState &thought);

} // namespace gm
