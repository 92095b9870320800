// The flags of `run` and `chat` that say what an answer has to be. Knows the
// notations by name and the program's vocabulary; must not know how tokens are
// drawn.
#pragma once

#include "runtime/app/cli.h"
#include "runtime/app/constraint.h"
#include "runtime/app/program.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gm {

struct GrammarFlags {
  std::optional<std::string> schema, grammar;
  bool json = false;

  std::vector<Flag> flags();
  bool any() const { return schema || grammar || json; }
  // USAGE if several are given, or one with `ignore_stop`.
  Status check(bool ignore_stop) const;
  // The state in front of an answer; null: everything is allowed. `thinks`: a
  // thought may stand in front. Errors name the flag.
  Status compile(const Program &program, bool thinks,
                 std::shared_ptr<const Constraint> &out) const;
};

} // namespace gm
