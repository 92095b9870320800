// See thought_budget.h.
#include "runtime/app/thought_budget.h"

#include <vector>

namespace gm {
namespace {

class ThoughtBudget final : public Constraint {
public:
  ThoughtBudget(int32_t open, int32_t close, int64_t words, int64_t left,
                int64_t heading, std::unique_ptr<Constraint> inner)
      : open(open), close(close), words(words), left(left), heading(heading),
        inner(std::move(inner)) {}

  void allow(uint32_t *mask) override {
    if (inner)
      inner->allow(mask);
    if (heading != 0 || left > 0)
      return;
    // What `inner` demands goes before: there may be no end of a thought here.
    if (!(mask[close / 32] >> (close % 32) & 1))
      return;
    for (int64_t i = 0; i < words; ++i)
      mask[i] = 0;
    mask[close / 32] = 1u << (close % 32);
  }

  bool accept(int32_t id) override {
    if (inner && !inner->accept(id))
      return false;
    if (id == close)
      heading = OUTSIDE;
    else if (heading > 0)
      --heading;
    else if (heading == 0)
      left -= left > 0;
    else if (id == open)
      heading = HEADING;
    return true;
  }

  bool is_free() const override {
    return (!inner || inner->is_free()) && (heading != 0 || left > 0);
  }

  std::unique_ptr<Constraint> clone() const override {
    return std::make_unique<ThoughtBudget>(open, close, words, left, heading,
                                           inner ? inner->clone() : nullptr);
  }

  // Tokens of the heading that are still to come; OUTSIDE of a thought.
  enum : int64_t { OUTSIDE = -1, HEADING = 2 };

private:
  const int32_t open, close;
  const int64_t words; // of a mask
  int64_t left;        // tokens of thoughts
  int64_t heading;
  std::unique_ptr<Constraint> inner;
};

} // namespace

std::shared_ptr<const Constraint>
bound_thought(const Program &program, int64_t most, bool in_thought,
              std::shared_ptr<const Constraint> inner) {
  const Tokenizer &tokenizer = program.tokenizer;
  const int32_t open = tokenizer.named(GM_TOK_CHANNEL_OPEN),
                close = tokenizer.named(GM_TOK_CHANNEL_CLOSE);
  if (most < 0 || open < 0 || close < 0)
    return inner;
  return std::make_shared<ThoughtBudget>(
      open, close, (program.vocab() + 31) / 32, most,
      in_thought ? 0 : ThoughtBudget::OUTSIDE,
      inner ? inner->clone() : nullptr);
}

std::vector<Flag> ThinkFlags::flags() {
  return {
      {"--think", "", "", "let the model think before it answers", &think},
      {"--think-budget", "", "N",
       "most tokens of its thoughts, then it has to answer; lets it think",
       &most, 0, 1 << 30},
  };
}

} // namespace gm
