// See gbnf.h: how rules are read.
#include "runtime/app/unicode.h"
#include "runtime/grammar/gbnf_reader.h"

#include <algorithm>

namespace gm::grammar {

void GbnfReader::blanks(bool newlines) {
  for (;; ++at) {
    if (peek() == '#')
      while (at < text.size() && peek() != '\n')
        ++at;
    if (at >= text.size())
      return;
    const char c = peek();
    if (c == '\n' && newlines)
      ++line;
    else if (c != ' ' && c != '\t' && c != '\r')
      return;
  }
}

std::string GbnfReader::name() {
  const size_t begin = at;
  auto part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  while (part(peek()))
    ++at;
  return std::string(text.substr(begin, at - begin));
}

uint32_t GbnfReader::rule(const std::string &name) {
  auto [entry, fresh] = numbers.try_emplace(name, uint32_t(rules.size()));
  if (fresh) {
    rules.emplace_back().name = name;
    if (rules.size() > kMostRules)
      fail("more than 5000 rules", UNSUPPORTED);
  }
  return entry->second;
}

uint32_t GbnfReader::character() {
  uint32_t code = 0;
  if (take("\\")) {
    const char c = peek();
    ++at;
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    for (size_t i = 0; i < digits; ++i, ++at) {
      const int value = hex_digit(peek());
      if (value < 0) {
        fail("an escape without its hexadecimal digits");
        return 0;
      }
      code = code * 16 + uint32_t(value);
    }
    if (digits) {
      if (code > kLastCode)
        fail("an escape above U+10FFFF");
      return std::min(code, kLastCode);
    }
    switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case '"':
    case '\\':
    case '[':
    case ']':
    case '-':
    case '^':
      return uint32_t(c);
    default:
      fail("an unknown escape");
      return 0;
    }
  }
  const int n = read_char(text.substr(at), code);
  if (n <= 0) {
    fail("text that is not UTF-8");
    return 0;
  }
  at += size_t(n);
  if (code == '\n')
    ++line;
  return code;
}

bool GbnfReader::number(uint32_t &n) {
  n = 0;
  const size_t begin = at;
  for (; peek() >= '0' && peek() <= '9'; ++at)
    n = std::min(n * 10 + uint32_t(peek() - '0'), kMostRepeats + 1);
  return at > begin;
}

Expr GbnfReader::repeated(Expr e) {
  for (;;) {
    uint32_t min = 0, max = kNoLimit;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (take("{")) {
      blanks(true);
      if (!number(min))
        fail("a repetition expects {N}, {N,} or {N,M}");
      blanks(true);
      max = min;
      if (take(",")) {
        blanks(true);
        if (!number(max))
          max = kNoLimit;
        blanks(true);
      }
      if (!take("}"))
        fail("a repetition expects {N}, {N,} or {N,M}");
      if (min > kMostRepeats || (max != kNoLimit && max > kMostRepeats))
        fail("a repetition of more than 10000", UNSUPPORTED);
      if (min > max)
        fail("a repetition whose end is below its begin");
    } else {
      return e;
    }
    Expr all = {Expr::Repeat};
    all.min = min, all.max = max;
    all.items.push_back(std::move(e));
    e = std::move(all);
    if (failed() || ++depth > kMostDepth) {
      fail("repetitions of repetitions", UNSUPPORTED);
      return e;
    }
    --depth;
  }
}

bool GbnfReader::item(bool nested, Expr &out) {
  const char c = peek();
  if (take("\"")) {
    while (!failed() && at < text.size() && peek() != '"') {
      const uint32_t code = character();
      out.items.push_back({Expr::Set, {{code, code}}});
    }
    if (!take("\""))
      fail("a text without its closing quote");
  } else if (take("[")) {
    const bool negative = take("^");
    CharSet set;
    while (!failed() && at < text.size() && peek() != ']') {
      const uint32_t first = character();
      uint32_t last = first;
      if (peek() == '-' && peek(1) != ']') {
        ++at;
        last = character();
      }
      if (last < first)
        fail("a range whose end is below its begin");
      else
        set.add(first, last);
    }
    if (!take("]"))
      fail("a '[' without ']'");
    out = {Expr::Set, negative ? set.inverse() : set};
  } else if (take(".")) {
    out = {Expr::Set, {{0, kLastCode}}};
  } else if (take("(")) {
    blanks(true);
    out = alternatives(true);
    if (!take(")"))
      fail("a '(' without ')'");
  } else if (std::string word = name(); !word.empty()) {
    out.kind = Expr::Rule;
    out.rule = rule(word);
  } else {
    if (c == '<' || c == '!')
      fail("tokens in a grammar are not supported", UNSUPPORTED);
    else if (c == '*' || c == '+' || c == '?' || c == '{')
      fail("a repetition of nothing");
    return false;
  }
  blanks(nested);
  out = repeated(std::move(out));
  blanks(nested);
  return !failed();
}

Expr GbnfReader::sequence(bool nested) {
  Expr e;
  Expr one;
  while (!failed() && item(nested, one)) {
    e.items.push_back(std::move(one));
    one = {};
  }
  return e.items.size() == 1 ? std::move(e.items[0]) : e;
}

Expr GbnfReader::alternatives(bool nested) {
  if (++depth > kMostDepth)
    fail("nested more than 200 deep", UNSUPPORTED);
  Expr e = {Expr::Alt};
  do {
    blanks(true);
    e.items.push_back(sequence(nested));
    // The next line may go on with "|".
    const size_t end = at, end_line = line;
    blanks(true);
    if (peek() != '|' && !nested)
      at = end, line = end_line;
  } while (!failed() && take("|"));
  --depth;
  return e.items.size() == 1 ? std::move(e.items[0]) : e;
}

void GbnfReader::definition() {
  const std::string word = name();
  if (word.empty())
    return fail("expects the name of a rule");
  const uint32_t index = rule(word);
  blanks(false);
  if (!take("::="))
    return fail("expects '::=' behind '" + word + "'");
  if (rules[index].line)
    return fail("the rule '" + word + "' is defined again");
  rules[index].line = line;
  blanks(true);
  Expr body = alternatives(false);
  blanks(false);
  if (!failed() && at < text.size() && peek() != '\n')
    fail("expects the end of the rule '" + word + "'");
  rules[index].body = std::move(body);
}

Status GbnfReader::run(NodeId &node) {
  if (size_t bad = first_bad_utf8(text); bad != text.size())
    return failure(BAD_INPUT, "the grammar is not UTF-8 at offset %zu", bad);
  for (blanks(true); !failed() && at < text.size(); blanks(true))
    definition();
  if (failed())
    return status;
  auto root = numbers.find("root");
  for (const Rule &r : rules)
    if (!r.line)
      return failure(BAD_INPUT, "the grammar: the rule '%.100s' is not defined",
                     r.name.c_str());
  if (root == numbers.end())
    return failure(BAD_INPUT, "the grammar: there is no rule 'root'");
  find_nullable();
  check_left();
  if (failed())
    return status;
  find_recurring();
  Expr start = {Expr::Rule};
  start.rule = root->second;
  node = build(start, 0);
  return status;
}

Status add_gbnf(Grammar &grammar, std::string_view text, NodeId &node) {
  return GbnfReader(grammar, text).run(node);
}

} // namespace gm::grammar
