// See graphs.h.
#include "runtime/cuda/graphs.h"

#include <algorithm>
#include <utility>

namespace gm {

namespace {
enum { CAPTURE_OF_THIS_THREAD = 1 };
}

Graphs::~Graphs() {
  for (const Graph &graph : graphs)
    destroy(graph.exec);
}

CUgraphExec Graphs::find(const Key &key) {
  for (Graph &graph : graphs)
    if (graph.key == key) {
      graph.used = ++uses;
      return graph.exec;
    }
  return nullptr;
}

Status Graphs::begin(CUstream stream) const {
  return card->check(
      card->driver->cuStreamBeginCapture_v2(stream, CAPTURE_OF_THIS_THREAD),
      "record the kernels of a step");
}

Status Graphs::end(CUstream stream, bool good, CUgraphExec &exec) const {
  const Driver &driver = *card->driver;
  CUgraph graph = nullptr;
  CUresult error = driver.cuStreamEndCapture(stream, &graph);
  exec = nullptr;
  if (!error && good)
    error = driver.cuGraphInstantiateWithFlags(&exec, graph, 0);
  if (graph)
    driver.cuGraphDestroy(graph);
  return card->check(error, "record the kernels of a step");
}

void Graphs::keep(const Key &key, CUgraphExec exec) {
  if (graphs.size() == MOST) {
    auto oldest = std::min_element(
        graphs.begin(), graphs.end(),
        [](const Graph &a, const Graph &b) { return a.used < b.used; });
    destroy(oldest->exec);
    std::swap(*oldest, graphs.back());
    graphs.pop_back();
  }
  graphs.push_back({key, exec, ++uses});
}

} // namespace gm
