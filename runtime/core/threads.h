// The workers: N threads that all run the same function, a barrier between
// them, and a mode for tests that runs them one after another between barriers.
// Knows nothing of models.
#pragma once

#include "runtime/abi.h"
#include "runtime/gemma.h"
#include "runtime/host/signal.h"

#include <atomic>
#include <cstdint>
#include <pthread.h>

namespace gm {

enum { MAX_THREADS = 256, STACK_BYTES = GM_STACK_BYTES };

// Arrival of `count` workers. A worker that passes sees everything the others
// wrote before they arrived.
class Barrier {
public:
  void reset(int n) { count = n; }
  void always_sleep() { passed.always_sleep(); }
  void wait();

private:
  int count = 1;
  std::atomic<uint32_t> arrived{0};
  Signal passed;
};

class Threads {
public:
  using Function = void(void *data, int worker);

  // `stacks` holds workers * STACK_BYTES. `shuffle` != 0: no threads; workers
  // are contexts on this thread and run in random orders (Options::shuffle).
  Status start(int workers, uint8_t *stacks, uint64_t shuffle);
  // Runs function(data, w) on every worker, the caller being worker 0; returns
  // when all have finished. Between calls the workers sleep.
  void run(Function *function, void *data);
  // For functions that run: all workers arrive.
  void barrier(int worker);
  void stop();

private:
  struct Start {
    Threads *threads;
    int worker;
  };
  static void *enter(void *start);
  void work(int worker);
  void run_shuffled();

  int workers = 0;
  int started = 0; // threads besides the caller
  pthread_t thread[MAX_THREADS];
  Start argument[MAX_THREADS];
  Barrier phase, finish;
  Signal job;
  bool stopping = false; // written before `job` changes, read after
  Function *function = nullptr;
  void *data = nullptr;

  uint8_t *stacks = nullptr;
  Random order;
  bool shuffled = false;
  struct Fibers;
  Fibers *fibers = nullptr; // while run_shuffled is active
};

} // namespace gm
