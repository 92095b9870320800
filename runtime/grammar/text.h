// How a text is written, byte by byte: a JSON string with its escapes, a string
// between control tokens, a bare key, or as it is; and what it may say, by an
// automaton over its code points and a count of them. A text that has begun can
// always be ended.
#pragma once

#include "runtime/grammar/dfa.h"

#include <cstdint>
#include <vector>

namespace gm::grammar {

enum class TextForm : uint8_t {
  Json,  // "...", with escapes
  Quote, // control token, characters, control token
  Bare,  // characters and the colon behind them
  Raw,   // characters; ends where it may
};

struct TextRule {
  uint32_t dfa = 0; // of Grammar::dfas
  TextForm form = TextForm::Json;
  uint32_t min = 0, max = kNoLimit; // code points
  int32_t quote = -1;               // Quote: the token
  uint32_t object = 0;              // of a key: its node; 0: none
  // Json: characters that may be written as they are have no other spelling.
  bool shortest = false;
  // By prepare(): the automaton is one state that may always end or go on.
  bool plain = false;
  // Else, if lengths matter: per state a bit for each number of code points
  // that a text may end after; `span` bits, the last: so many and more.
  uint32_t span = 0;
  std::vector<uint64_t> ends;

  Status prepare(const Dfa &d);
  bool fits(uint16_t state, uint32_t count) const;
};

// Which names a key may still be: bits, and whether other tags may be.
struct KeyFilter {
  const uint64_t *allowed = nullptr;
  size_t words = 0;
  bool other = false;
  uint32_t names = 0;
  const uint64_t *reach = nullptr; // Object::reach
  const std::vector<bool> *reach_other = nullptr;

  bool lives(uint16_t state) const;
  bool ends(int32_t tag) const;
};

// Where a text stands, packed into 64 bits.
struct TextState {
  enum Mode : uint8_t {
    Open,  // in front of the opening quote
    Chars, // between characters
    Skip,  // `part` more bytes of a character that is already counted
    Part,  // of a character: part = value << 2 | bytes that follow
    Escape,
    Hex,    // part = digits << 16 | value
    Low1,   // part = high surrogate's ten bits: expects a backslash
    Low2,   // ... expects u
    LowHex, // part = digits << 22 | ten bits << 12 | value
  };
  uint16_t state = 0;
  Mode mode = Open;
  uint32_t count = 0; // code points; 20 bits
  uint32_t part = 0;  // 24 bits

  uint64_t pack() const {
    return uint64_t(state) | uint64_t(mode) << 16 | uint64_t(count) << 20 |
           uint64_t(part) << 40;
  }
  static TextState unpack(uint64_t data) {
    return {uint16_t(data), Mode(data >> 16 & 15),
            uint32_t(data >> 20 & 0xFFFFF), uint32_t(data >> 40)};
  }
};

inline constexpr uint32_t kMostLength = 0xFFFFF - 1;

struct TextMove {
  bool goes_on = false, ended = false;
  TextState next;
  int32_t tag = -1; // if it ended
};

class TextStepper {
public:
  TextStepper(const TextRule &rule, const Dfa &dfa, const KeyFilter *keys)
      : rule(rule), dfa(dfa), keys(keys) {}

  TextState begin() const;
  // Raw: whether the text may end at once.
  bool may_end(const TextState &at) const;
  // Whether any character can come.
  bool may_go_on(const TextState &at) const;
  TextMove byte(const TextState &at, uint8_t b) const;
  TextMove token(const TextState &at, int32_t id) const;

private:
  bool lives(uint16_t state, uint32_t count) const;
  // Of \u and four digits.
  uint32_t last_hex() const { return rule.shortest ? 0x1F : kLastCode; }
  bool any_in(const TextState &at, uint32_t first, uint32_t last) const;
  TextMove character(const TextState &at, uint32_t code) const;
  TextMove part(TextState at, uint32_t value, uint32_t left) const;
  TextMove hex(TextState at, uint8_t b) const;
  TextMove escape(TextState at, uint8_t b) const;
  uint32_t more(uint32_t count) const;

  const TextRule &rule;
  const Dfa &dfa;
  const KeyFilter *keys;
};

} // namespace gm::grammar
