// The grammar as the machine runs it: nodes of few kinds over bytes and control
// tokens. Schemas, GBNF and tool calls are all built of these; must not know
// any of them, nor the vocabulary.
#pragma once

#include "runtime/grammar/dfa.h"
#include "runtime/grammar/number.h"
#include "runtime/grammar/text.h"

#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace gm::grammar {

using NodeId = uint32_t;

struct Node {
  enum Kind : uint8_t {
    Literal, // the bytes of `bytes`
    Text,    // `index` of Grammar::texts
    Number,  // `index` of Grammar::numbers
    Token,   // the control token `index`
    Seq,     // `items` one after another
    Choice,  // one of `items`; none: nothing can be written
    Repeat,  // items[0], `min` to `max` times
    Object,  // `index` of Grammar::objects: members and the closing bracket
  } kind = Seq;
  uint32_t index = 0, min = 0, max = 0;
  std::string bytes = {};
  std::vector<NodeId> items = {};
};

// Members of an object, behind its opening bracket. The key's automaton tells
// by its tag which member a name begins: tags below `names` once each, others
// as often as wanted.
struct Object {
  bool ordered = false; // names in ascending order of tags
  NodeId key = 0;       // a Text whose Dfa has these tags
  uint32_t names = 0;
  std::vector<uint64_t> required; // bits of names
  std::vector<NodeId> member;     // per tag: what follows the key
  NodeId close_first = 0, close_next = 0, comma = 0;
  uint32_t min = 0, max = kNoLimit; // members

  // By Grammar::finish. Names that can be written at all; per state of the
  // key's automaton the names, and whether other tags, that can be reached.
  std::vector<uint64_t> usable;
  std::vector<uint64_t> reach;
  std::vector<bool> reach_other;
  uint32_t deepest = 0; // height of a member

  size_t words() const { return required.size(); }
};

class Grammar {
public:
  // Depth of the machine's stack: one array or object inside another takes
  // three or four.
  static constexpr uint32_t kMostDepth = 1024;
  static constexpr uint32_t kNever = UINT32_MAX; // height of what has no text
  static constexpr size_t kMostListed = 256;     // alternatives side by side
  static constexpr size_t kMostNodes = 100000, kMostBytes = 64u << 20,
                          kMostWork = 1u << 27; // steps of making automata

  Grammar() { choice({}); } // node 0: nothing can be written
  NodeId literal(std::string bytes);
  NodeId text(TextRule rule);
  NodeId number(const NumberRule &rule);
  NodeId token(int32_t id);
  NodeId seq(std::vector<NodeId> items);
  NodeId choice(std::vector<NodeId> items);
  NodeId repeat(NodeId item, uint32_t min, uint32_t max);
  NodeId object(Object o);
  // A place for a node that refers to itself; `define` fills it.
  NodeId place();
  void define(NodeId place, NodeId is);
  uint32_t dfa(Dfa d);

  // Names of texts and numbers that are the same get one node, so that they
  // share masks. Fails on what has no text, naming nothing: the caller does.
  Status finish(NodeId root);
  // UNSUPPORTED if the grammar has grown beyond its bounds.
  Status check() const;

  NodeId root = 0;
  std::vector<Node> nodes;
  std::vector<Dfa> dfas;
  std::vector<TextRule> texts;
  std::vector<NumberRule> numbers;
  std::vector<Object> objects;
  std::vector<uint32_t> height; // per node: stack that its shortest text takes

private:
  NodeId add(Node node);
  bool measure(NodeId id);
  uint32_t height_of(const Node &node) const;
  void find_reach(Object &o) const;

  std::map<std::string, NodeId> literals;
  std::map<std::tuple<uint32_t, int, uint32_t, uint32_t, bool>, NodeId>
      text_nodes;
  size_t bytes = 0, work = 0;
};

} // namespace gm::grammar
