// See dfa.h.
#include "runtime/grammar/dfa.h"
#include "runtime/app/unicode.h"

#include <algorithm>
#include <map>

namespace gm::grammar {
namespace {

// Bounds of time and memory: a text automaton that needs more is refused.
constexpr size_t kMostNfaStates = 20000, kMostStates = 8192,
                 kMostCells = 1u << 21, kMostWork = 1u << 23;

Status too_large() {
  return failure(UNSUPPORTED,
                 "the pattern is too large: it needs more than %zu states",
                 kMostStates);
}

// Thompson's automaton: one Set edge or any number of others per state.
struct Nfa {
  struct State {
    const CharSet *set = nullptr; // then `to` is one state
    std::vector<uint32_t> to;     // without reading
    Expr::Kind guard = Expr::Cat; // Begin, End: `to` holds there only
  };
  std::vector<State> states;
  bool full = false;

  uint32_t add() {
    full |= states.size() >= kMostNfaStates;
    if (!full)
      states.emplace_back();
    return uint32_t(states.size() - 1);
  }
  void link(uint32_t from, uint32_t to) { states[from].to.push_back(to); }
  // Of `e` from state `from`: gives the state behind it.
  uint32_t build(const Expr &e, uint32_t from);
};

uint32_t Nfa::build(const Expr &e, uint32_t from) {
  if (full)
    return from;
  switch (e.kind) {
  case Expr::Set: {
    uint32_t at = add(), end = add();
    link(from, at);
    states[at].set = &e.set;
    states[at].to = {end};
    return end;
  }
  case Expr::Cat:
    for (const Expr &item : e.items)
      from = build(item, from);
    return from;
  case Expr::Alt: {
    uint32_t end = add();
    for (const Expr &item : e.items) {
      uint32_t at = add();
      link(from, at);
      link(build(item, at), end);
    }
    return end;
  }
  case Expr::Repeat: {
    for (uint32_t i = 0; i < e.min && !full; ++i)
      from = build(e.items[0], from);
    uint32_t end = add();
    if (e.max == kNoLimit) {
      uint32_t loop = add();
      link(from, loop);
      link(build(e.items[0], loop), loop);
      link(loop, end);
      return end;
    }
    for (uint32_t i = e.min; i < e.max && !full; ++i) {
      link(from, end);
      from = build(e.items[0], from);
    }
    link(from, end);
    return end;
  }
  case Expr::Begin:
  case Expr::End: {
    uint32_t at = add(), end = add();
    link(from, at);
    states[at].guard = e.kind;
    states[at].to = {end};
    return end;
  }
  case Expr::Rule:
    break;
  }
  return from;
}

void collect_starts(const Expr &e, std::vector<uint32_t> &starts) {
  for (Range r : e.set.ranges) {
    starts.push_back(r.first);
    if (r.last < kLastCode)
      starts.push_back(r.last + 1);
  }
  for (const Expr &item : e.items)
    collect_starts(item, starts);
}

void settle(std::vector<uint32_t> &starts) {
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
}

// Leaves out what does not lead to an end and columns that equal the one
// before.
void trim(Dfa &d) {
  const size_t width = d.starts.size(), count = d.states();
  std::vector<std::vector<uint16_t>> before(count);
  for (size_t s = 0; s < count; ++s)
    for (size_t c = 0; c < width; ++c)
      if (uint16_t to = d.next[s * width + c]; to != Dfa::kDead)
        if (before[to].empty() || before[to].back() != s)
          before[to].push_back(uint16_t(s));
  std::vector<bool> live(count);
  std::vector<uint16_t> work;
  for (size_t s = 0; s < count; ++s)
    if (d.tag[s] >= 0)
      live[s] = true, work.push_back(uint16_t(s));
  while (!work.empty()) {
    uint16_t s = work.back();
    work.pop_back();
    for (uint16_t from : before[s])
      if (!live[from])
        live[from] = true, work.push_back(from);
  }
  if (!count || !live[0]) {
    const size_t work = d.work;
    d = {};
    d.work = work;
    return;
  }
  std::vector<size_t> columns;
  for (size_t c = 0; c < width; ++c) {
    bool same = c > 0;
    for (size_t s = 0; same && s < count; ++s)
      same = d.next[s * width + c] == d.next[s * width + c - 1];
    if (!same)
      columns.push_back(c);
  }
  std::vector<uint16_t> number(count, Dfa::kDead);
  uint16_t used = 0;
  for (size_t s = 0; s < count; ++s)
    if (live[s])
      number[s] = used++;
  Dfa out;
  out.work = d.work;
  out.starts.clear();
  for (size_t c : columns)
    out.starts.push_back(d.starts[c]);
  for (size_t s = 0; s < count; ++s) {
    if (!live[s])
      continue;
    out.tag.push_back(d.tag[s]);
    for (size_t c : columns) {
      uint16_t to = d.next[s * width + c];
      out.next.push_back(to == Dfa::kDead ? to : number[to]);
    }
  }
  d = std::move(out);
}

// Subsets of an Nfa's states.
class Subsets {
public:
  Subsets(const Nfa &nfa, uint32_t final) : nfa(nfa), final(final) {
    mark.resize(nfa.states.size());
  }

  // What is reached from `from` without reading.
  std::vector<uint32_t> close(std::vector<uint32_t> from, bool begin,
                              bool end) {
    ++epoch;
    std::vector<uint32_t> out;
    while (!from.empty()) {
      uint32_t s = from.back();
      from.pop_back();
      if (mark[s] == epoch)
        continue;
      mark[s] = epoch;
      ++work;
      const Nfa::State &state = nfa.states[s];
      // Kept: what reads, what may pass at the end, and the final one.
      if (state.set || state.guard == Expr::End || s == final)
        out.push_back(s);
      if (state.set || (state.guard == Expr::Begin && !begin) ||
          (state.guard == Expr::End && !end))
        continue;
      from.insert(from.end(), state.to.begin(), state.to.end());
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  bool ends(const std::vector<uint32_t> &subset, bool begin) {
    auto all = close(subset, begin, true);
    return std::binary_search(all.begin(), all.end(), final);
  }

  size_t work = 0;

private:
  const Nfa &nfa;
  const uint32_t final;
  std::vector<uint32_t> mark;
  uint32_t epoch = 0;
};

} // namespace

void CharSet::add(uint32_t first, uint32_t last) {
  auto at = std::lower_bound(
      ranges.begin(), ranges.end(), first,
      [](const Range &r, uint32_t x) { return uint64_t(r.last) + 1 < x; });
  auto end = at;
  for (; end != ranges.end() && end->first <= uint64_t(last) + 1; ++end) {
    first = std::min(first, end->first);
    last = std::max(last, end->last);
  }
  at = ranges.erase(at, end);
  ranges.insert(at, {first, last});
}

void CharSet::add(const CharSet &other) {
  for (Range r : other.ranges)
    add(r.first, r.last);
}

CharSet CharSet::inverse() const {
  CharSet out;
  uint32_t from = 0;
  for (Range r : ranges) {
    if (r.first > from)
      out.ranges.push_back({from, r.first - 1});
    from = r.last + 1;
  }
  if (from <= kLastCode)
    out.ranges.push_back({from, kLastCode});
  return out;
}

Expr literal_expr(std::string_view utf8) {
  Expr e;
  uint32_t code;
  for (int n; !utf8.empty() && (n = read_char(utf8, code)) > 0;
       utf8.remove_prefix(size_t(n)))
    e.items.push_back({Expr::Set, {{code, code}}});
  return e;
}

size_t Dfa::column(uint32_t code) const {
  return size_t(std::upper_bound(starts.begin(), starts.end(), code) -
                starts.begin()) -
         1;
}

int32_t Dfa::run(std::string_view utf8) const {
  if (empty())
    return -1;
  uint16_t state = 0;
  uint32_t code;
  while (!utf8.empty()) {
    int n = read_char(utf8, code);
    if (n <= 0 || (state = step(state, code)) == kDead)
      return -1;
    utf8.remove_prefix(size_t(n));
  }
  return tag[state];
}

Dfa any_text() {
  Dfa d;
  d.next = {0};
  d.tag = {0};
  return d;
}

Status names_dfa(const std::vector<std::string> &names, Dfa &out) {
  out = {};
  for (const std::string &name : names)
    for (const Expr &c : literal_expr(name).items)
      collect_starts(c, out.starts);
  settle(out.starts);
  const size_t width = out.starts.size();
  auto add = [&] {
    out.next.resize(out.next.size() + width, Dfa::kDead);
    out.tag.push_back(-1);
    return uint16_t(out.tag.size() - 1);
  };
  add();
  for (size_t i = 0; i < names.size(); ++i) {
    uint16_t at = 0;
    for (const Expr &c : literal_expr(names[i]).items) {
      size_t cell = at * width + out.column(c.set.ranges[0].first);
      if (out.next[cell] == Dfa::kDead) {
        if (out.states() >= kMostStates || out.next.size() > kMostCells)
          return failure(UNSUPPORTED,
                         "the names or texts are too many: they "
                         "need more than %zu states",
                         kMostStates);
        uint16_t to = add();
        out.next[cell] = to;
      }
      at = out.next[cell];
    }
    if (out.tag[at] < 0)
      out.tag[at] = int32_t(i);
  }
  trim(out);
  return {};
}

Status make_dfa(const Expr &expr, bool search, Dfa &out) {
  Nfa nfa;
  const CharSet all = {{0, kLastCode}};
  uint32_t start = nfa.add(), at = start;
  auto any = [&] {
    uint32_t reads = nfa.add();
    nfa.link(at, reads);
    nfa.states[reads].set = &all;
    nfa.states[reads].to = {at};
  };
  if (search) {
    any();
    uint32_t begin = nfa.add();
    nfa.link(at, begin);
    at = begin;
  }
  at = nfa.build(expr, at);
  uint32_t final = nfa.add();
  if (nfa.full)
    return too_large();
  nfa.link(at, final);
  at = final;
  if (search)
    any();

  out = {};
  collect_starts(expr, out.starts);
  settle(out.starts);
  const size_t width = out.starts.size();
  Subsets subsets(nfa, final);
  std::map<std::vector<uint32_t>, uint16_t> number;
  std::vector<const std::vector<uint32_t> *> list;
  // The first subset is a state of its own: Begin holds there alone.
  auto first = subsets.close({start}, true, false);
  auto add = [&](std::vector<uint32_t> subset) {
    auto [entry, fresh] = number.try_emplace(std::move(subset));
    if (fresh) {
      entry->second = uint16_t(list.size());
      list.push_back(&entry->first);
      out.tag.push_back(subsets.ends(entry->first, false) ? 0 : -1);
    }
    return entry->second;
  };
  list.push_back(&first);
  out.tag.push_back(subsets.ends({start}, true) ? 0 : -1);
  std::vector<uint32_t> to;
  for (size_t s = 0; s < list.size(); ++s) {
    for (size_t c = 0; c < width; ++c) {
      to.clear();
      const uint32_t code = out.starts[c];
      for (uint32_t n : *list[s])
        if (const CharSet *set = nfa.states[n].set) {
          subsets.work += 1 + set->ranges.size() / 4;
          auto r = std::upper_bound(
              set->ranges.begin(), set->ranges.end(), code,
              [](uint32_t x, const Range &range) { return x < range.first; });
          if (r != set->ranges.begin() && code <= std::prev(r)->last)
            to.push_back(nfa.states[n].to[0]);
        }
      if (list.size() > kMostStates || out.next.size() > kMostCells ||
          subsets.work > kMostWork)
        return too_large();
      out.next.push_back(to.empty() ? Dfa::kDead
                                    : add(subsets.close(to, false, false)));
    }
  }
  out.work = subsets.work + out.next.size();
  trim(out);
  return {};
}

Status
combine(const std::vector<const Dfa *> &parts,
        const std::function<int32_t(const std::vector<int32_t> &)> &choose,
        Dfa &result) {
  Dfa out;
  for (const Dfa *part : parts)
    out.starts.insert(out.starts.end(), part->starts.begin(),
                      part->starts.end());
  settle(out.starts);
  using Tuple = std::vector<uint16_t>;
  std::map<Tuple, uint16_t> number;
  std::vector<const Tuple *> list;
  auto add = [&](Tuple tuple) {
    auto [entry, fresh] = number.try_emplace(std::move(tuple));
    if (fresh) {
      entry->second = uint16_t(list.size());
      list.push_back(&entry->first);
      std::vector<int32_t> tags;
      for (size_t i = 0; i < parts.size(); ++i) {
        uint16_t s = entry->first[i];
        tags.push_back(s == Dfa::kDead ? -1 : parts[i]->tag[s]);
      }
      out.tag.push_back(choose(tags));
    }
    return entry->second;
  };
  Tuple first;
  for (const Dfa *part : parts)
    first.push_back(part->empty() ? Dfa::kDead : 0);
  add(first);
  for (size_t s = 0; s < list.size(); ++s)
    for (uint32_t code : out.starts) {
      Tuple to;
      for (size_t i = 0; i < parts.size(); ++i) {
        uint16_t at = (*list[s])[i];
        to.push_back(at == Dfa::kDead ? at : parts[i]->step(at, code));
      }
      if (list.size() > kMostStates || out.next.size() > kMostCells)
        return too_large();
      out.next.push_back(add(std::move(to)));
    }
  out.work = out.next.size() * parts.size();
  for (const Dfa *part : parts)
    out.work += part->work;
  trim(out);
  result = std::move(out);
  return {};
}

Status intersect(const Dfa &a, const Dfa &b, Dfa &out) {
  return combine(
      {&a, &b},
      [](const std::vector<int32_t> &tags) {
        return tags[0] < 0 || tags[1] < 0 ? -1 : 0;
      },
      out);
}

Status complement(const Dfa &a, Dfa &out) {
  return combine(
      {&a},
      [](const std::vector<int32_t> &tags) { return tags[0] < 0 ? 0 : -1; },
      out);
}

} // namespace gm::grammar
