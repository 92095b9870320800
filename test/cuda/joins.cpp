// Where lanes that a branch separates come together again: the immediate
// postdominator of the branch's block (Cooper, Harvey and Kennedy's iteration
// on the reversed graph). Nearest program counter first would be wrong: LLVM
// puts latches of loops before their headers.
#include "test/cuda/decoder.h"

#include <algorithm>

namespace cuemu {

namespace {

/// Blocks 0.. in order of code, and one more where all exits lead.
struct Graph {
  std::vector<int> first;                   // instruction of a block
  std::vector<std::vector<int>> next, prev; // blocks
  int exit() const { return int(first.size()); }
};

Graph blocks(const std::vector<Instruction> &code, int begin, int end) {
  std::set<int> leaders{begin};
  auto ends = [&](int i) {
    Flow flow = code[size_t(i)].flow;
    return flow == Flow::Branch || flow == Flow::Exit || flow == Flow::Return;
  };
  for (int i = begin; i < end; ++i) {
    if (code[size_t(i)].flow == Flow::Branch)
      leaders.insert(code[size_t(i)].target);
    if (ends(i) && i + 1 < end)
      leaders.insert(i + 1);
  }
  Graph g;
  g.first.assign(leaders.begin(), leaders.end());
  g.next.resize(g.first.size() + 1);
  g.prev.resize(g.first.size() + 1);
  auto blockOf = [&](int i) {
    return int(std::lower_bound(g.first.begin(), g.first.end(), i) -
               g.first.begin());
  };
  for (int b = 0; b < g.exit(); ++b) {
    int last = (b + 1 < g.exit() ? g.first[size_t(b + 1)] : end) - 1;
    const Instruction &in = code[size_t(last)];
    auto edge = [&](int to) {
      g.next[size_t(b)].push_back(to);
      g.prev[size_t(to)].push_back(b);
    };
    if (in.flow == Flow::Branch)
      edge(blockOf(in.target));
    else if (ends(last))
      edge(g.exit());
    if (!ends(last) || in.predicate >= 0)
      edge(b + 1);
  }
  return g;
}

/// Of every block its immediate postdominator, -1 for blocks without a way
/// out.
std::vector<int> postdominators(const Graph &g) {
  size_t n = g.next.size();
  std::vector<int> number(n, -1), order, idom(n, -1);
  std::vector<bool> seen(n);
  std::vector<std::pair<int, size_t>> stack{{g.exit(), 0}};
  seen[size_t(g.exit())] = true;
  while (!stack.empty()) { // postorder of the reversed graph
    auto &[b, at] = stack.back();
    if (at < g.prev[size_t(b)].size()) {
      int p = g.prev[size_t(b)][at++];
      if (!seen[size_t(p)]) {
        seen[size_t(p)] = true;
        stack.push_back({p, 0});
      }
    } else {
      number[size_t(b)] = int(order.size());
      order.push_back(b);
      stack.pop_back();
    }
  }
  idom[size_t(g.exit())] = g.exit();
  auto meet = [&](int a, int b) {
    while (a != b) {
      while (number[size_t(a)] < number[size_t(b)])
        a = idom[size_t(a)];
      while (number[size_t(b)] < number[size_t(a)])
        b = idom[size_t(b)];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = order.size() - 1; i-- > 0;) {
      int b = order[i], best = -1;
      for (int to : g.next[size_t(b)])
        if (idom[size_t(to)] >= 0)
          best = best < 0 ? to : meet(best, to);
      changed |= best != idom[size_t(b)];
      idom[size_t(b)] = best;
    }
  }
  return idom;
}

} // namespace

void findJoins(std::vector<Instruction> &code, int begin, int end) {
  Graph g = blocks(code, begin, end);
  std::vector<int> idom = postdominators(g);
  int block = 0;
  for (int i = begin; i < end; ++i) {
    while (block + 1 < g.exit() && g.first[size_t(block + 1)] <= i)
      ++block;
    Instruction &in = code[size_t(i)];
    if (in.flow != Flow::Branch)
      continue;
    int to = idom[size_t(block)];
    in.join = to < 0 || to == g.exit() ? -1 : g.first[size_t(to)];
  }
}

} // namespace cuemu
