// What a request demands of its answer's form (response_format, json_schema,
// grammar, tools, tool_choice), as a constraint. Knows JSON and grammars; must
// not know how answers are drawn or sent.
#pragma once

#include "runtime/grammar/matcher.h"
#include "runtime/serve/context.h"

#include <list>
#include <mutex>
#include <string>
#include <utility>

namespace gm {

// What grammars of requests have in common: the vocabulary as they see it, made
// at the first use, and those that were asked for last, so that an agent's
// tools are compiled once. On any thread.
class Grammars {
public:
  explicit Grammars(const Program &program) : program(program) {}
  // A grammar for this vocabulary.
  std::shared_ptr<grammar::Compiled> compile(grammar::Grammar grammar);
  // A kept constraint; null: none has this key.
  std::shared_ptr<const Constraint> find(const std::string &key);
  void keep(const std::string &key, std::shared_ptr<const Constraint> made);

  const Program &program;

private:
  // With masks of at most 6 MiB each (MaskCache).
  static constexpr size_t kMost = 6, kMostKey = 1 << 20;

  std::mutex mutex;
  std::shared_ptr<const grammar::Vocabulary> vocabulary;
  std::shared_ptr<grammar::MaskCache> common;
  std::list<std::pair<std::string, std::shared_ptr<const Constraint>>>
      kept; // the last used first
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
