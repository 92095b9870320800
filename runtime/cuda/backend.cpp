// The backend of programs for NVIDIA cards: one arena and the weights on the
// card, generated segments recorded as graphs of launches, once for each shape
// of a step, with a copy of what changes in front and of results behind.
//
// Host addresses of the plan are names: the front of the allocation, which only
// kernels touch, is not mapped here; the rest is pinned and has a shadow on the
// card at the same distance.
#include "runtime/core/backend.h"
#include "runtime/cuda/graphs.h"
#include "runtime/cuda/kernels.h"
#include "runtime/cuda/transfers.h"
#include "runtime/cuda/weights.h"
#include "runtime/host/clock.h"
#include "runtime/host/file_memory.h"
#include "runtime/host/fit.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace gm {

namespace {

// Estimates of what the driver takes for itself: of this machine, and of the
// card beyond what is taken when memory is counted.
enum : uint64_t { DRIVER_BYTES = 256u << 20, GRAPH_BYTES = 32u << 20 };

// Turns of waiting for results between questions to the driver, some 100 us.
enum : int64_t { ASK_EVERY = 2048 };

// What a grid is made for: at least the step's own numbers, so that few graphs
// serve all steps.
struct Counts {
  int64_t rows, tiles, splits[2];
};

// The next power of two, but not more than there can be.
int64_t class_of(int32_t n, int64_t most) {
  return std::max<int64_t>(
      1, std::min<int64_t>(most,
                           int64_t(std::bit_ceil(uint32_t(std::max(n, 1))))));
}

Counts counts_of(const gm_ctx &ctx) {
  const int64_t splits = int64_t(GM_FEW_ROWS) * ctx.max_splits;
  return {class_of(ctx.rows, ctx.max_rows),
          class_of(ctx.tiles, ctx.max_rows),
          {class_of(ctx.splits[0], splits), class_of(ctx.splits[1], splits)}};
}

int64_t ceil_of(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

void mark_nothing(gm_ctx *, int32_t, int32_t) {}
void barrier_nothing(gm_ctx *, int32_t) {}
const uint32_t whole[] = {0, 65536};

class Cuda : public Backend {
public:
  ~Cuda() override {
    if (!card.is_open())
      return;
    card.enter();
    if (stream)
      card.driver->cuStreamSynchronize(stream);
    for (const Mark &mark : marks)
      card.driver->cuEventDestroy_v2(mark.event);
    if (registered)
      card.driver->cuMemHostUnregister(names + device_only);
    if (arena)
      card.driver->cuMemFree_v2(arena);
    if (stream)
      card.driver->cuStreamDestroy_v2(stream);
    if (names)
      munmap(names, bytes);
  }

  Status allocate(const Setup &setup, uint8_t *&base) override {
    program = &setup.program;
    if (Status s = card.open(setup.options.device); !s.ok())
      return s;
    const int32_t sm = setup.file.manifest->target()->sm();
    waits = sm >= 90; // codegen/kernels/cuda/device.h, waitForLaunches
    if (card.facts.sm < sm)
      return failure(MACHINE,
                     "this program needs a card of compute capability %d.%d or "
                     "later, '%s' has %d.%d; compile the model for another "
                     "target (gemmac --list-targets)",
                     sm / 10, sm % 10, card.facts.name, card.facts.sm / 10,
                     card.facts.sm % 10);
    if (Status s = kernels.load(card, *program); !s.ok())
      return s;
    graphs.start(card);
    if (Status s = check_memory(setup); !s.ok())
      return s;
    if (Status s = map(setup.plan); !s.ok())
      return s;
    base = names;
    return transfers.allocate(card, setup, addresses, pinned, stream);
  }

  Status load(const File &file, Load mode, uint64_t, Loaded &loaded) override {
    return weights.load(card, stream, file, mode == Load::Synthetic, addresses,
                        loaded);
  }

  Status start(int, uint8_t *, uint64_t) override { return {}; }

  void prepare(gm_ctx &ctx) override {
    ctx.cut = whole;
    ctx.barrier = barrier_nothing;
    ctx.mark = mark_nothing;
    ctx.launch = launch;
  }

  Status run(const Call *calls, int count, bool (*)(), bool &ended) override {
    ended = false;
    card.enter();
    if (!status.ok())
      return status;
    if (Status s = transfers.fill(calls, count); !s.ok())
      return s;
    const bool watched =
        std::any_of(calls, calls + count, [](const Call &call) {
          return call.ctx->mark != mark_nothing;
        });
    if (Status s =
            watched ? run_watched(calls, count) : run_graph(calls, count);
        !s.ok())
      return s;
    status = wait();
    if (watched && status.ok())
      status = tell_marks();
    return status;
  }

  void copy(uint8_t *to, const uint8_t *from, uint64_t n) override {
    card.enter();
    keep(card.driver->cuMemcpyDtoDAsync_v2(addresses.find(to),
                                           addresses.find(from), n, stream),
         "copy pages");
  }

  void fill(uint8_t *to, uint32_t word, uint64_t n) override {
    card.enter();
    if (n / 4)
      keep(card.driver->cuMemsetD32Async(addresses.find(to), word, n / 4,
                                         stream),
           "fill the arena");
  }

  Status fetch(uint8_t *to, const uint8_t *from, uint64_t n) override {
    card.enter();
    CUresult error =
        card.driver->cuMemcpyDtoHAsync_v2(to, addresses.find(from), n, stream);
    return finish_copy(error, "copy pages from the card");
  }

  Status store(uint8_t *to, const uint8_t *from, uint64_t n) override {
    card.enter();
    CUresult error =
        card.driver->cuMemcpyHtoDAsync_v2(addresses.find(to), from, n, stream);
    return finish_copy(error, "copy pages to the card");
  }

  int64_t moment() const override { return told ? told : now_ns(); }

private:
  //===- memory -----------------------------------------------------------===//

  static bool has_room(const Plan &plan, const void *free) {
    return plan.device <= *static_cast<const uint64_t *>(free);
  }

  // What the context and the kernels take is taken already.
  Status check_memory(const Setup &setup) {
    size_t free = 0, all = 0;
    if (CUresult error = card.driver->cuMemGetInfo_v2(&free, &all))
      return failed(*card.driver, error, "say how much memory is free");
    const uint64_t have = free;
    const Plan &plan = setup.plan;
    if (has_room(plan, &have))
      return {};
    const Advice advice =
        advise(setup.file, setup.options, plan, has_room, &have);
    const double mib = 1.0 / (1 << 20);
    return failure(RESOURCES,
                   "context %lld with batches of %lld rows needs %.1f MiB of "
                   "the memory of '%s', but %.1f MiB of %.1f are free; %s",
                   (long long)plan.context, (long long)plan.batch,
                   double(plan.device) * mib, card.facts.name,
                   double(have) * mib, double(all) * mib, advice.text);
  }

  // Names for the whole allocation; memory of both sides.
  Status map(const Plan &plan) {
    const Driver &driver = *card.driver;
    if (CUresult error = driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING))
      return failed(driver, error, "make a stream");
    bytes = plan.allocated;
    device_only = plan.device_only;
    names = reserve(bytes, PROT_NONE, MAP_NORESERVE);
    const uint64_t shared = bytes - device_only;
    if (!names ||
        mprotect(names + device_only, shared, PROT_READ | PROT_WRITE) != 0)
      return failure(RESOURCES,
                     "cannot allocate %llu bytes: %s; use a smaller context "
                     "(-c) or batch (-b)",
                     (unsigned long long)shared, strerror(errno));
    CUresult error = driver.cuMemAlloc_v2(&arena, bytes);
    if (error) {
      arena = 0;
      return failed(driver, error, "get memory of the card");
    }
    addresses.add(names, bytes, arena);
    error = driver.cuMemsetD8Async(arena, 0, bytes, stream);
    if (!error) {
      error = driver.cuMemHostRegister_v2(names + device_only, shared,
                                          CU_MEMHOSTREGISTER_DEVICEMAP);
      registered = !error;
    }
    CUdeviceptr seen = 0;
    if (!error)
      error =
          driver.cuMemHostGetDevicePointer_v2(&seen, names + device_only, 0);
    pinned = seen - uint64_t(names + device_only);
    return card.check(error, "pin memory of the program");
  }

  void keep(CUresult error, const char *what) {
    if (error && status.ok())
      status = failed(*card.driver, error, what);
  }

  Status finish_copy(CUresult error, const char *what) {
    if (!error)
      error = card.driver->cuStreamSynchronize(stream);
    keep(error, what);
    return status;
  }

  //===- launches ---------------------------------------------------------===//

  // What launches of a graph depend on.
  static Graphs::Key key_of(const Call *calls, int count) {
    Graphs::Key key;
    key.reserve(size_t(count) * (6 + GM_IOS));
    for (int i = 0; i < count; ++i) {
      const gm_ctx &ctx = *calls[i].ctx;
      const Counts n = counts_of(ctx);
      for (uint64_t word :
           {uint64_t(calls[i].segment), uint64_t(&ctx), uint64_t(n.rows),
            uint64_t(n.tiles), uint64_t(n.splits[0]), uint64_t(n.splits[1])})
        key.push_back(word);
      for (int io = 0; io < GM_IOS; ++io) // the caller's are staged
        key.push_back(io == GM_IO_mask || io == GM_IO_best
                          ? ctx.io[io] != nullptr
                          : uint64_t(ctx.io[io]));
    }
    return key;
  }

  Status run_graph(const Call *calls, int count) {
    const Graphs::Key key = key_of(calls, count);
    CUgraphExec graph = graphs.find(key);
    if (!graph) {
      if (Status s = record(calls, count, graph); !s.ok())
        return s;
      graphs.keep(key, graph);
    }
    return card.check(card.driver->cuGraphLaunch(graph, stream),
                      "start the step");
  }

  Status record(const Call *calls, int count, CUgraphExec &graph) {
    if (Status s = graphs.begin(stream); !s.ok())
      return s;
    const Status recorded = issue(calls, count);
    const Status ended = graphs.end(stream, recorded.ok(), graph);
    return recorded.ok() ? ended : recorded;
  }

  // The host sees the flag of the last block sooner than the driver's answer,
  // which alone says what failed.
  Status wait() {
    for (int64_t turn = 1; !transfers.done(); ++turn) {
      pause_cpu();
      if (turn % ASK_EVERY)
        continue;
      const CUresult state = card.driver->cuStreamQuery(stream);
      if (state == CUDA_ERROR_NOT_READY || transfers.done())
        continue;
      return state
                 ? failed(*card.driver, state, "run the step")
                 : failure(RUN_ERROR, "the card ended a step without results");
    }
    return {};
  }

  //===- times ------------------------------------------------------------===//

  // A call of gm_ctx::mark; the events are kept for later steps.
  struct Mark {
    CUevent event;
    gm_ctx *ctx;
    int32_t call;
  };

  // A graph for once, in which an event stands for each mark: launches one by
  // one would measure how fast the host launches.
  Status run_watched(const Call *calls, int count) {
    hook = nullptr;
    for (int i = 0; i < count; ++i)
      if (calls[i].ctx->mark != take_mark) {
        hook = calls[i].ctx->mark;
        calls[i].ctx->mark = take_mark;
      }
    marked = 0;
    CUgraphExec graph = nullptr;
    const Status recorded = record(calls, count, graph);
    for (int i = 0; i < count; ++i)
      calls[i].ctx->mark = hook;
    if (!recorded.ok())
      return recorded;
    began = now_ns();
    CUresult error = card.driver->cuGraphLaunch(graph, stream);
    if (!error)
      error = card.driver->cuStreamSynchronize(stream);
    graphs.destroy(graph);
    return card.check(error, "run the step");
  }

  static void take_mark(gm_ctx *ctx, int32_t, int32_t call) {
    Cuda &self = of(*ctx);
    if (!self.issued.ok())
      return;
    CUresult error = CUDA_SUCCESS;
    if (self.marked == self.marks.size()) {
      CUevent event;
      if (!(error = self.card.driver->cuEventCreate(&event, 0)))
        self.marks.push_back({event, nullptr, 0});
    }
    if (!error) {
      Mark &mark = self.marks[self.marked++];
      mark = {mark.event, ctx, call};
      error = self.card.driver->cuEventRecordWithFlags(
          mark.event, self.stream, CU_EVENT_RECORD_EXTERNAL);
    }
    if (error)
      self.issued = failed(*self.card.driver, error, "measure a kernel");
  }

  Status tell_marks() {
    for (size_t i = 0; i < marked; ++i) {
      float ms = 0;
      if (CUresult error = card.driver->cuEventElapsedTime(&ms, marks[0].event,
                                                           marks[i].event))
        return failed(*card.driver, error, "measure a kernel");
      told = began + int64_t(double(ms) * 1e6);
      hook(marks[i].ctx, 0, marks[i].call);
    }
    told = 0;
    return {};
  }

  //===- the launches of a step -------------------------------------------===//

  // Everything that a step does, in order.
  Status issue(const Call *calls, int count) {
    issued = {};
    const bool many = calls[0].ctx->rows > GM_FEW_ROWS;
    issue_copies(transfers.uploads(), 0, many);
    for (int i = 0; i < count && issued.ok(); ++i) {
      counts = counts_of(*calls[i].ctx);
      calls[i].segment(calls[i].ctx, 0);
    }
    issue_copies(transfers.downloads(), transfers.counter(),
                 many || brings_logits(calls, count));
    return issued;
  }

  bool brings_logits(const Call *calls, int count) const {
    return std::any_of(calls, calls + count, [&](const Call &call) {
      return transfers.segment_of(call) == GM_LOGITS;
    });
  }

  void issue_copies(uint64_t table, uint64_t counter, bool many) {
    void *parameters[] = {&table, &counter};
    put(kernels.copy(), many ? 256 : 32, 1, COPY_THREADS, 0, parameters);
  }

  // `early`: the kernel waits for the one before it itself, and so does that
  // for those before it: the copy in front, whose numbers kernels read before
  // they wait, has ended.
  void put(CUfunction function, int64_t x, int64_t y, int32_t threads,
           int32_t shared, void **parameters, bool early = false) {
    if (!issued.ok())
      return;
    CUresult error;
    const bool overlaps = early && before_waits;
    before_waits = early;
    if (overlaps && card.driver->cuLaunchKernelEx) {
      CUlaunchAttribute attribute = {};
      attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
      attribute.value = 1;
      const CUlaunchConfig config = {
          unsigned(x), unsigned(y),      1,      unsigned(threads), 1,
          1,           unsigned(shared), stream, &attribute,        1};
      error =
          card.driver->cuLaunchKernelEx(&config, function, parameters, nullptr);
    } else {
      error = card.driver->cuLaunchKernel(
          function, unsigned(x), unsigned(y), 1, unsigned(threads), 1, 1,
          unsigned(shared), stream, parameters, nullptr);
    }
    if (error)
      issued = failed(*card.driver, error, "launch a kernel");
  }

  static void launch(gm_ctx *ctx, int32_t kernel, int32_t axis, int32_t kind,
                     int32_t units, const uint64_t *parameters) {
    Cuda &self = of(*ctx);
    const int64_t factor = axis == GM_ROWS     ? self.counts.rows
                           : axis == GM_TILES  ? self.counts.tiles
                           : axis == GM_SPLITS ? self.counts.splits[kind]
                                               : 1;
    self.launch(*ctx, kernel, units * factor, parameters);
  }

  static Cuda &of(gm_ctx &ctx) {
    return *static_cast<Cuda *>(reinterpret_cast<Context *>(&ctx)->backend);
  }

  void launch(const gm_ctx &ctx, int32_t kernel, int64_t units,
              const uint64_t *parameters) {
    const gm_kernel &k = program->kernel[kernel];
    uint64_t values[Kernels::MOST_PARAMETERS];
    void *pointers[Kernels::MOST_PARAMETERS];
    for (int i = 0; i < k.parameters; ++i) {
      values[i] = parameters[i];
      pointers[i] = &values[i];
      if (!(k.addresses >> i & 1) || !parameters[i])
        continue;
      values[i] = addresses.find(parameters[i]);
      if (!values[i])
        values[i] = transfers.find(ctx, parameters[i]);
      if (!values[i] && issued.ok())
        issued = failure(RUN_ERROR,
                         "parameter %d of kernel '%s' is no address that the "
                         "card has",
                         i, program->kernel_names + k.name);
    }
    const int64_t y = k.rows > 0   ? ceil_of(counts.rows, k.rows)
                      : k.rows < 0 ? counts.rows * -k.rows
                                   : 1;
    put(kernels.function(kernel), std::max<int64_t>(1, ceil_of(units, k.units)),
        y, k.threads, k.shared, pointers, waits);
  }

  const gm_program *program = nullptr;
  Card card; // outlives all that is on it
  Kernels kernels;
  Addresses addresses;
  Weights weights;
  Transfers transfers;
  Graphs graphs;
  CUstream stream = nullptr;
  CUdeviceptr arena = 0;
  uint8_t *names = nullptr;
  uint64_t bytes = 0, device_only = 0;
  // Kernels wait for the launches before them; the one before does.
  bool waits = false, before_waits = false;
  uint64_t pinned = 0; // device address less host address of what is pinned
  bool registered = false;
  Counts counts = {};      // of the segment that is issued
  Status issued;           // what went wrong meanwhile
  std::vector<Mark> marks; // of the step that is measured the first `marked`
  size_t marked = 0;
  int64_t began = 0, told = 0; // ns of the first mark; of the one that is told
  void (*hook)(gm_ctx *, int32_t, int32_t) = nullptr; // which is told
  Status status; // what ended all: the first failure of the card
};

} // namespace

Backend *make_backend() { return new (std::nothrow) Cuda; }

int backend_terms(const File &file, const Plan &plan, Term *terms) {
  terms[0] = {"transfers", "what steps copy to the card and back",
              Transfers::bytes(file, plan), Where::Both};
  terms[1] = {"loading", "weights on their way to the card",
              Weights::staging(file), Where::Host};
  terms[2] = {"driver", "what the card's driver takes, an estimate",
              DRIVER_BYTES, Where::Host};
  terms[3] = {"graphs", "recorded steps, an estimate", GRAPH_BYTES,
              Where::Device};
  return 4;
}

} // namespace gm
