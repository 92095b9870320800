// See gbnf.h. What is regular becomes one automaton, so that its masks do not
// depend on what stands around it; only rules that recur stay rules.
#include "runtime/grammar/gbnf.h"
#include "runtime/app/unicode.h"

#include <algorithm>
#include <map>

namespace gm::grammar {
namespace {

constexpr uint32_t kMostRepeats = 10000;
constexpr int kMostDepth = 200;
constexpr size_t kMostRules = 5000, kMostCopied = 20000;

class Reader {
public:
  Reader(Grammar &g, std::string_view text) : g(g), text(text) {}
  Status run(NodeId &node);

private:
  struct Rule {
    std::string name;
    size_t line = 0; // 0: not defined
    Expr body;
    bool recurs = false, nullable = false, done = false;
    NodeId node = 0;
  };

  // Reading.
  bool failed() const { return !status.ok(); }
  void fail(const std::string &what, Code code = BAD_INPUT) {
    if (!failed())
      status =
          failure(code, "the grammar, line %zu: %.300s", line, what.c_str());
  }
  char peek(size_t n = 0) const {
    return at + n < text.size() ? text[at + n] : '\0';
  }
  bool take(std::string_view what) {
    if (!text.substr(at).starts_with(what))
      return false;
    at += what.size();
    return true;
  }
  void blanks(bool newlines);
  std::string name();
  uint32_t rule(const std::string &name);
  void definition();
  Expr alternatives(bool nested);
  Expr sequence(bool nested);
  bool item(bool nested, Expr &out);
  Expr repeated(Expr e);
  bool number(uint32_t &n);
  uint32_t character();

  // Checking and building.
  bool nullable(const Expr &e) const;
  void find_nullable();
  void check_left();
  void left(const Expr &e, std::vector<uint32_t> &out, bool &goes_on) const;
  void find_recurring();
  void called(const Expr &e, std::vector<uint32_t> &out) const;
  bool regular(const Expr &e) const;
  Expr inlined(const Expr &e, int depth);
  NodeId build(const Expr &e, int depth);
  NodeId automaton(const Expr &e);

  Grammar &g;
  std::string_view text;
  size_t at = 0, line = 1;
  int depth = 0;
  size_t copied = 0;
  Status status;
  std::vector<Rule> rules;
  std::map<std::string, uint32_t, std::less<>> numbers;
};

void Reader::blanks(bool newlines) {
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

std::string Reader::name() {
  const size_t begin = at;
  auto part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  while (part(peek()))
    ++at;
  return std::string(text.substr(begin, at - begin));
}

uint32_t Reader::rule(const std::string &name) {
  auto [entry, fresh] = numbers.try_emplace(name, uint32_t(rules.size()));
  if (fresh) {
    rules.emplace_back().name = name;
    if (rules.size() > kMostRules)
      fail("more than 5000 rules", UNSUPPORTED);
  }
  return entry->second;
}

uint32_t Reader::character() {
  uint32_t code = 0;
  if (take("\\")) {
    const char c = peek();
    ++at;
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    for (size_t i = 0; i < digits; ++i, ++at) {
      const char d = peek();
      const int value = d >= '0' && d <= '9'   ? d - '0'
                        : d >= 'a' && d <= 'f' ? d - 'a' + 10
                        : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                               : -1;
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

bool Reader::number(uint32_t &n) {
  n = 0;
  const size_t begin = at;
  for (; peek() >= '0' && peek() <= '9'; ++at)
    n = std::min(n * 10 + uint32_t(peek() - '0'), kMostRepeats + 1);
  return at > begin;
}

Expr Reader::repeated(Expr e) {
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

bool Reader::item(bool nested, Expr &out) {
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

Expr Reader::sequence(bool nested) {
  Expr e;
  Expr one;
  while (!failed() && item(nested, one)) {
    e.items.push_back(std::move(one));
    one = {};
  }
  return e.items.size() == 1 ? std::move(e.items[0]) : e;
}

Expr Reader::alternatives(bool nested) {
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

void Reader::definition() {
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

bool Reader::nullable(const Expr &e) const {
  auto yes = [&](const Expr &item) { return nullable(item); };
  switch (e.kind) {
  case Expr::Cat:
    return std::all_of(e.items.begin(), e.items.end(), yes);
  case Expr::Alt:
    return std::any_of(e.items.begin(), e.items.end(), yes);
  case Expr::Repeat:
    return e.min == 0 || nullable(e.items[0]);
  case Expr::Rule:
    return rules[e.rule].nullable;
  default:
    return false;
  }
}

void Reader::find_nullable() {
  for (bool changed = true; changed;) {
    changed = false;
    for (Rule &r : rules)
      if (!r.nullable && nullable(r.body))
        r.nullable = changed = true;
  }
}

// Rules that a text of `e` may begin with; `goes_on`: it may be empty.
void Reader::left(const Expr &e, std::vector<uint32_t> &out,
                  bool &goes_on) const {
  goes_on = nullable(e);
  if (e.kind == Expr::Rule)
    out.push_back(e.rule);
  for (const Expr &item : e.items) {
    bool empty;
    left(item, out, empty);
    if (e.kind == Expr::Cat && !empty)
      break;
  }
}

void Reader::check_left() {
  std::vector<std::vector<uint32_t>> edges(rules.size());
  for (size_t r = 0; r < rules.size(); ++r) {
    bool ignored;
    left(rules[r].body, edges[r], ignored);
    std::sort(edges[r].begin(), edges[r].end());
    edges[r].erase(std::unique(edges[r].begin(), edges[r].end()),
                   edges[r].end());
  }
  enum { New, Open, Closed };
  std::vector<int> mark(rules.size(), New);
  for (uint32_t start = 0; start < rules.size(); ++start) {
    std::vector<std::pair<uint32_t, size_t>> path;
    if (mark[start] == New)
      path.push_back({start, 0}), mark[start] = Open;
    while (!path.empty()) {
      auto &[r, next] = path.back();
      if (next == edges[r].size()) {
        mark[r] = Closed;
        path.pop_back();
        continue;
      }
      const uint32_t to = edges[r][next++];
      if (mark[to] == Open) {
        line = rules[to].line;
        return fail("the rule '" + rules[to].name +
                        "' begins with itself: left recursion is not "
                        "supported, write what repeats with '*'",
                    UNSUPPORTED);
      }
      if (mark[to] == New)
        path.push_back({to, 0}), mark[to] = Open;
    }
  }
}

void Reader::called(const Expr &e, std::vector<uint32_t> &out) const {
  if (e.kind == Expr::Rule)
    out.push_back(e.rule);
  for (const Expr &item : e.items)
    called(item, out);
}

// A rule recurs if it, or one that it calls, can call itself.
void Reader::find_recurring() {
  std::vector<std::vector<uint32_t>> calls(rules.size());
  for (size_t r = 0; r < rules.size(); ++r)
    called(rules[r].body, calls[r]);
  // Those whose calls all end are found from the leaves up.
  for (Rule &r : rules)
    r.recurs = true;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t r = 0; r < rules.size(); ++r)
      if (rules[r].recurs &&
          std::none_of(calls[r].begin(), calls[r].end(),
                       [&](uint32_t to) { return rules[to].recurs; })) {
        rules[r].recurs = false;
        changed = true;
      }
  }
}

bool Reader::regular(const Expr &e) const {
  std::vector<uint32_t> all;
  called(e, all);
  return std::none_of(all.begin(), all.end(),
                      [&](uint32_t r) { return rules[r].recurs; });
}

// `e` with rules replaced by what they say.
Expr Reader::inlined(const Expr &e, int level) {
  if (++copied > kMostCopied || level > kMostDepth)
    return e;
  if (e.kind == Expr::Rule)
    return inlined(rules[e.rule].body, level + 1);
  Expr out = {e.kind, e.set, {}, e.min, e.max, 0};
  for (const Expr &item : e.items)
    out.items.push_back(inlined(item, level + 1));
  return out;
}

// 0: it would be too large.
NodeId Reader::automaton(const Expr &e) {
  copied = 0;
  const Expr whole = inlined(e, 0);
  std::vector<uint32_t> left;
  called(whole, left);
  Dfa d;
  if (copied > kMostCopied || !left.empty() || !make_dfa(whole, false, d).ok())
    return 0;
  TextRule rule;
  rule.form = TextForm::Raw;
  rule.dfa = g.dfa(std::move(d));
  return g.text(rule);
}

NodeId Reader::build(const Expr &e, int level) {
  if (Status s = g.check(); !s.ok() && !failed())
    status = s;
  if (level > 2 * kMostDepth)
    fail("nested too deep", UNSUPPORTED);
  if (failed())
    return 0;
  if (e.kind != Expr::Rule && regular(e))
    if (NodeId node = automaton(e))
      return node;
  switch (e.kind) {
  case Expr::Rule: {
    Rule &r = rules[e.rule];
    if (r.done)
      return r.node;
    r.done = true;
    const NodeId place = r.node = g.place();
    g.define(place, build(r.body, level + 1));
    return place;
  }
  case Expr::Cat:
  case Expr::Alt: {
    // Regular neighbours together.
    std::vector<NodeId> nodes;
    for (size_t i = 0; i < e.items.size();) {
      Expr run = {e.kind};
      while (i < e.items.size() && regular(e.items[i]))
        run.items.push_back(e.items[i++]);
      NodeId node = 0;
      if (!run.items.empty() && run.items.size() < e.items.size())
        node = automaton(run);
      if (node) {
        nodes.push_back(node);
        continue;
      }
      for (const Expr &item : run.items)
        nodes.push_back(build(item, level + 1));
      if (i < e.items.size())
        nodes.push_back(build(e.items[i++], level + 1));
    }
    return e.kind == Expr::Cat ? g.seq(nodes) : g.choice(nodes);
  }
  case Expr::Repeat:
    return g.repeat(build(e.items[0], level + 1), e.min, e.max);
  default:
    if (NodeId node = automaton(e))
      return node;
    fail("too large", UNSUPPORTED);
    return 0;
  }
}

Status Reader::run(NodeId &node) {
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

} // namespace

Status add_gbnf(Grammar &grammar, std::string_view text, NodeId &node) {
  return Reader(grammar, text).run(node);
}

} // namespace gm::grammar
