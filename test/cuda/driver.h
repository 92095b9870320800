// What the driver's calls share: handles, the sticky error, work of streams.
// Must not know how kernels run.
//
// Work runs when it is enqueued, in the caller's thread: whoever spins on
// mapped memory after a launch finds it written. Within a graph, kernels that
// may start early (PDL) do.
#pragma once

#include "runtime/cuda/driver_api.h"
#include "test/cuda/grid.h"
#include "test/cuda/settings.h"

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <set>

struct CUctx_st {
  int retained = 0;
};

struct CUmod_st {
  std::unique_ptr<cuemu::Ptx> ptx;
  std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};

struct CUfunc_st {
  std::unique_ptr<cuemu::Kernel> kernel;
};

namespace cuemu {

/// A launch, or anything else that a stream does.
struct Work {
  std::optional<Launch> launch;
  std::function<void()> other;
};

} // namespace cuemu

struct CUgraph_st {
  std::vector<cuemu::Work> nodes;
};
struct CUgraphExec_st {
  std::vector<cuemu::Work> nodes;
};
struct CUstream_st {
  std::unique_ptr<CUgraph_st> capture;
  bool invalidated = false;
  bool relaxed =
      false; // cuStreamBeginCapture with CU_STREAM_CAPTURE_MODE_RELAXED
};
struct CUevent_st {
  bool timed = true, recorded = false;
  std::chrono::steady_clock::time_point at;
};

namespace cuemu {

struct Driver {
  std::recursive_mutex lock;
  bool initialised = false;
  CUctx_st context;
  CUresult sticky = CUDA_SUCCESS;
  CUstream_st legacy;          // stream 0
  std::set<const void *> live; // handles
  std::set<CUstream_st *> capturing;
};
Driver &driver();
extern thread_local CUcontext current;

/// BODY under the lock, unless there is no context or an error before; a Fault
/// in it is returned.
CUresult inContext(const std::function<CUresult()> &body);

template <class H>
bool known(H *handle) {
  return driver().live.count(handle) != 0;
}
template <class H>
void made(H *handle) {
  driver().live.insert(handle);
}
template <class H>
void gone(H *handle) {
  driver().live.erase(handle);
  delete handle;
}

/// The stream behind a handle, null if it is none.
CUstream_st *streamOf(CUstream handle);
/// Runs WORK or adds it to the graph that STREAM captures.
CUresult enqueue(CUstream stream, Work work);
/// Runs all; a Fault of a kernel sticks.
void runNodes(const std::vector<Work> &nodes);
/// A call that may not happen while a stream captures.
CUresult refuseInCapture();

/// Limits of the emulated architecture.
struct Limits {
  u32 sharedOptIn, sharedPerSm, threadsPerSm, blocksPerSm;
};
Limits limits();
int blocksPerSm(const Kernel &k, u32 threads, u64 dynamicShared);
int registersOf(const Kernel &k);

} // namespace cuemu
