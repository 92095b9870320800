// The backend of CPU targets: weights mapped from the file, one anonymous
// mapping for the rest, segments as SPMD functions on the workers.
#include "runtime/core/backend.h"
#include "runtime/core/threads.h"
#include "runtime/host/clock.h"
#include "runtime/host/file_memory.h"
#include "runtime/host/probe.h"
#include "runtime/host/shares.h"
#include "runtime/host/synthetic.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cerrno>
#include <csetjmp>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace gm {
namespace mf = gemmac::manifest;

namespace {

uint64_t up(uint64_t x, uint64_t to) { return (x + to - 1) / to * to; }

void mark_nothing(gm_ctx *, int32_t, int32_t) {}

class Cpu : public Backend {
public:
  ~Cpu() override {
    threads.stop();
    for (Span span : {arena, weights})
      if (span.data)
        munmap(const_cast<uint8_t *>(span.data), span.bytes);
  }

  Status allocate(const Setup &setup, uint8_t *&base) override {
    const Plan &plan = setup.plan;
    base = reserve(plan.allocated, PROT_READ | PROT_WRITE, 0);
    if (!base)
      return failure(RESOURCES,
                     "cannot allocate %llu bytes: %s; use a smaller context "
                     "(-c) or batch (-b)",
                     (unsigned long long)plan.allocated, strerror(errno));
    arena = {base, plan.allocated};
    // The caches come first.
    uint64_t at = 0;
    for (int kind : {GM_LOCAL, GM_GLOBAL}) {
      if (plan.term[kind].bytes >= HUGE_PAGE)
        madvise(base + up(at, HUGE_PAGE), plan.term[kind].bytes, MADV_HUGEPAGE);
      at += plan.term[kind].bytes;
    }
    return {};
  }

  // The pages that only the PLE table is in are left out: their addresses stay
  // empty, so that nothing can make it resident. Addresses and file offsets
  // agree modulo huge pages: only then can the kernel map large folios of its
  // page cache as such, without which the streams miss the TLB (13 % of the
  // bandwidth of one core).
  Status load(const File &file, Load mode, uint64_t spare,
              Loaded &loaded) override {
    const int64_t begin = now_ns();
    const mf::Program &p = *file.manifest;
    uint64_t bytes = p.weights_bytes(), page = uint64_t(sysconf(_SC_PAGESIZE));
    uint8_t *base = reserve(up(bytes, page), PROT_NONE, MAP_NORESERVE,
                            file.weights_offset % HUGE_PAGE);
    if (!base)
      return failure(
          RESOURCES,
          "cannot reserve %llu bytes of addresses for the weights: %s",
          (unsigned long long)bytes, strerror(errno));
    weights = {base, up(bytes, page)};
    uint64_t hole = bytes, hole_end = bytes;
    if (p.ple()) {
      hole = up(p.ple()->offset(), page);
      hole_end = (p.ple()->offset() + p.ple()->rows() * p.ple()->row_bytes()) /
                 page * page;
      if (hole >= hole_end)
        hole = hole_end = bytes;
    }
    const FileRange ranges[] = {
        {file.weights_fd, file.weights_offset, base, hole},
        {file.weights_fd, file.weights_offset + hole_end, base + hole_end,
         bytes - hole_end}};
    for (const FileRange &range : ranges)
      if (Status s = mode == Load::Synthetic ? allocate_range(range)
                                             : map_range(range);
          !s.ok())
        return s;
    loaded = {base, false, 0};
    if (mode == Load::Synthetic) {
      Making making = {p, base, workers};
      threads.run(make_weights, &making);
      for (const FileRange &range : ranges)
        mprotect(range.to, range.bytes, PROT_READ);
    }
    if (mode == Load::Copy ||
        (mode == Load::Auto && spare >= ranges[0].bytes + ranges[1].bytes &&
         in_small_pages(ranges, 2))) {
      auto run = [](void *threads, Threads::Function *function, void *data) {
        static_cast<Threads *>(threads)->run(function, data);
      };
      for (const FileRange &range : ranges)
        if (Status s = copy_range(range, run, &threads); !s.ok())
          return s;
      loaded.copied = true;
    }
    loaded.seconds = double(now_ns() - begin) * 1e-9;
    return {};
  }

  Status start(int count, uint8_t *stacks, uint64_t shuffle) override {
    workers = count;
    measured = !shuffle;
    shares.reset(workers);
    return threads.start(workers, stacks, shuffle);
  }

  void prepare(gm_ctx &ctx) override {
    ctx.cut = shares.cut();
    ctx.barrier = barrier;
    ctx.mark = mark_nothing;
  }

  Status run(const Call *calls, int count, bool (*ends)(),
             bool &ended) override {
    work = {this, calls, count, measured && is_sample(calls, count), ends};
    last = UINT32_MAX;
    threads.run(run_calls, &work);
    if (work.sample) {
      for (int i = 0; i < count; ++i)
        calls[i].ctx->barrier = barrier;
      shares.finish();
    }
    ended = last != UINT32_MAX;
    return {};
  }

  void copy(uint8_t *to, const uint8_t *from, uint64_t bytes) override {
    memcpy(to, from, bytes);
  }

  Status fetch(uint8_t *to, const uint8_t *from, uint64_t bytes) override {
    return copy(to, from, bytes), Status{};
  }

  Status store(uint8_t *to, const uint8_t *from, uint64_t bytes) override {
    return copy(to, from, bytes), Status{};
  }

  void fill(uint8_t *to, uint32_t word, uint64_t bytes) override {
    std::fill_n(reinterpret_cast<uint32_t *>(to), bytes / 4, word);
  }

private:
  struct Making {
    const mf::Program &program;
    uint8_t *base; // of the section
    int workers;
  };
  // Every n-th piece of all synthetic weights.
  static void make_weights(void *data, int worker) {
    const Making &m = *static_cast<const Making *>(data);
    uint64_t turn = 0;
    if (!m.program.weights())
      return;
    for (const mf::Weight *w : *m.program.weights()) {
      const SyntheticWords words = synthetic_words(*w);
      for (uint64_t done = 0; done < w->bytes() && !is_ple_table(m.program, *w);
           done += HUGE_PAGE)
        if (turn++ % uint64_t(m.workers) == uint64_t(worker))
          synthesize(words, w->offset() + done, m.base + w->offset() + done,
                     std::min<uint64_t>(HUGE_PAGE, w->bytes() - done));
    }
  }

  struct Work {
    Cpu *self;
    const Call *calls;
    int count;
    bool sample;
    bool (*ends)();
  };
  // Where a worker leaves generated code, and the barriers that it has passed.
  struct alignas(64) Leave {
    jmp_buf frame;
    uint32_t passed;
  };
  // Not while somebody else watches the barriers.
  bool is_sample(const Call *calls, int count) {
    if (!shares.is_due())
      return false;
    for (int i = 0; i < count; ++i)
      if (calls[i].ctx->barrier != barrier)
        return false;
    for (int i = 0; i < count; ++i)
      calls[i].ctx->barrier = timed_barrier;
    return true;
  }

  static Cpu &of(gm_ctx *ctx) {
    return *static_cast<Cpu *>(reinterpret_cast<Context *>(ctx)->backend);
  }

  // The first worker decides before it arrives, so all know behind the same
  // barrier that it is the last. Their frames hold nothing to be destroyed.
  void wait(int32_t worker) {
    Leave &mine = leave[worker];
    if (work.ends && worker == 0 && work.ends())
      last = mine.passed + 1;
    threads.barrier(worker);
    if (work.ends && ++mine.passed == last)
      longjmp(mine.frame, 1);
  }

  static void barrier(gm_ctx *ctx, int32_t worker) { of(ctx).wait(worker); }

  static void timed_barrier(gm_ctx *ctx, int32_t worker) {
    Cpu &self = of(ctx);
    self.shares.end(worker);
    self.wait(worker);
    self.shares.begin(worker);
  }

  static void run_calls(void *data, int worker) {
    const Work &w = *static_cast<const Work *>(data);
    Leave &mine = w.self->leave[worker];
    mine.passed = 0;
    if (setjmp(mine.frame))
      return;
    if (w.sample)
      w.self->shares.begin(worker);
    for (int i = 0; i < w.count; ++i) {
      if (i > 0)
        (w.sample ? timed_barrier : barrier)(w.calls[i].ctx, worker);
      w.calls[i].segment(w.calls[i].ctx, worker);
    }
    if (w.sample)
      w.self->shares.end(worker);
  }

  Threads threads;
  Span arena, weights; // what is mapped
  Shares shares;
  int workers = 1;
  bool measured = false;
  Work work;
  std::atomic<uint32_t> last; // barrier, behind which all leave
  Leave leave[MAX_THREADS];
};

} // namespace

Backend *make_backend() { return new (std::nothrow) Cpu; }

int backend_terms(const File &, const Plan &, Term *) { return 0; }

static Status no_device() {
  return failure(MACHINE, "programs for CPUs know no devices");
}

Status find_device(int64_t, DeviceFacts &) { return no_device(); }

Status probe_device(int64_t, Probe &) { return no_device(); }

} // namespace gm
