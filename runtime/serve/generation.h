// What the APIs' requests have in common about how to generate, and the
// sequences that they become. Knows JSON; must not know prompts or answers.
#pragma once

#include "runtime/serve/context.h"

namespace gm {

struct Generation {
  int64_t n = 1;     // answers to one prompt
  int64_t most = -1; // tokens of each; -1: what the context holds
  Sampling sampling;
  uint64_t seed = 0;
  LogitChanges changes;
  std::shared_ptr<const Constraint> constraint; // of every answer; null: none
  int32_t logprobs = -1;                        // as Sequence::logprobs
  std::vector<std::string> stops;
  bool stream = false, include_usage = false, ignore_stop = false;
  bool one_call = false; // a tool call ends the answer
  bool scored = false;   // as Sequence::scored
  int64_t thought = -1;  // most tokens of thoughts; -1: any number
  int64_t slot = -1;     // as Sequence::slot
  bool tokens = false;   // Delta::tokens also without logprobs

  // Answer number `index`, without its listener.
  Sequence sequence(const Items &prompt, size_t index) const;
};

// The most answers that one request may ask for, prompts times n.
constexpr int64_t kMostAnswers = 64;

// What all of OpenAI's requests may say, with the names of llama.cpp's server
// for the rest. `fields` keeps what is wrong.
void read_generation(Fields &fields, const Context &context, Generation &out);

} // namespace gm
