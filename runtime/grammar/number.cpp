// See number.h.
#include "runtime/grammar/number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

namespace gm::grammar {
namespace {

using Wide = __int128;

// Digits of free numbers.
constexpr uint32_t kWhole = 18, kFraction = 17, kExponent = 2;
constexpr int32_t kMostDigits = 15, kMostInteger = 18;

Wide power(int32_t n) {
  Wide x = 1;
  while (n-- > 0)
    x *= 10;
  return x;
}

int32_t digits_of(Wide x) {
  int32_t n = 0;
  for (x = x < 0 ? -x : x; x; x /= 10)
    ++n;
  return n;
}

Wide floor_div(Wide a, Wide b) {
  Wide q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

// `d` in steps of 10^-scale, rounded down or up where it has more digits.
Wide in_steps(const Decimal &d, int32_t scale, bool up) {
  if (d.scale <= scale)
    return d.value * power(scale - d.scale);
  Wide unit = power(d.scale - scale);
  return up ? -floor_div(-d.value, unit) : floor_div(d.value, unit);
}

// Whether a value of [first, last] steps, negated if `negative`, is allowed.
bool any_between(const NumberRule &r, Wide first, Wide last, bool negative) {
  if (negative) {
    first = std::max<Wide>(first, 1); // no -0
    std::swap(first, last);
    first = -first, last = -last;
  }
  first = std::max(first, r.low), last = std::min(last, r.high);
  if (first > last)
    return false;
  Wide multiple = -floor_div(-first, r.step) * r.step;
  return multiple <= last;
}

// Whether what stands there can still become an allowed value.
bool lives(const NumberRule &r, const NumberState &at) {
  const Wide unit = power(r.fraction);
  const Wide v = Wide(at.value);
  switch (at.phase) {
  case NumberState::Start:
    return any_between(r, 0, power(r.whole + r.fraction) - 1, false) ||
           any_between(r, 0, power(r.whole + r.fraction) - 1, true);
  case NumberState::Minus:
    return any_between(r, 0, power(r.whole + r.fraction) - 1, true);
  case NumberState::Zero:
    return any_between(r, 0, unit - 1, at.negative);
  case NumberState::Whole: {
    Wide first = v * unit, last = (v + 1) * unit - 1;
    for (int32_t n = digits_of(v); n <= r.whole; ++n) {
      if (any_between(r, first, last, at.negative))
        return true;
      first *= 10, last = last * 10 + 9;
    }
    return false;
  }
  case NumberState::Dot:
  case NumberState::Fraction: {
    Wide rest = power(r.fraction - int32_t(at.digits));
    return any_between(r, v * rest, (v + 1) * rest - 1, at.negative);
  }
  default:
    return false;
  }
}

bool step_bounded(const NumberRule &r, NumberState &at, uint8_t b) {
  const bool digit = b >= '0' && b <= '9';
  NumberState to = at;
  switch (at.phase) {
  case NumberState::Start:
    if (b == '-') {
      to.phase = NumberState::Minus, to.negative = true;
      break;
    }
    [[fallthrough]];
  case NumberState::Minus:
    if (!digit)
      return false;
    to.phase = b == '0' ? NumberState::Zero : NumberState::Whole;
    to.value = uint64_t(b - '0');
    break;
  case NumberState::Zero:
  case NumberState::Whole:
    if (b == '.' && r.fraction) {
      to.phase = NumberState::Dot;
      break;
    }
    if (!digit || at.phase == NumberState::Zero ||
        digits_of(Wide(at.value)) >= r.whole)
      return false;
    to.value = at.value * 10 + uint64_t(b - '0');
    break;
  case NumberState::Dot:
  case NumberState::Fraction:
    if (!digit || at.digits >= uint32_t(r.fraction))
      return false;
    to.phase = NumberState::Fraction;
    to.value = at.value * 10 + uint64_t(b - '0');
    ++to.digits;
    break;
  default:
    return false;
  }
  if (!lives(r, to))
    return false;
  at = to;
  return true;
}

bool step_free(const NumberRule &r, NumberState &at, uint8_t b) {
  using S = NumberState;
  const bool digit = b >= '0' && b <= '9';
  auto go = [&](S::Phase phase, uint32_t digits) {
    at.phase = phase;
    at.digits = digits;
    return true;
  };
  switch (at.phase) {
  case S::Start:
    if (b == '-')
      return go(S::Minus, 0);
    [[fallthrough]];
  case S::Minus:
    // An integer is not -0.
    if (b == '0' && (!r.integer || at.phase == S::Start))
      return go(S::Zero, 1);
    return digit && b != '0' && go(S::Whole, 1);
  case S::Zero:
  case S::Whole:
    if (digit)
      return at.phase == S::Whole && at.digits < kWhole &&
             go(S::Whole, at.digits + 1);
    if (r.integer)
      return false;
    return b == '.' ? go(S::Dot, 0) : (b == 'e' || b == 'E') && go(S::E, 0);
  case S::Dot:
  case S::Fraction:
    if (digit)
      return at.digits < kFraction && go(S::Fraction, at.digits + 1);
    return at.phase == S::Fraction && (b == 'e' || b == 'E') && go(S::E, 0);
  case S::E:
    if (b == '+' || b == '-')
      return go(S::Sign, 0);
    [[fallthrough]];
  case S::Sign:
    return digit && go(S::Exp, 1);
  case S::Exp:
    return digit && at.digits < kExponent && go(S::Exp, at.digits + 1);
  }
  return false;
}

} // namespace

bool to_decimal(double number, Decimal &out) {
  if (!std::isfinite(number))
    return false;
  char text[40];
  auto end = std::to_chars(text, text + sizeof text, number,
                           std::chars_format::scientific);
  const char *e =
      static_cast<const char *>(memchr(text, 'e', size_t(end.ptr - text)));
  out = {};
  int32_t behind = 0, exponent = 0;
  bool point = false;
  for (const char *p = text; p != e; ++p) {
    if (*p == '.') {
      point = true;
    } else if (*p != '-') {
      out.value = out.value * 10 + (*p - '0');
      behind += point;
    }
  }
  if (*text == '-')
    out.value = -out.value;
  const char *from = e + 1 + (e[1] == '+');
  std::from_chars(from, end.ptr, exponent);
  out.scale = behind - exponent;
  if (out.value == 0)
    out.scale = 0;
  if (out.scale > 30 || out.scale < -20)
    return false;
  if (out.scale < 0)
    out.value *= power(-out.scale), out.scale = 0;
  return true;
}

Status make_number(bool integer, const NumberBounds &b, NumberRule &r) {
  r = {};
  r.integer = integer;
  r.bounded = b.has_low || b.has_high || b.step.value != 0;
  if (!r.bounded)
    return {};
  const int32_t most = integer ? kMostInteger : kMostDigits;
  if (integer) {
    r.whole = most;
  } else {
    // Room in front of the point for the bounds, behind it for the step.
    int32_t whole = b.has_low && b.has_high ? 1 : 9;
    if (b.has_low)
      whole = std::max(whole, digits_of(in_steps(b.low, 0, false)));
    if (b.has_high)
      whole = std::max(whole, digits_of(in_steps(b.high, 0, true)));
    r.whole = std::min(whole, most);
    r.fraction = most - r.whole;
  }
  const Wide limit = power(r.whole + r.fraction) - 1;
  r.low = -limit, r.high = limit;
  auto bound = [&](const Decimal &d, bool open, bool up) {
    // Beyond what is written: as good as the limit.
    if (digits_of(d.value) - d.scale > r.whole + 1)
      return d.value < 0 ? -limit - 1 : limit + 1;
    Wide x = in_steps(d, r.fraction, up);
    bool exact =
        d.scale <= r.fraction || x * power(d.scale - r.fraction) == d.value;
    return open && exact ? x + (up ? 1 : -1) : x;
  };
  if (b.has_low)
    r.low = std::max(r.low, bound(b.low, b.low_open, true));
  if (b.has_high)
    r.high = std::min(r.high, bound(b.high, b.high_open, false));
  if (b.step.value != 0) {
    Decimal step = b.step;
    while (step.scale > 0 && step.value % 10 == 0)
      step.value /= 10, --step.scale;
    if (integer && step.scale > 0) {
      // Integers that are multiples of n / 10^s: of n / gcd(n, 10^s).
      Wide x = step.value, y = power(step.scale);
      while (y)
        std::swap(x, y), y %= x;
      step = {step.value / x, 0};
    }
    if (step.scale > r.fraction ||
        digits_of(step.value) + r.fraction - step.scale > 36)
      return failure(UNSUPPORTED,
                     "multipleOf with more digits than numbers are written "
                     "with (%d behind the point)",
                     r.fraction);
    r.step = step.value * power(r.fraction - step.scale);
    if (r.step < 0)
      r.step = -r.step;
  }
  return {};
}

bool number_step(const NumberRule &rule, NumberState &at, uint8_t b) {
  return rule.bounded ? step_bounded(rule, at, b) : step_free(rule, at, b);
}

bool number_ends(const NumberRule &r, const NumberState &at) {
  using S = NumberState;
  if (at.phase != S::Zero && at.phase != S::Whole && at.phase != S::Fraction &&
      at.phase != S::Exp)
    return false;
  if (!r.bounded)
    return true;
  const Wide x =
      Wide(at.value) *
      power(r.fraction - int32_t(at.phase == S::Fraction ? at.digits : 0));
  return any_between(r, x, x, at.negative);
}

bool number_has_any(const NumberRule &r) {
  return !r.bounded || lives(r, NumberState());
}

} // namespace gm::grammar
