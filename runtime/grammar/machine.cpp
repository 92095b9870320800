// See machine.h.
#include "runtime/grammar/machine.h"

#include <algorithm>
#include <bit>

namespace gm::grammar {
namespace {

// Of Frame::data of an object. Its `more`: members seen, as bits, or the first
// that may come if they are ordered; `extra`: how many.
enum ObjectPhase : uint64_t { First, Next, Key };

uint64_t mix(uint64_t h, uint64_t x) {
  h = (h ^ x) * 0x9E3779B97F4A7C15ull;
  return h ^ h >> 29;
}

uint64_t hash(const Frame &f) {
  return mix(mix(mix(uint64_t(f.node) << 32 | f.parent, f.data), f.more),
             f.extra);
}

bool equal(const Frame &a, const Frame &b) {
  return a.node == b.node && a.parent == b.parent && a.data == b.data &&
         a.more == b.more && a.extra == b.extra;
}

} // namespace

void Machine::clear() {
  frames.assign(1, {});
  table.assign(1024, 0);
  sets.assign(1, {0, 0, kNone, 0});
  pool.clear();
  set_table.clear();
  rows.clear();
  alone_of.clear();
  resume_of.clear();
  mark.clear();
}

uint32_t Machine::intern(const Frame &f) {
  if (2 * frames.size() > table.size()) {
    table.assign(table.size() * 2, 0);
    for (uint32_t i = 1; i < frames.size(); ++i) {
      size_t at = hash(frames[i]) & (table.size() - 1);
      while (table[at])
        at = (at + 1) & (table.size() - 1);
      table[at] = i;
    }
  }
  size_t at = hash(f) & (table.size() - 1);
  for (; table[at]; at = (at + 1) & (table.size() - 1))
    if (equal(frames[table[at]], f))
      return table[at];
  table[at] = uint32_t(frames.size());
  frames.push_back(f);
  frames.back().depth = f.parent ? frames[f.parent].depth + 1 : 0;
  return table[at];
}

void Machine::begin() {
  gathered.clear();
  ++epoch;
  peak = 0;
}

StateId Machine::settle() {
  if (gathered.empty())
    return kDead;
  std::sort(gathered.begin(), gathered.end());
  uint64_t h = gathered.size();
  for (uint32_t f : gathered)
    h = mix(h, f);
  auto [first, last] = set_table.equal_range(h);
  for (; first != last; ++first) {
    auto have = frames_of(first->second);
    if (std::equal(have.begin(), have.end(), gathered.begin(),
                   gathered.end())) {
      Set &set = sets[first->second];
      set.peak = std::max(set.peak, peak);
      return first->second;
    }
  }
  sets.push_back(
      {uint32_t(pool.size()), uint32_t(gathered.size()), kNone, peak});
  pool.insert(pool.end(), gathered.begin(), gathered.end());
  set_table.emplace(h, StateId(sets.size() - 1));
  return StateId(sets.size() - 1);
}

// A frame that reads.
void Machine::keep(const Frame &f) {
  uint32_t id = intern(f);
  mark.resize(std::max(mark.size(), frames.size()));
  if (mark[id] == epoch || gathered.size() >= kMostPaths)
    return;
  mark[id] = epoch;
  gathered.push_back(id);
}

void Machine::gather(NodeId node, uint32_t parent) {
  Frame f;
  f.node = node;
  f.parent = parent;
  const Node &n = grammar.nodes[node];
  if (n.kind == Node::Text) {
    const TextRule &rule = grammar.texts[n.index];
    f.data = TextStepper(rule, grammar.dfas[rule.dfa], nullptr).begin().pack();
  }
  run(f);
}

void Machine::run_parent(uint32_t parent) {
  if (parent == kEnd) {
    mark.resize(std::max(mark.size(), frames.size()));
    if (mark[kEnd] != epoch) {
      mark[kEnd] = epoch;
      gathered.push_back(kEnd);
    }
    return;
  }
  run(frames[parent]);
}

// Follows a frame to what reads.
void Machine::run(Frame f) {
  const Node &n = grammar.nodes[f.node];
  const uint32_t depth = f.parent ? frames[f.parent].depth + 1 : 0;
  const uint32_t height = grammar.height[f.node];
  if (height > Grammar::kMostDepth || depth + height > Grammar::kMostDepth)
    return;
  peak = std::max(peak, depth + height);
  switch (n.kind) {
  case Node::Literal:
  case Node::Number:
  case Node::Token:
    return keep(f);
  case Node::Text: {
    const TextRule &rule = grammar.texts[n.index];
    if (rule.form != TextForm::Raw)
      return keep(f);
    TextStepper stepper(rule, grammar.dfas[rule.dfa], nullptr);
    const TextState at = TextState::unpack(f.data);
    if (stepper.may_go_on(at))
      keep(f);
    if (stepper.may_end(at))
      pop(f.parent);
    return;
  }
  default:
    break;
  }
  // Once a step: loops of what reads nothing end here.
  const uint32_t id = intern(f);
  mark.resize(std::max(mark.size(), frames.size()));
  if (mark[id] == epoch || gathered.size() >= kMostPaths ||
      (nested >= kMostNested && !gathered.empty()))
    return;
  mark[id] = epoch;
  struct Level {
    explicit Level(uint32_t &nested) : nested(nested) { ++nested; }
    ~Level() { --nested; }
    uint32_t &nested;
  } level(nested);
  switch (n.kind) {
  case Node::Seq: {
    if (f.data == n.items.size())
      return pop(f.parent);
    NodeId item = n.items[f.data];
    if (f.data + 1 == n.items.size())
      return gather(item, f.parent);
    Frame rest = f;
    ++rest.data;
    return gather(item, intern(rest));
  }
  case Node::Choice:
    for (NodeId item : n.items)
      gather(item, f.parent);
    return;
  case Node::Repeat: {
    const uint64_t count = f.data;
    if (count < n.max) {
      Frame rest = f;
      rest.data =
          n.max == kNoLimit ? std::min<uint64_t>(count + 1, n.min) : count + 1;
      // The last one needs no place to come back to.
      gather(n.items[0], rest.data == n.max ? f.parent : intern(rest));
    }
    if (count >= n.min)
      pop(f.parent);
    return;
  }
  default:
    return run_object(f);
  }
}

// Fills `allowed`; false if no member can come. `f.parent` tells how deep.
bool Machine::allow(const Object &o, const Frame &f) {
  const size_t words = o.words();
  allowed.names.assign(words, 0);
  allowed.other = true;
  uint64_t any = 0;
  uint32_t lacking = 0;
  if (o.ordered) {
    // From `more` up to the next required one.
    uint32_t i = uint32_t(f.more);
    for (; i < o.names; ++i) {
      allowed.names[i / 64] |= uint64_t(1) << (i % 64);
      if (o.required[i / 64] >> (i % 64) & 1)
        break;
    }
    for (uint32_t r = i; r < o.names; ++r)
      lacking += o.required[r / 64] >> (r % 64) & 1;
  } else if (words) {
    allowed.names[0] = ~f.more;
    lacking = uint32_t(std::popcount(o.required[0] & ~f.more));
  }
  bool only_required = o.max != kNoLimit && f.extra + lacking >= o.max;
  // Near the bottom of the stack nothing comes that need not.
  const uint32_t depth = f.parent ? frames[f.parent].depth + 1 : 0;
  if (depth + 1 + o.deepest > Grammar::kMostDepth)
    only_required = true;
  else
    peak = std::max(peak, depth + 1 + o.deepest);
  for (size_t w = 0; w < words; ++w) {
    allowed.names[w] &= o.usable[w];
    if (only_required)
      allowed.names[w] &= o.required[w];
    any |= allowed.names[w];
  }
  if (only_required)
    allowed.other = false;
  return any || (allowed.other && !o.reach_other.empty() && o.reach_other[0]);
}

KeyFilter Machine::filter(const Object &o) const {
  return {allowed.names.data(), o.words(),     allowed.other, o.names,
          o.reach.data(),       &o.reach_other};
}

void Machine::run_object(const Frame &f) {
  const Object &o = grammar.objects[grammar.nodes[f.node].index];
  if (f.data == Key) {
    // The frame that reads the key is the key's, with what is known so far.
    Frame key = f;
    key.node = o.key;
    const TextRule &rule = grammar.texts[grammar.nodes[o.key].index];
    key.data =
        TextStepper(rule, grammar.dfas[rule.dfa], nullptr).begin().pack();
    return keep(key);
  }
  const bool first = f.data == First;
  bool lacks = f.extra < o.min;
  if (o.ordered) {
    for (uint32_t i = uint32_t(f.more); i < o.names; ++i)
      lacks |= o.required[i / 64] >> (i % 64) & 1;
  } else if (o.words()) {
    lacks |= (o.required[0] & ~f.more) != 0;
  }
  if (!lacks)
    gather(first ? o.close_first : o.close_next, f.parent);
  if (!allow(o, f))
    return;
  Frame key = f;
  key.data = Key;
  if (first)
    return run(key);
  gather(o.comma, intern(key));
}

// A key has been read: its value comes, then the other members.
void Machine::end_key(const Frame &f, int32_t tag) {
  const uint32_t owner = grammar.texts[grammar.nodes[f.node].index].object;
  const Object &o = grammar.objects[grammar.nodes[owner].index];
  Frame rest;
  rest.node = owner;
  rest.parent = f.parent;
  rest.data = Next;
  rest.more = f.more;
  if (uint32_t(tag) < o.names)
    rest.more = o.ordered ? uint64_t(tag) + 1 : f.more | uint64_t(1) << tag;
  const bool counts = o.min || o.max != kNoLimit;
  rest.extra = counts ? f.extra + 1 : 0;
  if (counts && o.max == kNoLimit)
    rest.extra = std::min(rest.extra, o.min);
  gather(o.member[size_t(tag)], intern(rest));
}

void Machine::moved(const Frame &f, const TextMove &m) {
  if (m.goes_on) {
    Frame next = f;
    next.data = m.next.pack();
    keep(next);
  }
  if (!m.ended)
    return;
  if (grammar.texts[grammar.nodes[f.node].index].object)
    end_key(f, m.tag);
  else
    pop(f.parent);
}

void Machine::step_frame(const Frame &f, uint8_t byte) {
  const Node &n = grammar.nodes[f.node];
  switch (n.kind) {
  case Node::Literal: {
    if (uint8_t(n.bytes[f.data]) != byte)
      return;
    if (f.data + 1 == n.bytes.size())
      return pop(f.parent);
    Frame next = f;
    ++next.data;
    return keep(next);
  }
  case Node::Text: {
    const TextRule &rule = grammar.texts[n.index];
    KeyFilter keys;
    if (rule.object) {
      const Object &o = grammar.objects[grammar.nodes[rule.object].index];
      allow(o, f);
      keys = filter(o);
    }
    TextStepper stepper(rule, grammar.dfas[rule.dfa],
                        rule.object ? &keys : nullptr);
    return moved(f, stepper.byte(TextState::unpack(f.data), byte));
  }
  case Node::Number: {
    const NumberRule &rule = grammar.numbers[n.index];
    NumberState at = NumberState::unpack(f.extra, f.data);
    if (!number_step(rule, at, byte))
      return;
    Frame next = f;
    next.data = at.value;
    next.extra = at.pack();
    keep(next);
    if (number_ends(rule, at))
      pop(f.parent);
    return;
  }
  default:
    return; // a control token, or the end
  }
}

StateId Machine::start() {
  begin();
  gather(grammar.root, kEnd);
  return settle();
}

StateId Machine::step(StateId state, uint8_t byte) {
  if (state == kDead)
    return kDead;
  if (sets[state].row == kNone) {
    sets[state].row = uint32_t(rows.size());
    rows.resize(rows.size() + 256, kNone);
  }
  const uint32_t row = sets[state].row;
  if (rows[row + byte] != kNone)
    return rows[row + byte];
  begin();
  for (uint32_t i = 0; i < sets[state].count; ++i) {
    const uint32_t id = pool[sets[state].first + i];
    if (id != kEnd)
      step_frame(Frame(frames[id]), byte);
  }
  return rows[row + byte] = settle();
}

int32_t Machine::token_of(uint32_t id) const {
  if (id == kEnd)
    return -1;
  const Frame &f = frames[id];
  const Node &n = grammar.nodes[f.node];
  if (n.kind == Node::Token)
    return int32_t(n.index);
  if (n.kind != Node::Text)
    return -1;
  const TextRule &rule = grammar.texts[n.index];
  if (rule.form != TextForm::Quote)
    return -1;
  TextMove m = TextStepper(rule, grammar.dfas[rule.dfa], nullptr)
                   .token(TextState::unpack(f.data), rule.quote);
  return m.goes_on || m.ended ? rule.quote : -1;
}

StateId Machine::step_token(StateId state, int32_t token) {
  begin();
  for (uint32_t i = 0; i < sets[state].count; ++i) {
    const uint32_t id = pool[sets[state].first + i];
    if (id == kEnd || token_of(id) != token)
      continue;
    const Frame f = frames[id];
    const Node &n = grammar.nodes[f.node];
    if (n.kind == Node::Token) {
      pop(f.parent);
      continue;
    }
    const TextRule &rule = grammar.texts[n.index];
    moved(f, TextStepper(rule, grammar.dfas[rule.dfa], nullptr)
                 .token(TextState::unpack(f.data), token));
  }
  return settle();
}

StateId Machine::alone(uint32_t id) {
  auto [at, fresh] = alone_of.try_emplace(id);
  if (fresh) {
    begin();
    Frame f = frames[id];
    f.parent = kEnd;
    keep(f);
    at->second = settle();
  }
  return at->second;
}

StateId Machine::single(uint32_t id) {
  begin();
  keep(Frame(frames[id]));
  return settle();
}

StateId Machine::resume(uint32_t id) {
  const uint32_t parent = frames[id].parent;
  auto [at, fresh] = resume_of.try_emplace(parent);
  if (fresh) {
    begin();
    run_parent(parent);
    at->second = settle();
  }
  return at->second;
}

bool Machine::ends(StateId state) const {
  auto list = frames_of(state);
  return !list.empty() && list.front() == kEnd;
}

void Machine::compact(std::span<StateId> roots) {
  std::vector<std::vector<std::vector<Frame>>> kept; // states, stacks, frames
  for (StateId root : roots) {
    auto &stacks = kept.emplace_back();
    for (uint32_t id : frames_of(root)) {
      auto &stack = stacks.emplace_back();
      for (; id != kEnd; id = frames[id].parent)
        stack.push_back(frames[id]);
    }
  }
  clear();
  for (size_t r = 0; r < roots.size(); ++r) {
    begin();
    for (auto &stack : kept[r]) {
      uint32_t id = kEnd;
      for (size_t i = stack.size(); i-- > 0;) {
        stack[i].parent = id;
        id = intern(stack[i]);
      }
      gathered.push_back(id);
    }
    roots[r] = settle();
  }
  kept_frames = frames.size();
}

} // namespace gm::grammar
