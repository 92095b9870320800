// A grammar that answers those who draw tokens: masks over the vocabulary, by
// walking its tree with the machine. What a stack's top allows by itself is
// computed once and kept with the grammar, for all sequences; what follows
// where the top ends is walked each time, which is little. Knows no grammar's
// notation.
#pragma once

#include "runtime/app/constraint.h"
#include "runtime/grammar/machine.h"
#include "runtime/grammar/vocabulary.h"

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace gm::grammar {

// Tokens that the top of a stack allows, whatever is below it.
struct PartMask {
  std::vector<uint32_t> bits;   // words, if there are many
  std::vector<int32_t> ids;     // else
  std::vector<uint32_t> beyond; // nodes of the tree behind which the top ended
  uint32_t peak = 0;            // Machine::peak_of
  size_t bytes() const {
    return sizeof *this + 4 * (bits.size() + ids.size() + beyond.size());
  }
};

// Masks by what they depend on; forgets all when it is full. For several
// threads.
class MaskCache {
public:
  using Key = std::array<uint64_t, 4>;
  std::shared_ptr<const PartMask> find(const Key &key);
  void add(const Key &key, std::shared_ptr<const PartMask> mask);

private:
  static constexpr size_t kMostBytes = 6u << 20;
  std::mutex lock;
  std::map<Key, std::shared_ptr<const PartMask>> masks;
  size_t bytes = 0;
};

// A finished grammar for one vocabulary. May be used on several threads.
class Compiled {
public:
  // `stop`: ids that end a text, each where the grammar may end. `common`: of
  // the vocabulary, masks that are the same in all grammars (strings of which
  // no more is said than a length), so that a new grammar does not make them
  // again; null: none are shared.
  Compiled(Grammar grammar, std::shared_ptr<const Vocabulary> vocabulary,
           std::vector<int32_t> stop,
           std::shared_ptr<MaskCache> common = nullptr)
      : grammar(std::move(grammar)), vocabulary(std::move(vocabulary)),
        stop(std::move(stop)),
        common(common ? std::move(common) : std::make_shared<MaskCache>()) {}

  const Grammar grammar;
  const std::shared_ptr<const Vocabulary> vocabulary;
  const std::vector<int32_t> stop;

private:
  friend class Matcher;
  const std::shared_ptr<MaskCache> common;
  MaskCache own;
};

class Matcher : public Constraint {
public:
  explicit Matcher(std::shared_ptr<Compiled> compiled);

  void allow(uint32_t *mask) override;
  [[nodiscard]] bool accept(int32_t id) override;
  std::unique_ptr<Constraint> clone() const override;

  // Whether the text may end here.
  bool may_end() const { return machine.ends(state()); }
  // Whether `id` can come next: what a mask says of it, without the mask.
  bool can(int32_t id);

private:
  // The states that must stay are in `held`: the matcher's own first, then
  // those of a walk.
  StateId state() const { return held[0]; }
  void tidy();
  StateId after(int32_t id); // kDead: it cannot come; a stop id: state()
  template <typename Token, typename Node>
  void walk(uint32_t from, uint32_t to, const Token &token, const Node &at);
  std::shared_ptr<const PartMask> part(uint32_t frame);
  // Of what a frame allows; `common`: in all grammars.
  MaskCache::Key key_of(const Frame &f, bool &common) const;
  void build();
  void build_frame(size_t index);

  std::shared_ptr<Compiled> compiled;
  Machine machine;
  std::vector<StateId> held;
  std::vector<uint32_t> made; // mask of state(), if `fresh`
  bool fresh = false;
};

} // namespace gm::grammar
