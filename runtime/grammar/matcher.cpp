// See matcher.h.
#include "runtime/grammar/matcher.h"

#include <algorithm>

namespace gm::grammar {

Matcher::Matcher(std::shared_ptr<Compiled> compiled)
    : compiled(std::move(compiled)), machine(this->compiled->grammar) {
  held = {machine.start()};
}

std::shared_ptr<const PartMask> MaskCache::find(const Key &key) {
  std::lock_guard guard(lock);
  auto at = masks.find(key);
  return at == masks.end() ? nullptr : at->second;
}

void MaskCache::add(const Key &key, std::shared_ptr<const PartMask> mask) {
  std::lock_guard guard(lock);
  if (bytes + mask->bytes() > kMostBytes) {
    masks.clear();
    bytes = 0;
  }
  const size_t more = mask->bytes();
  if (masks.emplace(key, std::move(mask)).second)
    bytes += more;
}

// Forgets steps that have been taken when they are too many.
void Matcher::tidy() {
  if (machine.full())
    machine.compact(held);
}

// Walks nodes [from, to) of the tree, children of what held.back() stands
// behind. `token` gets those that can come; `at` each node that can, with its
// state, and says whether its subtree is wanted.
template <typename Token, typename Node>
void Matcher::walk(uint32_t from, uint32_t to, const Token &token,
                   const Node &at) {
  const Vocabulary &v = *compiled->vocabulary;
  const size_t base = held.size() - 1;
  const uint8_t depth = from < to ? v.nodes[from].depth : 0;
  for (uint32_t n = from; n < to;) {
    const Vocabulary::Node &node = v.nodes[n];
    held.resize(base + 1 + size_t(node.depth - depth));
    tidy();
    const StateId next = machine.step(held.back(), node.byte);
    if (next == Machine::kDead) {
      n = node.end;
      continue;
    }
    for (uint32_t t = node.first; t < v.nodes[n + 1].first; ++t)
      token(v.tokens[t]);
    at(n, next);
    held.push_back(next);
    ++n;
  }
  held.resize(base + 1);
}

// Frames with the same key allow the same tokens.
MaskCache::Key Matcher::key_of(const Frame &f, bool &common) const {
  common = false;
  const Node &n = compiled->grammar.nodes[f.node];
  MaskCache::Key key = {f.node, f.data, f.more, f.extra};
  if (n.kind != Node::Text)
    return key;
  const TextRule &rule = compiled->grammar.texts[n.index];
  if (rule.object || (!rule.plain && !rule.span))
    return key;
  // Only what a token can reach of the lengths counts; where an automaton is to
  // end in time, also its longest way there.
  TextState at = TextState::unpack(f.data);
  const uint32_t far =
      uint32_t(compiled->vocabulary->longest()) + 1 +
      (rule.plain ? 0 : uint32_t(compiled->grammar.dfas[rule.dfa].states()));
  uint32_t low = at.count < rule.min ? rule.min - at.count : 0,
           high = rule.max == kNoLimit ? far : rule.max - at.count;
  if (rule.plain)
    low = std::min(low, far);
  if (rule.plain || !low)
    high = std::min(high, far);
  at.count = 0;
  key[1] = at.pack();
  key[2] = uint64_t(low) << 32 | high;
  if (rule.plain && rule.form != TextForm::Quote) {
    common = true;
    key[0] = uint64_t(rule.form);
  }
  return key;
}

std::shared_ptr<const PartMask> Matcher::part(uint32_t frame) {
  bool common;
  const MaskCache::Key key = key_of(machine.frame(frame), common);
  MaskCache &cache = common ? *compiled->common : compiled->own;
  if (auto known = cache.find(key))
    return known;
  const Vocabulary &v = *compiled->vocabulary;
  auto made = std::make_shared<PartMask>();
  held.push_back(machine.alone(frame));
  made->peak = machine.peak_of(held.back());
  walk(
      0, uint32_t(v.nodes.size() - 1),
      [&](int32_t id) { made->ids.push_back(id); },
      [&](uint32_t n, StateId s) {
        made->peak = std::max(made->peak, machine.peak_of(s));
        if (machine.ends(s) && v.nodes[n].end > n + 1)
          made->beyond.push_back(n);
      });
  held.pop_back();
  if (made->ids.size() > v.words()) {
    made->bits.resize(v.words());
    for (int32_t id : made->ids)
      made->bits[size_t(id) / 32] |= 1u << (id % 32);
    made->ids = {};
  }
  cache.add(key, made);
  return made;
}

// Adds to `made` what the frame of this index in the state allows.
void Matcher::build_frame(size_t index) {
  const Vocabulary &v = *compiled->vocabulary;
  auto set = [&](int32_t id) { made[size_t(id) / 32] |= 1u << (id % 32); };
  auto nothing = [](uint32_t, StateId) {};
  if (machine.frames_of(state())[index] == Machine::kEnd) {
    for (int32_t id : compiled->stop)
      if (id >= 0 && id < v.size())
        set(id);
    return;
  }
  const uint32_t reads = machine.frames_of(state())[index];
  if (int32_t id = machine.token_of(reads); id >= 0) {
    set(id);
    // A text between quotes that may end may also go on.
    if (compiled->grammar.nodes[machine.frame(reads).node].kind == Node::Token)
      return;
  }
  auto p = part(reads);
  // part() may have renumbered frames, but their order within a state is that
  // of their numbers, which compact() keeps.
  const uint32_t frame = machine.frames_of(state())[index];
  if (machine.frame(frame).depth + p->peak > Grammar::kMostDepth) {
    // So deep that what is below decides.
    held.push_back(machine.single(frame));
    walk(0, uint32_t(v.nodes.size() - 1), set, nothing);
    held.pop_back();
    return;
  }
  for (size_t w = 0; w < p->bits.size(); ++w)
    made[w] |= p->bits[w];
  for (int32_t id : p->ids)
    set(id);
  if (p->beyond.empty())
    return;
  held.push_back(machine.resume(frame));
  for (uint32_t n : p->beyond)
    walk(n + 1, v.nodes[n].end, set, nothing);
  held.pop_back();
}

void Matcher::build() {
  tidy();
  made.assign(compiled->vocabulary->words(), 0);
  for (size_t i = 0; i < machine.frames_of(state()).size(); ++i)
    build_frame(i);
  fresh = true;
}

void Matcher::allow(uint32_t *mask) {
  if (!fresh)
    build();
  for (size_t w = 0; w < made.size(); ++w)
    mask[w] &= made[w];
}

StateId Matcher::after(int32_t id) {
  const auto &stop = compiled->stop;
  if (std::find(stop.begin(), stop.end(), id) != stop.end() && may_end())
    return state();
  tidy();
  std::string bytes;
  if (!compiled->vocabulary->append_bytes(id, bytes))
    return machine.step_token(state(), id);
  if (bytes.empty() || bytes.size() > Vocabulary::kLongest)
    return Machine::kDead;
  StateId s = state();
  for (char c : bytes)
    s = machine.step(s, uint8_t(c));
  return s;
}

bool Matcher::can(int32_t id) { return after(id) != Machine::kDead; }

bool Matcher::accept(int32_t id) {
  const StateId s = after(id);
  if (s == Machine::kDead)
    return false;
  fresh &= s == state();
  held[0] = s;
  return true;
}

std::unique_ptr<Constraint> Matcher::clone() const {
  auto copy = std::make_unique<Matcher>(*this);
  copy->machine.compact(copy->held);
  return copy;
}

} // namespace gm::grammar
