// Launches that were recorded once and run as one from then on, by what they
// were recorded for; those used longest ago make room for new ones. Must not
// know what is launched.
#pragma once

#include "runtime/cuda/card.h"

#include <vector>

namespace gm {

class Graphs {
public:
  enum { MOST = 64 };
  using Key = std::vector<uint64_t>;

  Graphs() = default;
  Graphs(const Graphs &) = delete;
  Graphs &operator=(const Graphs &) = delete;
  ~Graphs();

  void start(const Card &on) { card = &on; } // which must outlive this
  // Null: there is none.
  CUgraphExec find(const Key &key);
  // What `stream` gets from here on is recorded and does not run.
  Status begin(CUstream stream) const;
  // What was recorded, null unless `good`. The caller destroys or keeps it.
  Status end(CUstream stream, bool good, CUgraphExec &exec) const;
  void destroy(CUgraphExec exec) const {
    card->driver->cuGraphExecDestroy(exec);
  }
  // Keeps it for `key`, which has none; between steps.
  void keep(const Key &key, CUgraphExec exec);

private:
  struct Graph {
    Key key;
    CUgraphExec exec;
    uint64_t used;
  };
  const Card *card = nullptr;
  std::vector<Graph> graphs;
  uint64_t uses = 0;
};

} // namespace gm
