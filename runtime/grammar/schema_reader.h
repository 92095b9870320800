// The parts of schema.cpp: what of a schema holds at one place, as the set of
// all schema objects that apply there, and the nodes made of it.
#pragma once

#include "runtime/grammar/schema.h"

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace gm::grammar {

// A schema and where it stands.
struct Part {
  const Value *schema;
  std::string pointer;
};
using Parts = std::vector<Part>; // all of them hold

class SchemaReader {
public:
  SchemaReader(Grammar &grammar, const Value &root, const SchemaStyle &style)
      : g(grammar), root(root), style(style) {}

  NodeId run(); // see `status`
  Status status;

private:
  // What applies, with $ref and allOf followed; of each group one.
  struct Flat {
    Parts objects;
    std::vector<std::vector<Part>> groups;
    std::set<const Value *> seen;
    bool never = false;
  };
  struct Choices {
    std::vector<NodeId> nodes;
    size_t count = 0;
  };
  static constexpr size_t kMostPlaces = 20000, kMostAlternatives = 1000;
  static constexpr int kMostDepth = 300;

  // Fails with the place's pointer in front.
  void refuse(Code code, const std::string &pointer, const char *what,
              const std::string &word = "");
  bool failed() const { return !status.ok(); }

  NodeId compile(const Parts &parts);
  void flatten(const Part &part, Flat &flat);
  void check_keywords(const Part &part);
  const Value *resolve(const Part &part, const std::string &ref);
  void add_group(const Part &part, const char *keyword, Flat &flat);
  void separate(const Part &part, std::vector<Part> &alternatives);
  bool tells_apart(const std::vector<Part> &alternatives, std::string &name);
  const Value *constant_of(const Part &part, const std::string &name);
  unsigned types_of(const Part &part);
  void choose(const Flat &flat, size_t group, Choices &out);
  NodeId leaf(const Parts &parts);

  NodeId enumerated(const Parts &parts, const std::vector<const Value *> &all);
  NodeId constant(const Value &v);
  NodeId string(const Parts &parts);
  NodeId number(const Parts &parts, bool integer);
  NodeId array(const Parts &parts);
  NodeId object(const Parts &parts);
  NodeId members(const Parts &parts, Object &o,
                 const std::vector<std::string> &names);
  bool is_closed(const Parts &parts, const Object &o);
  Parts value_of(const Parts &parts, const std::string *name,
                 const std::vector<bool> &matched,
                 const std::vector<std::string> &patterns);
  bool text_dfa(const Parts &parts, Dfa &out, bool &any);
  bool pattern_dfa(const Part &part, const std::string &pattern, Dfa &out);
  NodeId listed_text(Dfa d);
  NodeId blank();

  // Reading keywords.
  uint32_t count(const Part &part, const char *keyword, uint32_t otherwise);
  bool decimal(const Part &part, const char *keyword, Decimal &out);
  Part below(const Part &part, const char *keyword);
  bool holds(const Value &v, const Part &part, int depth);
  bool holds_object(const Value &v, const Part &part, int depth);

  Grammar &g;
  const Value &root;
  const SchemaStyle style;
  std::map<std::vector<const Value *>, NodeId> places;
  std::map<std::string, Dfa> patterns; // by their text
  std::map<std::string, uint32_t> text_dfas;
  // What else holds where an alternative is chosen.
  std::map<const Value *, std::vector<const Value *>> extra;
  std::deque<Value> made; // schemas that are not in the text
  int depth = 0;
  NodeId blank_node = 0;
};

inline std::string pointer_token(std::string_view key) {
  std::string out = "/";
  for (char c : key)
    out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

enum Type : unsigned {
  kNull = 1,
  kBool = 2,
  kInteger = 4,
  kFraction = 8,
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAllTypes = 127
};
unsigned type_of(const Value &v);

} // namespace gm::grammar
