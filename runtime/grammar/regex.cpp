// See regex.h.
#include "runtime/grammar/regex.h"
#include "runtime/app/unicode.h"

#include <algorithm>
#include <vector>

namespace gm::grammar {
namespace {

constexpr uint32_t kMostRepeats = 10000;
constexpr int kMostDepth = 100;

class Parser {
public:
  explicit Parser(std::string_view text) : text(text) {}

  struct Look {
    Expr inside;
    bool negative;
  };
  std::vector<Look> looks; // at the start

  Status run(Expr &out) {
    if (size_t bad = first_bad_utf8(text); bad != text.size())
      return failure(BAD_INPUT, "the pattern is not UTF-8 at offset %zu", bad);
    out = alternatives();
    if (problem.ok() && at < text.size())
      fail(BAD_INPUT, "has a ')' too many");
    if (problem.ok() && !looks.empty() && out.kind == Expr::Alt)
      fail(UNSUPPORTED, "has a look-ahead beside a '|' that is in no group,");
    return problem;
  }

private:
  bool more() const { return problem.ok() && at < text.size(); }
  char peek(size_t n = 0) const {
    return at + n < text.size() ? text[at + n] : '\0';
  }
  bool take(std::string_view what) {
    if (!text.substr(at).starts_with(what))
      return false;
    at += what.size();
    return true;
  }
  void fail(Code code, const char *what) {
    if (problem.ok())
      problem = failure(code, "the pattern %s at offset %zu", what, at);
  }
  uint32_t character() {
    uint32_t code = 0;
    int n = read_char(text.substr(at), code);
    at += n > 0 ? size_t(n) : 1;
    return code;
  }

  Expr alternatives();
  Expr sequence();
  bool atom(Expr &out);
  bool group(Expr &out);
  void look(bool negative);
  Expr counted(Expr item);
  bool number(uint32_t &n);
  uint32_t hex(size_t digits);
  uint32_t escaped(CharSet &set);
  Expr brackets();

  std::string_view text;
  size_t at = 0, look_end = 0;
  int depth = 0;
  Status problem;
};

Expr Parser::alternatives() {
  if (++depth > kMostDepth)
    fail(UNSUPPORTED, "is nested too deep");
  Expr e = {Expr::Alt};
  do
    e.items.push_back(sequence());
  while (more() && take("|"));
  --depth;
  if (e.items.size() == 1)
    return std::move(e.items[0]);
  return e;
}

Expr Parser::sequence() {
  Expr e;
  while (more() && peek() != '|' && peek() != ')') {
    Expr item;
    if (atom(item))
      e.items.push_back(counted(std::move(item)));
  }
  return e;
}

bool Parser::number(uint32_t &n) {
  n = 0;
  const size_t begin = at;
  for (; peek() >= '0' && peek() <= '9'; ++at)
    n = std::min<uint32_t>(n * 10 + uint32_t(peek() - '0'), kMostRepeats + 1);
  return at > begin;
}

Expr Parser::counted(Expr item) {
  while (more()) {
    uint32_t min, max;
    const size_t begin = at;
    if (take("*")) {
      min = 0, max = kNoLimit;
    } else if (take("+")) {
      min = 1, max = kNoLimit;
    } else if (take("?")) {
      min = 0, max = 1;
    } else if (take("{")) {
      bool good = number(min);
      max = min;
      if (good && take(","))
        if (!number(max))
          max = kNoLimit;
      if (!good || !take("}")) {
        at = begin; // a brace that is a character
        return item;
      }
    } else {
      return item;
    }
    take("?"); // as few as possible: the same texts
    if (min > kMostRepeats || (max != kNoLimit && max > kMostRepeats))
      fail(UNSUPPORTED, "repeats more than 10000 times");
    if (min > max)
      fail(BAD_INPUT, "has a repetition whose end is below its begin");
    Expr e = {Expr::Repeat};
    e.min = min, e.max = max;
    e.items.push_back(std::move(item));
    item = std::move(e);
  }
  return item;
}

uint32_t Parser::hex(size_t digits) {
  uint32_t value = 0;
  for (size_t i = 0; i < digits; ++i, ++at) {
    const int d = hex_digit(peek());
    if (d < 0) {
      fail(BAD_INPUT, "has an escape without its hexadecimal digits");
      return 0;
    }
    value = value * 16 + uint32_t(d);
  }
  return value;
}

// What stands behind a backslash: a class into `set`, or one character.
uint32_t Parser::escaped(CharSet &set) {
  if (!more()) {
    fail(BAD_INPUT, "ends in a backslash");
    return 0;
  }
  const uint32_t c = character();
  set = class_escape(c);
  if (!set.empty())
    return 0;
  switch (c) {
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  case 'f':
    return '\f';
  case 'v':
    return '\v';
  case '0':
    return 0;
  case 'c':
    return more() ? character() & 31 : 0;
  case 'x':
    return hex(2);
  case 'u': {
    if (take("{")) {
      uint32_t value = 0;
      while (more() && peek() != '}' && value <= kLastCode)
        value = value * 16 + hex(1);
      if (!take("}") || value > kLastCode)
        fail(BAD_INPUT, "has a bad \\u{...}");
      return std::min(value, kLastCode);
    }
    uint32_t high = hex(4);
    if (high >= 0xD800 && high <= 0xDBFF && take("\\u")) {
      uint32_t low = hex(4);
      if (low >= 0xDC00 && low <= 0xDFFF)
        return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
      fail(BAD_INPUT, "has half a surrogate pair");
    }
    return high;
  }
  case 'b':
  case 'B':
    fail(UNSUPPORTED, "has a word boundary, which is not supported,");
    return 0;
  case 'p':
  case 'P':
    fail(UNSUPPORTED, "has \\p, which is not supported,");
    return 0;
  case 'k':
    fail(UNSUPPORTED, "has a back reference, which is not regular,");
    return 0;
  default:
    if (c >= '1' && c <= '9')
      fail(UNSUPPORTED, "has a back reference, which is not regular,");
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
      fail(BAD_INPUT, "has an unknown escape");
    return c;
  }
}

Expr Parser::brackets() {
  const bool negative = take("^");
  CharSet all;
  while (more() && peek() != ']') {
    CharSet set;
    auto one = [&](bool &single) -> uint32_t {
      uint32_t code;
      if (take("\\b")) {
        code = '\b';
      } else if (take("\\")) {
        code = escaped(set);
      } else {
        code = character();
      }
      single = set.empty();
      return code;
    };
    bool single, end_single;
    uint32_t first = one(single);
    if (!single) {
      all.add(set);
      continue;
    }
    uint32_t last = first;
    if (peek() == '-' && peek(1) != ']' && peek(1)) {
      ++at;
      last = one(end_single);
      if (!end_single) { // "a-\d": three things
        all.add(first, first);
        all.add('-', '-');
        all.add(set);
        continue;
      }
    }
    if (last < first)
      fail(BAD_INPUT, "has a range whose end is below its begin");
    else
      all.add(first, last);
  }
  if (!take("]"))
    fail(BAD_INPUT, "has a '[' without ']'");
  return {Expr::Set, negative ? all.inverse() : all};
}

void Parser::look(bool negative) {
  // In front of it only what is empty: "^" and other look-aheads.
  std::string_view before = text.substr(0, at - 3);
  bool start = looks.empty() ? before == "^" : look_end == at - 3;
  if (!start || depth != 1)
    return fail(UNSUPPORTED,
                "has a look-ahead elsewhere than behind its leading ^");
  Expr inside = alternatives();
  if (!take(")"))
    return fail(BAD_INPUT, "has a '(' without ')'");
  looks.push_back({std::move(inside), negative});
  look_end = at;
}

bool Parser::group(Expr &out) {
  if (take("?=") || take("?!")) {
    look(text[at - 1] == '!');
    return false;
  }
  if (take("?<=") || take("?<!")) {
    fail(UNSUPPORTED, "has a look-behind, which is not supported,");
    return false;
  }
  if (take("?<") || take("?P<")) {
    while (more() && peek() != '>')
      ++at;
    if (!take(">"))
      fail(BAD_INPUT, "has a group's name without '>'");
  } else if (!take("?:") && peek() == '?') {
    fail(UNSUPPORTED, "has a kind of group that is not supported");
    return false;
  }
  out = alternatives();
  if (!take(")"))
    fail(BAD_INPUT, "has a '(' without ')'");
  return true;
}

bool Parser::atom(Expr &out) {
  if (take("^"))
    return out.kind = Expr::Begin, true;
  if (take("$"))
    return out.kind = Expr::End, true;
  if (take("."))
    return out = {Expr::Set,
                  CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}})
                      .inverse()},
           true;
  if (take("["))
    return out = brackets(), true;
  if (take("("))
    return group(out);
  if (take("\\")) {
    CharSet set;
    uint32_t code = escaped(set);
    out = {Expr::Set, set.empty() ? CharSet({{code, code}}) : set};
    return true;
  }
  if (peek() == '*' || peek() == '+' || peek() == '?') {
    fail(BAD_INPUT, "repeats nothing");
    return false;
  }
  const uint32_t code = character();
  out = {Expr::Set, {{code, code}}};
  return true;
}

} // namespace

CharSet class_escape(uint32_t letter) {
  CharSet set;
  switch (letter) {
  case 'd':
  case 'D':
    set = {{'0', '9'}};
    break;
  case 'w':
  case 'W':
    set = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    break;
  case 's':
  case 'S':
    set = {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},
           {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
           {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
           {0xFEFF, 0xFEFF}};
    break;
  default:
    return set;
  }
  return letter < 'a' ? set.inverse() : set;
}

Status regex_dfa(std::string_view pattern, Dfa &out) {
  Parser parser(pattern);
  Expr e;
  if (Status s = parser.run(e); !s.ok())
    return s;
  if (Status s = make_dfa(e, true, out); !s.ok())
    return s;
  for (const Parser::Look &look : parser.looks) {
    // It holds from the start of the text on.
    Expr begins;
    begins.items.push_back({Expr::Begin});
    begins.items.push_back(look.inside);
    Dfa d, both;
    if (Status s = make_dfa(begins, true, d); !s.ok())
      return s;
    if (look.negative) {
      if (Status s = complement(Dfa(d), d); !s.ok())
        return s;
    }
    if (Status s = intersect(out, d, both); !s.ok())
      return s;
    out = std::move(both);
  }
  return {};
}

} // namespace gm::grammar
