// The parts of gbnf.cpp: rules as they are read, and the nodes made of them.
#pragma once

#include "runtime/grammar/gbnf.h"

#include <map>
#include <string>
#include <vector>

namespace gm::grammar {

class GbnfReader {
public:
  GbnfReader(Grammar &g, std::string_view text) : g(g), text(text) {}
  Status run(NodeId &node);

private:
  static constexpr uint32_t kMostRepeats = 10000;
  static constexpr int kMostDepth = 200;
  static constexpr size_t kMostRules = 5000, kMostCopied = 20000,
                          kMostFailures = 16;

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
  size_t copied = 0, failures = 0;
  Status status;
  std::vector<Rule> rules;
  std::map<std::string, uint32_t, std::less<>> numbers;
};

} // namespace gm::grammar
