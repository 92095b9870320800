// Runs a grammar: sets of stacks, which bytes and control tokens change. Frames
// of stacks and sets of them have numbers, so that a step that was taken once
// is looked up. Every stack that is kept can be ended. Knows no tokens of a
// vocabulary but by their bytes.
#pragma once

#include "runtime/grammar/grammar.h"

#include <span>
#include <unordered_map>

namespace gm::grammar {

// "Run `node`, which stands at `data`, `more`, `extra`; then `parent` goes on."
// What these mean is the node's: position in a literal or sequence, count of a
// repetition, a text's state, a number's digits, an object's members so far.
struct Frame {
  NodeId node = 0;
  uint32_t parent = 0;
  uint64_t data = 0, more = 0;
  uint32_t extra = 0;
  uint32_t depth = 0;
};

using StateId = uint32_t;

class Machine {
public:
  // Frame 0: everything is written.
  static constexpr uint32_t kEnd = 0;
  static constexpr StateId kDead = 0;
  // Stacks of a set; more are left out, which only forbids what could come.
  static constexpr size_t kMostPaths = 512;
  static constexpr size_t kMostFrames = 1u << 16, kMostStates = 1u << 12;

  explicit Machine(const Grammar &grammar) : grammar(grammar) { clear(); }

  StateId start();
  StateId step(StateId state, uint8_t byte);
  StateId step_token(StateId state, int32_t id);
  // The state of one frame of a state, above nothing; `parent`: what goes on
  // where it ends, as a state of its own.
  StateId alone(uint32_t frame);
  StateId single(uint32_t frame); // the same above what it stands on
  StateId resume(uint32_t frame); // of its parent
  bool ends(StateId state) const;

  std::span<const uint32_t> frames_of(StateId state) const {
    const Set &set = sets[state];
    return {pool.data() + set.first, set.count};
  }
  const Frame &frame(uint32_t id) const { return frames[id]; }
  // Of a frame of a state: the control tokens it takes, -1: none.
  int32_t token_of(uint32_t frame) const;

  // How deep the stacks of a state, and those that were tried beside them, are
  // or would have to become.
  uint32_t peak_of(StateId state) const { return sets[state].peak; }

  // Whether compact() is due; it keeps `roots`, which it renumbers.
  bool full() const {
    return frames.size() > kMostFrames + 2 * kept_frames ||
           sets.size() > kMostStates;
  }
  void compact(std::span<StateId> roots);

private:
  struct Set {
    uint32_t first, count;
    uint32_t row;  // of `rows`, or kNone
    uint32_t peak; // see peak_of
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  void clear();
  uint32_t intern(const Frame &f);
  StateId settle(); // of what is gathered
  void begin();
  // Of nested calls of run(): those beyond are left out, as paths are.
  static constexpr uint32_t kMostNested = 3000;
  void gather(NodeId node, uint32_t parent);
  void run(Frame f);
  void pop(uint32_t parent) { run_parent(parent); }
  void run_parent(uint32_t parent);
  void run_object(const Frame &f);
  void step_frame(const Frame &f, uint8_t byte);
  void keep(const Frame &f);
  void end_key(const Frame &f, int32_t tag);
  void moved(const Frame &f, const TextMove &m);

  struct Allowed {
    std::vector<uint64_t> names;
    bool other = false;
  };
  // What members may come, given those that have.
  bool allow(const Object &o, const Frame &f);
  KeyFilter filter(const Object &o) const;

  const Grammar &grammar;
  std::vector<Frame> frames;
  size_t kept_frames = 0;      // after compact()
  std::vector<uint32_t> table; // of frames, open addressing
  std::vector<Set> sets;
  std::vector<uint32_t> pool;
  std::unordered_multimap<uint64_t, StateId> set_table;
  std::vector<uint32_t> rows; // 256 per state that was stepped from
  std::unordered_map<uint32_t, StateId> alone_of, resume_of;
  std::vector<uint32_t> gathered, mark;
  uint32_t epoch = 0, peak = 0, nested = 0;
  Allowed allowed;
};

} // namespace gm::grammar
