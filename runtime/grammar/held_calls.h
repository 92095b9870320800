// A constraint of answers that may call tools: text is free, and costs nothing,
// but a call that has begun is one of the declared tools with arguments of its
// schema. Knows the control token that begins a call.
#pragma once

#include "runtime/grammar/matcher.h"

namespace gm::grammar {

class HeldCalls final : public Constraint {
public:
  // `call`: of one call, from the token `open` to the token `close`.
  HeldCalls(std::shared_ptr<Compiled> call, int32_t open, int32_t close)
      : call(std::move(call)), open(open), close(close) {}

  void allow(uint32_t *mask) override {
    if (inside)
      inside->allow(mask);
  }
  [[nodiscard]] bool accept(int32_t id) override;
  bool is_free() const override { return !inside; }
  std::unique_ptr<Constraint> clone() const override;

private:
  const std::shared_ptr<Compiled> call;
  const int32_t open, close;
  std::unique_ptr<Constraint> inside; // of the call that is written
};

} // namespace gm::grammar
