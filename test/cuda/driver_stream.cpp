// Streams, events, and graphs that are captured from streams.
#include "test/cuda/driver.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace cuemu {

CUstream_st *streamOf(CUstream handle) {
  if (u64(handle) <= 2) // 0, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD
    return &driver().legacy;
  return known(handle) ? handle : nullptr;
}

/// One line for what went wrong; everything after this fails.
static void stick(const Fault &fault) {
  fprintf(stderr, "cuda emulator: %s\n", fault.what());
  if (settings().abortOnFault)
    abort();
  driver().sticky = CUresult(fault.code);
}

void runNodes(const std::vector<Work> &nodes) {
  std::unique_ptr<GridRun> now, after; // `after` has begun while `now` waits
  try {
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Work &node = nodes[i];
      if (!node.launch) {
        node.other();
        continue;
      }
      now = after ? std::move(after) : std::make_unique<GridRun>(*node.launch);
      if (i + 1 < nodes.size() && nodes[i + 1].launch &&
          nodes[i + 1].launch->early) {
        after = std::make_unique<GridRun>(*nodes[i + 1].launch);
        after->begin();
      }
      now->finish();
    }
  } catch (Fault &fault) {
    stick(fault);
  }
}

CUresult enqueue(CUstream handle, Work work) {
  CUstream_st *s = streamOf(handle);
  if (!s)
    return CUDA_ERROR_INVALID_HANDLE;
  if (s->invalidated)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (s->capture) {
    s->capture->nodes.push_back(std::move(work));
    return CUDA_SUCCESS;
  }
  std::vector<Work> one;
  one.push_back(std::move(work));
  runNodes(one);
  return CUDA_SUCCESS; // as a card, which fails later
}

CUresult refuseInCapture() {
  for (CUstream_st *s : driver().capturing)
    if (!s->relaxed) {
      s->invalidated = true;
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
  return CUDA_SUCCESS;
}

} // namespace cuemu

using namespace cuemu;

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  return inContext([&]() -> CUresult {
    if (!stream || flags > CU_STREAM_NON_BLOCKING)
      return CUDA_ERROR_INVALID_VALUE;
    made(*stream = new CUstream_st);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  return inContext([&]() -> CUresult {
    if (!known(stream))
      return CUDA_ERROR_INVALID_HANDLE;
    driver().capturing.erase(stream);
    gone(stream);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamSynchronize(CUstream handle) {
  return inContext([&]() -> CUresult {
    CUstream_st *s = streamOf(handle);
    if (!s)
      return CUDA_ERROR_INVALID_HANDLE;
    if (!s->capture)
      return CUDA_SUCCESS;
    s->invalidated = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  });
}

CUresult cuStreamQuery(CUstream handle) { return cuStreamSynchronize(handle); }

CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned flags) {
  return inContext([&]() -> CUresult {
    CUstream_st *s = streamOf(handle);
    if (!s || !known(event))
      return CUDA_ERROR_INVALID_HANDLE;
    if (flags)
      return CUDA_ERROR_INVALID_VALUE;
    return s->capture ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
  });
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  return inContext([&]() -> CUresult {
    if (!event || flags > 7)
      return CUDA_ERROR_INVALID_VALUE;
    made(*event = new CUevent_st);
    (*event)->timed = !(flags & CU_EVENT_DISABLE_TIMING);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream,
                                unsigned flags) {
  return inContext([&]() -> CUresult {
    CUstream_st *s = streamOf(stream);
    if (!known(event) || !s)
      return CUDA_ERROR_INVALID_HANDLE;
    const bool external = flags == CU_EVENT_RECORD_EXTERNAL;
    if (flags > CU_EVENT_RECORD_EXTERNAL || (external && !s->capture))
      return CUDA_ERROR_INVALID_VALUE;
    // A capture that records an event orders its own work by it; times come of
    // external ones alone.
    const bool timed = !s->capture || external;
    return enqueue(stream, {std::nullopt, [event, timed] {
                              event->recorded = timed;
                              event->at = std::chrono::steady_clock::now();
                            }});
  });
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  return cuEventRecordWithFlags(event, stream, 0);
}

CUresult cuEventSynchronize(CUevent event) {
  return inContext(
      [&] { return known(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

CUresult cuEventQuery(CUevent event) { return cuEventSynchronize(event); }

CUresult cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
  return inContext([&]() -> CUresult {
    if (!milliseconds)
      return CUDA_ERROR_INVALID_VALUE;
    for (CUevent e : {from, to})
      if (!known(e) || !e->timed || !e->recorded)
        return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds =
        std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy_v2(CUevent event) {
  return inContext([&]() -> CUresult {
    if (!known(event))
      return CUDA_ERROR_INVALID_HANDLE;
    gone(event);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  return inContext([&]() -> CUresult {
    if (mode < 0 || mode > 2)
      return CUDA_ERROR_INVALID_VALUE;
    CUstream_st *s = streamOf(stream);
    if (!s)
      return CUDA_ERROR_INVALID_HANDLE;
    if (s == &driver().legacy)
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (s->capture)
      return CUDA_ERROR_INVALID_VALUE;
    s->capture = std::make_unique<CUgraph_st>();
    s->relaxed = mode == 2;
    driver().capturing.insert(s);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  return inContext([&]() -> CUresult {
    CUstream_st *s = streamOf(stream);
    if (!s)
      return CUDA_ERROR_INVALID_HANDLE;
    if (!graph)
      return CUDA_ERROR_INVALID_VALUE;
    if (!s->capture)
      return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    driver().capturing.erase(s);
    auto captured = std::move(s->capture);
    *graph = nullptr;
    if (std::exchange(s->invalidated, false))
      return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    made(*graph = captured.release());
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamIsCapturing(CUstream stream, int *status) {
  return inContext([&]() -> CUresult {
    CUstream_st *s = streamOf(stream);
    if (!s)
      return CUDA_ERROR_INVALID_HANDLE;
    *status = !s->capture ? 0 : s->invalidated ? 2 : 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph,
                                     unsigned long long flags) {
  return inContext([&]() -> CUresult {
    if (!exec || flags > 15)
      return CUDA_ERROR_INVALID_VALUE;
    if (!known(graph))
      return CUDA_ERROR_INVALID_HANDLE;
    made(*exec = new CUgraphExec_st{graph->nodes});
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  return inContext([&]() -> CUresult {
    CUstream_st *s = streamOf(stream);
    if (!known(exec) || !s)
      return CUDA_ERROR_INVALID_HANDLE;
    if (s->capture)
      return CUDA_ERROR_NOT_SUPPORTED; // child graphs
    runNodes(exec->nodes);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count) {
  return inContext([&]() -> CUresult {
    if (!known(graph))
      return CUDA_ERROR_INVALID_HANDLE;
    if (!count || nodes)
      return CUDA_ERROR_INVALID_VALUE; // only counted here
    *count = graph->nodes.size();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecDestroy(CUgraphExec exec) {
  return inContext([&]() -> CUresult {
    if (!known(exec))
      return CUDA_ERROR_INVALID_HANDLE;
    gone(exec);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphDestroy(CUgraph graph) {
  return inContext([&]() -> CUresult {
    if (!known(graph))
      return CUDA_ERROR_INVALID_HANDLE;
    gone(graph);
    return CUDA_SUCCESS;
  });
}
