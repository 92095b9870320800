// Threads, barrier and the random-order mode of threads.h, on signals.
#include "runtime/core/threads.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace gm {

void Barrier::wait() {
  uint32_t now = passed.get();
  if (arrived.fetch_add(1) + 1 < uint32_t(count))
    return passed.wait(now);
  arrived.store(0);
  passed.raise();
}

Status Threads::start(int n, uint8_t *memory, uint64_t shuffle) {
  workers = n;
  stacks = memory;
  shuffled = shuffle != 0;
  order.state = shuffle;
  phase.reset(n);
  finish.reset(n);
  if (shuffled)
    return {};
  if (n > usable_cpus()) {
    phase.always_sleep();
    finish.always_sleep();
    job.always_sleep();
  }
  size_t guard = size_t(sysconf(_SC_PAGESIZE));
  for (int w = 1; w < n; ++w) {
    // A stack grows down to its guard page, never into its neighbour.
    uint8_t *stack = stacks + size_t(w) * STACK_BYTES;
    mprotect(stack, guard, PROT_NONE);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack + guard, STACK_BYTES - guard);
    argument[w] = {this, w};
    int problem = pthread_create(&thread[w], &attributes, enter, &argument[w]);
    pthread_attr_destroy(&attributes);
    if (problem) {
      // Only this many wait at the barriers.
      phase.reset(w);
      finish.reset(w);
      workers = w;
      stop();
      return failure(RESOURCES,
                     "cannot start thread %d of %d: %s; use fewer with -t",
                     w + 1, n, strerror(problem));
    }
    started = w;
  }
  return {};
}

void *Threads::enter(void *start) {
  Start *s = static_cast<Start *>(start);
  s->threads->work(s->worker);
  return nullptr;
}

void Threads::work(int worker) {
  uint32_t seen = 0;
  for (;;) {
    job.wait(seen++);
    if (stopping)
      return;
    function(data, worker);
    finish.wait();
  }
}

void Threads::run(Function *f, void *d) {
  function = f;
  data = d;
  if (shuffled)
    return run_shuffled();
  if (started)
    job.raise();
  f(d, 0);
  finish.wait();
}

void Threads::stop() {
  if (started) {
    stopping = true;
    job.raise();
    for (int w = 1; w <= started; ++w)
      pthread_join(thread[w], nullptr);
  }
  started = 0;
}

//===- workers one after another ------------------------------------------===//

struct Threads::Fibers {
  ucontext_t scheduler, worker[MAX_THREADS];
  bool done[MAX_THREADS];
  Threads *threads;
  int current;
};

void Threads::barrier(int worker) {
  if (fibers)
    swapcontext(&fibers->worker[worker], &fibers->scheduler);
  else
    phase.wait();
}

// makecontext passes ints only, so the fiber finds its work here.
static thread_local void *starting;

void Threads::run_shuffled() {
  // Tests only, so this memory is outside the plan.
  void *memory = mmap(nullptr, sizeof(Fibers), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return;
  Fibers *all = fibers = static_cast<Fibers *>(memory);
  all->threads = this;
  void (*body)() = [] {
    Fibers *f = static_cast<Fibers *>(starting);
    int worker = f->current;
    f->threads->function(f->threads->data, worker);
    f->done[worker] = true;
  };
  for (int w = 0; w < workers; ++w) {
    getcontext(&all->worker[w]);
    all->worker[w].uc_stack.ss_sp = stacks + size_t(w) * STACK_BYTES;
    all->worker[w].uc_stack.ss_size = STACK_BYTES;
    all->worker[w].uc_link = &all->scheduler;
    makecontext(&all->worker[w], body, 0);
  }
  starting = all;
  int sequence[MAX_THREADS];
  for (int w = 0; w < workers; ++w)
    sequence[w] = w;
  for (bool running = true; running;) {
    for (int i = workers - 1; i > 0; --i) {
      int j = int(order.next() % uint64_t(i + 1));
      int kept = sequence[i];
      sequence[i] = sequence[j];
      sequence[j] = kept;
    }
    running = false;
    for (int i = 0; i < workers; ++i) {
      int w = all->current = sequence[i];
      if (all->done[w])
        continue;
      swapcontext(&all->scheduler, &all->worker[w]);
      running |= !all->done[w];
    }
  }
  fibers = nullptr;
  munmap(memory, sizeof(Fibers));
}

} // namespace gm
