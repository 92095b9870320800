// See gbnf.h: nodes of rules. What is regular becomes one automaton, so that
// its masks do not depend on what stands around it; only rules that recur stay
// rules.
#include "runtime/grammar/gbnf_reader.h"

#include <algorithm>

namespace gm::grammar {

bool GbnfReader::nullable(const Expr &e) const {
  auto yes = [&](const Expr &item) { return nullable(item); };
  switch (e.kind) {
  case Expr::Cat:
    return std::all_of(e.items.begin(), e.items.end(), yes);
  case Expr::Alt:
    return std::any_of(e.items.begin(), e.items.end(), yes);
  case Expr::Repeat:
    return e.min == 0 || nullable(e.items[0]);
  case Expr::Rule:
    return rules[e.rule].nullable;
  default:
    return false;
  }
}

void GbnfReader::find_nullable() {
  for (bool changed = true; changed;) {
    changed = false;
    for (Rule &r : rules)
      if (!r.nullable && nullable(r.body))
        r.nullable = changed = true;
  }
}

// Rules that a text of `e` may begin with; `goes_on`: it may be empty.
void GbnfReader::left(const Expr &e, std::vector<uint32_t> &out,
                      bool &goes_on) const {
  goes_on = nullable(e);
  if (e.kind == Expr::Rule)
    out.push_back(e.rule);
  for (const Expr &item : e.items) {
    bool empty;
    left(item, out, empty);
    if (e.kind == Expr::Cat && !empty)
      break;
  }
}

void GbnfReader::check_left() {
  std::vector<std::vector<uint32_t>> edges(rules.size());
  for (size_t r = 0; r < rules.size(); ++r) {
    bool ignored;
    left(rules[r].body, edges[r], ignored);
    std::sort(edges[r].begin(), edges[r].end());
    edges[r].erase(std::unique(edges[r].begin(), edges[r].end()),
                   edges[r].end());
  }
  enum { New, Open, Closed };
  std::vector<int> mark(rules.size(), New);
  for (uint32_t start = 0; start < rules.size(); ++start) {
    std::vector<std::pair<uint32_t, size_t>> path;
    if (mark[start] == New)
      path.push_back({start, 0}), mark[start] = Open;
    while (!path.empty()) {
      auto &[r, next] = path.back();
      if (next == edges[r].size()) {
        mark[r] = Closed;
        path.pop_back();
        continue;
      }
      const uint32_t to = edges[r][next++];
      if (mark[to] == Open) {
        line = rules[to].line;
        return fail("the rule '" + rules[to].name +
                        "' begins with itself: left recursion is not "
                        "supported, write what repeats with '*'",
                    UNSUPPORTED);
      }
      if (mark[to] == New)
        path.push_back({to, 0}), mark[to] = Open;
    }
  }
}

void GbnfReader::called(const Expr &e, std::vector<uint32_t> &out) const {
  if (e.kind == Expr::Rule)
    out.push_back(e.rule);
  for (const Expr &item : e.items)
    called(item, out);
}

// A rule recurs if it, or one that it calls, can call itself.
void GbnfReader::find_recurring() {
  std::vector<std::vector<uint32_t>> calls(rules.size());
  for (size_t r = 0; r < rules.size(); ++r)
    called(rules[r].body, calls[r]);
  // Those whose calls all end are found from the leaves up.
  for (Rule &r : rules)
    r.recurs = true;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t r = 0; r < rules.size(); ++r)
      if (rules[r].recurs &&
          std::none_of(calls[r].begin(), calls[r].end(),
                       [&](uint32_t to) { return rules[to].recurs; })) {
        rules[r].recurs = false;
        changed = true;
      }
  }
}

bool GbnfReader::regular(const Expr &e) const {
  std::vector<uint32_t> all;
  called(e, all);
  return std::none_of(all.begin(), all.end(),
                      [&](uint32_t r) { return rules[r].recurs; });
}

// `e` with rules replaced by what they say.
Expr GbnfReader::inlined(const Expr &e, int level) {
  if (++copied > kMostCopied || level > kMostDepth)
    return {Expr::Rule}; // which no automaton has
  if (e.kind == Expr::Rule)
    return inlined(rules[e.rule].body, level + 1);
  Expr out = {e.kind, e.set, {}, e.min, e.max, 0};
  for (const Expr &item : e.items)
    out.items.push_back(inlined(item, level + 1));
  return out;
}

// 0: it would be too large.
NodeId GbnfReader::automaton(const Expr &e) {
  // What was tried in vain costs time, too.
  if (failures > kMostFailures && e.kind != Expr::Set)
    return 0;
  copied = 0;
  const Expr whole = inlined(e, 0);
  std::vector<uint32_t> left;
  called(whole, left);
  Dfa d;
  if (copied > kMostCopied || !left.empty() ||
      !make_dfa(whole, false, d).ok()) {
    ++failures;
    return 0;
  }
  TextRule rule;
  rule.form = TextForm::Raw;
  rule.dfa = g.dfa(std::move(d));
  return g.text(rule);
}

NodeId GbnfReader::build(const Expr &e, int level) {
  if (Status s = g.check(); !s.ok() && !failed())
    status = s;
  if (level > 2 * kMostDepth)
    fail("nested too deep", UNSUPPORTED);
  if (failed())
    return 0;
  if (e.kind != Expr::Rule && regular(e))
    if (NodeId node = automaton(e))
      return node;
  switch (e.kind) {
  case Expr::Rule: {
    Rule &r = rules[e.rule];
    if (r.done)
      return r.node;
    r.done = true;
    const NodeId place = r.node = g.place();
    g.define(place, build(r.body, level + 1));
    return place;
  }
  case Expr::Cat:
  case Expr::Alt: {
    // Regular neighbours together.
    std::vector<NodeId> nodes;
    for (size_t i = 0; i < e.items.size();) {
      Expr run = {e.kind};
      while (i < e.items.size() && regular(e.items[i]))
        run.items.push_back(e.items[i++]);
      NodeId node = 0;
      if (!run.items.empty() && run.items.size() < e.items.size())
        node = automaton(run);
      if (node) {
        nodes.push_back(node);
        continue;
      }
      for (const Expr &item : run.items)
        nodes.push_back(build(item, level + 1));
      if (i < e.items.size())
        nodes.push_back(build(e.items[i++], level + 1));
    }
    return e.kind == Expr::Cat ? g.seq(nodes) : g.choice(nodes);
  }
  case Expr::Repeat:
    // Of what may be empty any number may be.
    return g.repeat(build(e.items[0], level + 1),
                    nullable(e.items[0]) ? 0 : e.min, e.max);
  default:
    if (NodeId node = automaton(e))
      return node;
    fail("too large", UNSUPPORTED);
    return 0;
  }
}

} // namespace gm::grammar
