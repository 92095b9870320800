// How a number is written, byte by byte. Free numbers take JSON's spellings up
// to fixed lengths; numbers with bounds or a step are plain decimals of at most
// 15 significant digits (integers: 18), so that what reads them as a double
// compares them as they are written. A number that has begun can be ended.
#pragma once

#include "runtime/gemma.h"

#include <cstdint>

namespace gm::grammar {

// value * 10^-scale, exactly.
struct Decimal {
  __int128 value = 0;
  int32_t scale = 0;
};
// The decimal that `number` is the shortest spelling of; false if its digits do
// not fit.
bool to_decimal(double number, Decimal &out);

struct NumberRule {
  bool integer = false;
  bool bounded = false; // else nothing below counts
  // In steps of 10^-fraction: the least and the greatest, both included, and
  // what the value is a multiple of.
  __int128 low = 0, high = 0, step = 1;
  int32_t whole = 0, fraction = 0; // digits in front of and behind the point

  bool operator==(const NumberRule &) const = default;
};

struct NumberBounds {
  bool has_low = false, has_high = false, low_open = false, high_open = false;
  Decimal low, high, step; // step.value = 0: none
};
// UNSUPPORTED if bounds or step need more digits than are written; `rule` is
// left without a value where there is none.
Status make_number(bool integer, const NumberBounds &bounds, NumberRule &rule);

struct NumberState {
  enum Phase : uint8_t {
    Start,
    Minus,
    Zero,
    Whole,
    Dot,
    Fraction,
    E,
    Sign,
    Exp
  };
  Phase phase = Start;
  bool negative = false;
  uint32_t digits = 0; // of the phase; bounded: behind the point
  uint64_t value = 0;  // bounded: all digits

  uint32_t pack() const {
    return uint32_t(phase) | uint32_t(negative) << 4 | digits << 5;
  }
  static NumberState unpack(uint32_t bits, uint64_t value) {
    return {Phase(bits & 15), bool(bits >> 4 & 1), bits >> 5, value};
  }
};

// False if `b` cannot come.
bool number_step(const NumberRule &rule, NumberState &at, uint8_t b);
bool number_ends(const NumberRule &rule, const NumberState &at);
bool number_has_any(const NumberRule &rule);

} // namespace gm::grammar
