// See held_calls.h.
#include "runtime/grammar/held_calls.h"

namespace gm::grammar {

bool HeldCalls::accept(int32_t id) {
  if (!inside) {
    if (id == open)
      inside = std::make_unique<Matcher>(call);
    return !inside || inside->accept(id);
  }
  if (!inside->accept(id))
    return false;
  if (id == close)
    inside.reset();
  return true;
}

std::unique_ptr<Constraint> HeldCalls::clone() const {
  auto out = std::make_unique<HeldCalls>(call, open, close);
  if (inside)
    out->inside = inside->clone();
  return out;
}

} // namespace gm::grammar
