// See text.h.
#include "runtime/grammar/text.h"
#include "runtime/app/unicode.h"

#include <algorithm>

namespace gm::grammar {
namespace {

constexpr size_t kMostEnds = 1u << 22; // bits

} // namespace

Status TextRule::prepare(const Dfa &d) {
  plain = d.states() == 1 && d.starts.size() == 1;
  if (plain || (min == 0 && max == kNoLimit))
    return {};
  // Numbers of code points up to span - 2 exactly, span - 1: so many and more.
  // More states than these cannot tell lengths apart but by a cycle.
  uint64_t most = max == kNoLimit ? uint64_t(min) + d.states() : max;
  if ((most + 2) * d.states() > kMostEnds)
    return failure(UNSUPPORTED,
                   "a pattern of %zu states together with a length of %llu is "
                   "too large",
                   d.states(), (unsigned long long)most);
  span = uint32_t(most) + 2;
  const size_t row = (span + 63) / 64;
  ends.assign(row * d.states(), 0);
  std::vector<std::vector<uint16_t>> after(d.states());
  for (size_t s = 0; s < d.states(); ++s) {
    auto &to = after[s];
    for (size_t c = 0; c < d.starts.size(); ++c)
      if (uint16_t t = d.next[s * d.starts.size() + c]; t != Dfa::kDead)
        to.push_back(t);
    std::sort(to.begin(), to.end());
    to.erase(std::unique(to.begin(), to.end()), to.end());
    if (d.tag[s] >= 0)
      ends[s * row] |= 1;
  }
  for (uint32_t n = 1; n < span; ++n)
    for (size_t s = 0; s < d.states(); ++s)
      for (uint16_t t : after[s])
        if (ends[t * row + (n - 1) / 64] >> ((n - 1) % 64) & 1) {
          ends[s * row + n / 64] |= uint64_t(1) << (n % 64);
          break;
        }
  return {};
}

bool TextRule::fits(uint16_t state, uint32_t count) const {
  if (plain || !span)
    return count <= max;
  if (max != kNoLimit && count > max)
    return false;
  uint32_t low = count < min ? min - count : 0,
           high = max == kNoLimit ? span - 1 : max - count;
  const uint64_t *row = ends.data() + size_t(state) * ((span + 63) / 64);
  for (uint32_t n = low; n <= high && n < span; ++n)
    if (row[n / 64] >> (n % 64) & 1)
      return true;
  return false;
}

bool KeyFilter::lives(uint16_t state) const {
  if (other && (*reach_other)[state])
    return true;
  for (size_t w = 0; w < words; ++w)
    if (reach[state * words + w] & allowed[w])
      return true;
  return false;
}

bool KeyFilter::ends(int32_t tag) const {
  if (tag < 0)
    return false;
  return uint32_t(tag) >= names ? other : allowed[tag / 64] >> (tag % 64) & 1;
}

TextState TextStepper::begin() const {
  bool opens = rule.form == TextForm::Json || rule.form == TextForm::Quote;
  return {0, opens ? TextState::Open : TextState::Chars};
}

bool TextStepper::lives(uint16_t state, uint32_t count) const {
  return state != Dfa::kDead && rule.fits(state, count) &&
         (!keys || keys->lives(state));
}

bool TextStepper::may_end(const TextState &at) const {
  if (at.mode != TextState::Chars || dfa.empty() || dfa.tag[at.state] < 0 ||
      at.count < rule.min)
    return false;
  return !keys || keys->ends(dfa.tag[at.state]);
}

// The count behind one more character: of no more than what matters.
uint32_t TextStepper::more(uint32_t count) const {
  return rule.max == kNoLimit ? std::min(count + 1, rule.min) : count + 1;
}

// Whether a character of these can come; surrogates are none.
bool TextStepper::any_in(const TextState &at, uint32_t first,
                         uint32_t last) const {
  if (rule.form == TextForm::Bare && first <= ':' && last >= ':')
    return any_in(at, first, ':' - 1) || any_in(at, ':' + 1, last);
  if (first <= 0xDFFF && last >= 0xD800)
    return (first < 0xD800 && any_in(at, first, 0xD7FF)) ||
           (last > 0xDFFF && any_in(at, 0xE000, last));
  if (first > last)
    return false;
  const uint32_t count = more(at.count);
  for (size_t c = dfa.column(first);
       c < dfa.starts.size() && dfa.starts[c] <= last; ++c)
    if (lives(dfa.next[at.state * dfa.starts.size() + c], count))
      return true;
  return false;
}

bool TextStepper::may_go_on(const TextState &at) const {
  return at.mode != TextState::Chars || rule.form != TextForm::Raw ||
         any_in(at, 0, kLastCode);
}

// A whole character.
TextMove TextStepper::character(const TextState &at, uint32_t code) const {
  TextMove m;
  uint16_t to = dfa.step(at.state, code);
  const uint32_t count = more(at.count);
  if (!lives(to, count))
    return m;
  m.next = {to, TextState::Chars, count, 0};
  m.goes_on = true;
  if (rule.form == TextForm::Raw) {
    m.ended = may_end(m.next);
    m.tag = dfa.tag[to];
    m.goes_on = may_go_on(m.next);
  }
  return m;
}

// The first bytes of a character, `left` to come. Where all characters that
// they begin lead to one state it is taken now, so that there are few states.
TextMove TextStepper::part(TextState at, uint32_t value, uint32_t left) const {
  const uint32_t least = left == 3 ? 0x10000 : left == 2 ? 0x800 : 0;
  const uint32_t first = std::max(value << (6 * left), least),
                 last = std::min((value + 1) << (6 * left), kLastCode + 1) - 1;
  TextMove m;
  if (first > last || !any_in(at, first, last))
    return m;
  m.goes_on = true;
  bool whole = first == value << (6 * left) &&
               last == ((value + 1) << (6 * left)) - 1 &&
               !(first <= 0xDFFF && last >= 0xD800) &&
               dfa.column(first) == dfa.column(last);
  if (whole)
    m.next = {dfa.step(at.state, first), TextState::Skip, more(at.count), left};
  else
    m.next = {at.state, TextState::Part, at.count, value << 2 | left};
  return m;
}

TextMove TextStepper::hex(TextState at, uint8_t b) const {
  const int digit = hex_digit(char(b));
  if (digit < 0)
    return {};
  TextMove m;
  if (at.mode == TextState::Hex) {
    const uint32_t digits = (at.part >> 16) + 1,
                   value = (at.part & 0xFFFF) << 4 | uint32_t(digit);
    if (digits < 4) {
      const uint32_t shift = 4 * (4 - digits), first = value << shift,
                     last = first + (1u << shift) - 1;
      const uint32_t high = std::max(first, 0xD800u),
                     high_end = std::min(last, 0xDBFFu);
      m.goes_on = any_in(at, first, std::min(last, last_hex())) ||
                  (high <= high_end && !rule.shortest &&
                   any_in(at, 0x10000 + ((high - 0xD800) << 10),
                          0x10000 + ((high_end - 0xD800) << 10) + 0x3FF));
      m.next = at;
      m.next.part = digits << 16 | value;
      return m;
    }
    if (value > last_hex())
      return m;
    if (value >= 0xD800 && value <= 0xDBFF) {
      const uint32_t ten = value - 0xD800;
      m.goes_on = any_in(at, 0x10000 + (ten << 10), 0x103FF + (ten << 10));
      m.next = {at.state, TextState::Low1, at.count, ten};
      return m;
    }
    return value >= 0xDC00 && value <= 0xDFFF ? m : character(at, value);
  }
  const uint32_t digits = (at.part >> 22) + 1, ten = at.part >> 12 & 0x3FF,
                 value = (at.part & 0xFFF) << 4 | uint32_t(digit);
  const uint32_t shift = 4 * (4 - digits),
                 first = std::max(value << shift, 0xDC00u),
                 last = std::min((value << shift) + (1u << shift) - 1, 0xDFFFu);
  if (first > last)
    return m;
  const uint32_t base = 0x10000 + (ten << 10);
  if (digits == 4)
    return character(at, base + value - 0xDC00);
  m.goes_on = any_in(at, base + first - 0xDC00, base + last - 0xDC00);
  m.next = at;
  m.next.part = digits << 22 | ten << 12 | value;
  return m;
}

TextMove TextStepper::escape(TextState at, uint8_t b) const {
  static const struct {
    char letter, code;
  } escapes[] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
                 {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};
  if (b == 'u') {
    TextMove m;
    m.goes_on = any_in(at, 0, last_hex());
    m.next = {at.state, TextState::Hex, at.count, 0};
    return m;
  }
  for (auto e : escapes)
    if (b == uint8_t(e.letter) && !(rule.shortest && b == '/'))
      return character(at, uint8_t(e.code));
  return {};
}

TextMove TextStepper::byte(const TextState &at, uint8_t b) const {
  TextMove m;
  if (dfa.empty())
    return m;
  switch (at.mode) {
  case TextState::Open:
    m.goes_on = rule.form == TextForm::Json && b == '"';
    m.next = {at.state, TextState::Chars, at.count, 0};
    return m;
  case TextState::Chars:
    if (rule.form == TextForm::Json) {
      if (b == '"') {
        m.ended = may_end(at);
        m.tag = dfa.tag[at.state];
        return m;
      }
      if (b == '\\') {
        m.goes_on =
            any_in(at, 0, last_hex()) ||
            (rule.shortest && (any_in(at, '"', '"') || any_in(at, '\\', '\\')));
        m.next = {at.state, TextState::Escape, at.count, 0};
        return m;
      }
      if (b < 0x20)
        return m;
    }
    if (rule.form == TextForm::Bare && b == ':') {
      m.ended = may_end(at);
      m.tag = dfa.tag[at.state];
      return m;
    }
    if (b < 0x80)
      return character(at, b);
    if (b >= 0xC2 && b <= 0xDF)
      return part(at, b & 0x1F, 1);
    if (b >= 0xE0 && b <= 0xEF)
      return part(at, b & 0x0F, 2);
    if (b >= 0xF0 && b <= 0xF4)
      return part(at, b & 0x07, 3);
    return m;
  case TextState::Skip:
    if (b < 0x80 || b > 0xBF)
      return m;
    m.next = at;
    m.goes_on = true;
    if (--m.next.part == 0) {
      m.next.mode = TextState::Chars;
      if (rule.form == TextForm::Raw) {
        m.ended = may_end(m.next);
        m.tag = dfa.tag[m.next.state];
        m.goes_on = may_go_on(m.next);
      }
    }
    return m;
  case TextState::Part: {
    if (b < 0x80 || b > 0xBF)
      return m;
    const uint32_t value = (at.part >> 2) << 6 | (b & 0x3F),
                   left = (at.part & 3) - 1;
    // Only E0 and F0 leave zeros: what is shorter otherwise is none.
    if (at.part >> 2 == 0 && value < (left == 2 ? 0x10u : 0x20u))
      return m;
    if (left)
      return part(at, value, left);
    return value >= 0xD800 && value <= 0xDFFF ? m : character(at, value);
  }
  case TextState::Escape:
    return escape(at, b);
  case TextState::Hex:
  case TextState::LowHex:
    return hex(at, b);
  case TextState::Low1:
    m.goes_on = b == '\\';
    m.next = at;
    m.next.mode = TextState::Low2;
    return m;
  case TextState::Low2:
    m.goes_on = b == 'u';
    m.next = {at.state, TextState::LowHex, at.count, at.part << 12};
    return m;
  }
  return m;
}

TextMove TextStepper::token(const TextState &at, int32_t id) const {
  TextMove m;
  if (rule.form != TextForm::Quote || id != rule.quote || dfa.empty())
    return m;
  if (at.mode == TextState::Open) {
    m.goes_on = true;
    m.next = {at.state, TextState::Chars, at.count, 0};
  } else if ((m.ended = may_end(at))) {
    m.tag = dfa.tag[at.state];
  }
  return m;
}

} // namespace gm::grammar
