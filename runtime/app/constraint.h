// What those who draw tokens ask of a grammar. One object follows one sequence:
// it is told every token that is drawn. Must not know how a grammar is written,
// nor how tokens are drawn.
#pragma once

#include <cstdint>
#include <memory>

namespace gm {

class Constraint {
public:
  virtual ~Constraint() = default;
  // Clears in `mask`, ceil(vocab / 32) words, the bits of ids that cannot come
  // next. A stop id can where the grammar may end. At least one id is left of a
  // mask that was full.
  virtual void allow(uint32_t *mask) = 0;
  // `id` comes next. False, and nothing is changed, if it cannot.
  [[nodiscard]] virtual bool accept(int32_t id) = 0;
  // Whether everything can come next: then nobody needs a mask.
  virtual bool is_free() const { return false; }
  // The same state in another object, for sequences that part here.
  virtual std::unique_ptr<Constraint> clone() const = 0;
};

} // namespace gm
