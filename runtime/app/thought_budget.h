// A bound on how long a model thinks: behind so many tokens of a thought only
// its end can come, then the answer goes on. Knows the ids that a thought
// begins and ends with; must not know who asks for it.
#pragma once

#include "runtime/app/cli.h"
#include "runtime/app/constraint.h"
#include "runtime/app/program.h"

#include <memory>
#include <vector>

namespace gm {

// Of an answer whose other bounds are `inner`'s (null: none). `most` counts the
// tokens behind "thought" and its line end, in all thoughts of an answer
// together; `in_thought`: the prompt ends inside one. `inner` itself where
// `most` < 0 or the vocabulary has no thoughts.
std::shared_ptr<const Constraint>
bound_thought(const Program &program, int64_t most, bool in_thought,
              std::shared_ptr<const Constraint> inner);

// The flags of `run` and `chat` about thoughts.
struct ThinkFlags {
  bool think = false;
  int64_t most = -1; // tokens; -1: any number

  std::vector<Flag> flags();
  bool any() const { return think || most >= 0; }
};

} // namespace gm
