// From the head's results to a token: what a program never draws, what a
// sequence changes of its logits, and which results that needs. Used by `run`,
// `chat` and the scheduler; must not know slots, steps or grammars.
#pragma once

#include "runtime/gemma.h"

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gm {

// What the manifest says of ids.
class TokenRules {
public:
  explicit TokenRules(const gemmac::manifest::Program &program);

  bool is_stop(int32_t id) const;
  // Ids that may be drawn, `words()` of bits; null: all.
  const uint32_t *mask() const { return bits.empty() ? nullptr : bits.data(); }
  int64_t words() const { return (vocab + 31) / 32; }

  const int64_t vocab;

private:
  std::vector<uint32_t> bits; // empty: nothing is suppressed
  std::vector<int32_t> stops;
};

// What a sequence changes of its logits before it draws, in this order: repeat
// divides positive logits of tokens in prompt and output and multiplies
// negative ones; frequency per time that a token was generated and presence
// once are subtracted; bias is added.
struct LogitChanges {
  double presence = 0, frequency = 0, repeat = 1;
  std::vector<std::pair<int32_t, float>> bias;

  bool any() const;
  bool only_lower() const; // no logit rises
};

// Of all sequences that draw one after another.
struct DrawScratch {
  Candidate *candidates = nullptr; // `vocab`, see candidates()
  std::vector<float> logits;
  std::vector<Candidate> best;
};

// Draws the tokens of one sequence. Which results a token is drawn from does
// not change it, so it does not depend on what neighbours in the step ask for.
class Draw {
public:
  // Instead of a token, as NO_TOKEN and NOT_FINITE are: these results do not
  // say; Output::Logits does.
  enum : int32_t { NEEDS_LOGITS = -3 };

  Draw(const Sampling &sampling, Random random, LogitChanges changes = {});

  // What a step is asked for: Top, with `best` results, or Logits.
  Output output() const { return wanted; }
  int32_t best() const;

  // Tokens of the prompt.
  void read(int32_t id);
  // From row `row` of `results`, which has Top or Logits, of ids that `mask`
  // (one row; null: all) allows: it was the step's for Top. The token counts as
  // generated.
  int32_t next(const Results &results, int32_t row, const TokenRules &rules,
               const uint32_t *mask, DrawScratch &scratch);

private:
  struct Seen {
    int64_t generated = 0;
    float bias = 0;
    bool anywhere = false; // in prompt or output
  };

  float change(const Seen &seen, float logit) const;
  int32_t from_top(const int32_t *ids, const float *values,
                   DrawScratch &scratch);
  int32_t from_logits(const float *logits, const TokenRules &rules,
                      const uint32_t *mask, DrawScratch &scratch);
  int32_t from_best(const std::vector<Candidate> &best);

  const Sampling sampling;
  Random random;
  const LogitChanges changes;
  const bool changed;
  Output wanted;
  std::unordered_map<int32_t, Seen> seen; // tokens whose logits change
};

// The `count` best of a row, descending, of equal ones the lowest id first;
// `mask` as above. False if a logit that is allowed is no finite number.
// -INFINITY is none of them.
bool best_of(const float *logits, int64_t vocab, const uint32_t *mask,
             int64_t count, std::vector<Candidate> &best);

} // namespace gm
