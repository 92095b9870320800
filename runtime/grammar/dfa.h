// Deterministic automata over code points, which say what a text may be:
// patterns, names, lengths of which are counted elsewhere. Knows no bytes, no
// JSON and no tokens.
#pragma once

#include "runtime/gemma.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gm::grammar {

inline constexpr uint32_t kLastCode = 0x10FFFF;
inline constexpr uint32_t kNoLimit = UINT32_MAX;

struct Range {
  uint32_t first, last;
};

// A set of code points as sorted ranges that do not touch.
class CharSet {
public:
  CharSet() = default;
  CharSet(std::initializer_list<Range> ranges) {
    for (Range r : ranges)
      add(r.first, r.last);
  }
  void add(uint32_t first, uint32_t last);
  void add(const CharSet &other);
  CharSet inverse() const;
  bool empty() const { return ranges.empty(); }

  std::vector<Range> ranges;
};

// What a text is made of. Repetitions of a whole are counted by `min` and
// `max`; `Begin` and `End` hold at the ends of the text only.
struct Expr {
  enum Kind { Set, Cat, Alt, Repeat, Begin, End, Rule } kind = Cat;
  CharSet set = {};             // Set
  std::vector<Expr> items = {}; // Cat, Alt; Repeat: one
  uint32_t min = 0, max = 0;    // Repeat; max = kNoLimit: none
  uint32_t rule = 0;            // Rule: a number that the owner knows
};
Expr literal_expr(std::string_view utf8);

struct Dfa {
  static constexpr uint16_t kDead = UINT16_MAX;

  std::vector<uint32_t> starts = {0}; // where the columns of `next` begin
  std::vector<uint16_t> next;         // [states][starts.size()], or kDead
  std::vector<int32_t> tag;           // per state; -1: a text cannot end here
  size_t work = 0;                    // steps that making it took

  size_t states() const { return tag.size(); }
  size_t column(uint32_t code) const;
  uint16_t step(uint16_t state, uint32_t code) const {
    return next[state * starts.size() + column(code)];
  }
  bool empty() const { return tag.empty(); }
  // The tag of a whole text, -1: it is none of them.
  int32_t run(std::string_view utf8) const;
};

// Every text; tag 0.
Dfa any_text();
// Texts with the number of each as its tag.
Status names_dfa(const std::vector<std::string> &names, Dfa &out);
// Texts that `expr`, without rules, matches as a whole; or in which it occurs
// (`search`). UNSUPPORTED if that takes too many states.
Status make_dfa(const Expr &expr, bool search, Dfa &out);
// Runs all of `parts` side by side; `choose` makes a tag of theirs.
Status
combine(const std::vector<const Dfa *> &parts,
        const std::function<int32_t(const std::vector<int32_t> &)> &choose,
        Dfa &out);
Status intersect(const Dfa &a, const Dfa &b, Dfa &out);
Status complement(const Dfa &a, Dfa &out);

} // namespace gm::grammar
