// See grammar.h.
#include "runtime/grammar/grammar.h"

#include <algorithm>

namespace gm::grammar {

NodeId Grammar::add(Node node) {
  bytes += sizeof(Node) + node.bytes.size() + 4 * node.items.size();
  // Beyond the bounds nothing is kept; check() tells.
  if (nodes.size() > kMostNodes || bytes > kMostBytes)
    return 0;
  nodes.push_back(std::move(node));
  return NodeId(nodes.size() - 1);
}

Status Grammar::check() const {
  if (work > kMostWork)
    return failure(UNSUPPORTED, "the patterns together are too large");
  if (nodes.size() > kMostNodes || bytes > kMostBytes)
    return failure(UNSUPPORTED,
                   "the grammar is too large: it needs more than %zu nodes or "
                   "%zu MiB",
                   kMostNodes, kMostBytes >> 20);
  return {};
}

NodeId Grammar::literal(std::string text) {
  if (text.empty())
    return seq({});
  auto [at, fresh] = literals.try_emplace(text);
  if (fresh)
    at->second = add({Node::Literal, 0, 0, 0, text});
  return at->second;
}

NodeId Grammar::text(TextRule rule) {
  auto [at, fresh] = text_nodes.try_emplace(
      {rule.dfa, int(rule.form), rule.min, rule.max, rule.shortest});
  if (fresh) {
    bytes += 8 * rule.ends.size();
    texts.push_back(std::move(rule));
    at->second = add({Node::Text, uint32_t(texts.size() - 1)});
  }
  return at->second;
}

NodeId Grammar::number(const NumberRule &rule) {
  if (!number_has_any(rule))
    return choice({});
  for (NodeId n = 0; n < nodes.size(); ++n)
    if (nodes[n].kind == Node::Number && numbers[nodes[n].index] == rule)
      return n;
  numbers.push_back(rule);
  return add({Node::Number, uint32_t(numbers.size() - 1)});
}

NodeId Grammar::token(int32_t id) { return add({Node::Token, uint32_t(id)}); }

NodeId Grammar::seq(std::vector<NodeId> items) {
  if (items.size() == 1)
    return items[0];
  return add({Node::Seq, 0, 0, 0, {}, std::move(items)});
}

NodeId Grammar::choice(std::vector<NodeId> items) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  if (items.size() == 1)
    return items[0];
  return add({Node::Choice, 0, 0, 0, {}, std::move(items)});
}

NodeId Grammar::repeat(NodeId item, uint32_t min, uint32_t max) {
  if (min > max)
    return choice({});
  return add({Node::Repeat, 0, min, max, {}, {item}});
}

NodeId Grammar::object(Object o) {
  bytes += 8 * (o.required.size() + o.member.size());
  const uint32_t key = nodes[o.key].index;
  objects.push_back(std::move(o));
  return texts[key].object = add({Node::Object, uint32_t(objects.size() - 1)});
}

NodeId Grammar::place() { return add({Node::Choice}); }

void Grammar::define(NodeId at, NodeId is) {
  nodes[at].kind = Node::Choice;
  nodes[at].items = {is};
}

uint32_t Grammar::dfa(Dfa d) {
  bytes += 2 * d.next.size() + 4 * (d.tag.size() + d.starts.size());
  work += d.work;
  dfas.push_back(std::move(d));
  return uint32_t(dfas.size() - 1);
}

uint32_t Grammar::height_of(const Node &node) const {
  auto above = [](uint32_t h) { return h == kNever ? h : h + 1; };
  switch (node.kind) {
  case Node::Text: {
    const TextRule &rule = texts[node.index];
    const Dfa &d = dfas[rule.dfa];
    return d.empty() || rule.min > rule.max || !rule.fits(0, 0) ? kNever : 0;
  }
  case Node::Seq: {
    uint32_t h = 0;
    for (size_t i = 0; i < node.items.size(); ++i) {
      uint32_t item = height[node.items[i]];
      h = std::max(h, i + 1 < node.items.size() ? above(item) : item);
    }
    return h;
  }
  case Node::Choice: {
    uint32_t h = kNever;
    for (NodeId item : node.items)
      h = std::min(h, height[item]);
    return h;
  }
  case Node::Repeat:
    return node.min ? above(height[node.items[0]]) : 0;
  case Node::Object: {
    const Object &o = objects[node.index];
    uint32_t h = std::max(height[o.close_first], height[o.close_next]);
    uint32_t required = 0;
    for (uint32_t i = 0; i < o.names; ++i)
      if (o.required[i / 64] >> (i % 64) & 1)
        h = std::max(h, above(height[o.member[i]])), ++required;
    if (required > o.max || dfas[texts[nodes[o.key].index].dfa].empty())
      return required || o.min ? kNever : h;
    // Members that have to come and are not named ones.
    uint32_t possible = 0, other = kNever;
    std::vector<uint32_t> optional;
    for (uint32_t i = 0; i < o.member.size(); ++i) {
      const uint32_t m = height[o.member[i]];
      if (m == kNever)
        continue;
      if (i >= o.names)
        other = std::min(other, m);
      else if (o.required[i / 64] >> (i % 64) & 1)
        ++possible;
      else
        optional.push_back(m), ++possible;
    }
    if (o.min <= required)
      return h;
    if (possible < o.min)
      return other == kNever ? kNever : std::max(h, above(other));
    // All of them must fit, whichever come: simple and safe.
    for (uint32_t m : optional)
      h = std::max(h, above(m));
    return h;
  }
  default:
    return 0;
  }
}

bool Grammar::measure(NodeId id) {
  uint32_t h = height_of(nodes[id]);
  if (h >= height[id])
    return false;
  height[id] = h;
  return true;
}

// Names that can be reached from each state of the key's automaton.
void Grammar::find_reach(Object &o) const {
  const size_t words = o.words();
  o.usable.assign(words, 0);
  for (uint32_t i = 0; i < o.names; ++i)
    if (height[o.member[i]] != kNever)
      o.usable[i / 64] |= uint64_t(1) << (i % 64);
  for (NodeId m : o.member)
    if (height[m] != kNever)
      o.deepest = std::max(o.deepest, height[m]);
  const Dfa &d = dfas[texts[nodes[o.key].index].dfa];
  const size_t width = d.starts.size();
  o.reach.assign(d.states() * words, 0);
  o.reach_other.assign(d.states(), false);
  for (size_t s = 0; s < d.states(); ++s)
    if (d.tag[s] >= 0) {
      uint32_t tag = uint32_t(d.tag[s]);
      if (tag >= o.names)
        o.reach_other[s] = height[o.member[tag]] != kNever;
      else
        o.reach[s * words + tag / 64] |= uint64_t(1) << (tag % 64);
    }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t s = d.states(); s-- > 0;)
      for (size_t c = 0; c < width; ++c) {
        uint16_t to = d.next[s * width + c];
        if (to == Dfa::kDead || to == s)
          continue;
        if (o.reach_other[to] && !o.reach_other[s])
          o.reach_other[s] = changed = true;
        for (size_t w = 0; w < words; ++w) {
          uint64_t all = o.reach[s * words + w] | o.reach[to * words + w];
          changed |= all != o.reach[s * words + w];
          o.reach[s * words + w] = all;
        }
      }
  }
}

Status Grammar::finish(NodeId start) {
  if (Status s = check(); !s.ok())
    return s;
  for (TextRule &rule : texts)
    if (rule.plain || rule.span)
      continue;
    else if (Status s = rule.prepare(dfas[rule.dfa]); !s.ok())
      return s;
  root = start;
  height.assign(nodes.size(), kNever);
  // Children mostly stand in front of their parents. Rounds beyond the depth
  // would only find what is too deep to be written.
  for (uint32_t round = 0; round < kMostDepth; ++round) {
    bool changed = false;
    for (NodeId n = 0; n < nodes.size(); ++n)
      changed |= measure(n);
    if (!changed)
      break;
  }
  if (height[root] > kMostDepth)
    return failure(UNSUPPORTED, "there is no text that it allows");
  for (Object &o : objects)
    find_reach(o);
  return {};
}

} // namespace gm::grammar
