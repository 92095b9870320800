// The backend of CPU targets: weights mapped from the file, one anonymous
// mapping for the rest, segments as SPMD functions on the workers.
#include "runtime/core/backend.h"
#include "runtime/core/threads.h"
#include "runtime/host/clock.h"
#include "runtime/host/mapped.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace gm {
namespace mf = gemmac::manifest;

namespace {

enum : uint64_t { HUGE_PAGE = 2u << 20 };

uint64_t up(uint64_t x, uint64_t to) { return (x + to - 1) / to * to; }
uint64_t small_page() { return uint64_t(sysconf(_SC_PAGESIZE)); }

// `bytes` of addresses that start `phase` bytes after a multiple of a huge
// page.
uint8_t *reserve(uint64_t bytes, int protection, int flags,
                 uint64_t phase = 0) {
  void *p = mmap(nullptr, bytes + HUGE_PAGE, protection,
                 MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (p == MAP_FAILED)
    return nullptr;
  uint8_t *start = static_cast<uint8_t *>(p);
  uint8_t *aligned = reinterpret_cast<uint8_t *>(
      up(uint64_t(start) - phase, HUGE_PAGE) + phase);
  if (aligned > start)
    munmap(start, size_t(aligned - start));
  munmap(aligned + bytes, size_t(start + HUGE_PAGE - aligned));
  return aligned;
}

void mark_nothing(gm_ctx *, int32_t, int32_t) {}

class Cpu : public Backend {
public:
  ~Cpu() override {
    threads.stop();
    for (Span span : {arena, weights})
      if (span.data)
        munmap(const_cast<uint8_t *>(span.data), span.bytes);
  }

  Status allocate(const Plan &plan, uint8_t *&base) override {
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
    uint64_t bytes = p.weights_bytes(), page = small_page();
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
    part[0] = {base, hole};
    part[1] = {base + hole_end, bytes - hole_end};
    for (const Span &range : part)
      if (Status s = map(file, range); !s.ok())
        return s;
    loaded = {base, false, 0};
    if (mode == Load::Copy ||
        (mode == Load::Auto && spare >= part[0].bytes + part[1].bytes &&
         in_small_pages())) {
      for (const Span &range : part)
        if (Status s = copy_from(file, range); !s.ok())
          return s;
      loaded.copied = true;
    }
    loaded.seconds = double(now_ns() - begin) * 1e-9;
    return {};
  }

  Status start(int workers, uint8_t *stacks, uint64_t shuffle) override {
    for (int w = 0; w <= workers; ++w)
      cut[w] = uint32_t(int64_t(w) * 65536 / workers);
    return threads.start(workers, stacks, shuffle);
  }

  void prepare(gm_ctx &ctx) override {
    ctx.cut = cut;
    ctx.barrier = barrier;
    ctx.mark = mark_nothing;
  }

  void run(const Call *calls, int count) override {
    work = {this, calls, count};
    threads.run(run_calls, &work);
  }

  void copy(uint8_t *to, const uint8_t *from, uint64_t bytes) override {
    memcpy(to, from, bytes);
  }

private:
  uint64_t offset_of(const File &file, const uint8_t *at) const {
    return file.weights_offset + uint64_t(at - weights.data);
  }

  Status map(const File &file, const Span &range) {
    if (range.bytes && mmap(const_cast<uint8_t *>(range.data), range.bytes,
                            PROT_READ, MAP_PRIVATE | MAP_FIXED, file.weights_fd,
                            off_t(offset_of(file, range.data))) == MAP_FAILED)
      return failure(RESOURCES, "cannot map %llu bytes of weights: %s",
                     (unsigned long long)range.bytes, strerror(errno));
    return {};
  }

  // Whether the page cache holds the weights, but in pages so small that the
  // kernel cannot map them as huge ones: so it is after the file was written or
  // read while memory was short. What is not in the cache yet comes in large
  // folios; nothing is read here.
  bool in_small_pages() const {
    uint64_t resident = 0, large = 0, all = 0;
    for (const Span &range : part) {
      if (range.bytes < HUGE_PAGE)
        continue;
      all += range.bytes;
      if (!is_cached(range))
        return false;
      madvise(const_cast<uint8_t *>(range.data), range.bytes,
              MADV_POPULATE_READ);
      Mapped mapped = mapped_at(range.data);
      resident += mapped.resident;
      large += mapped.large;
    }
    return all && resident && large < resident / 10 * 9;
  }

  // Whether nearly all pages are in the page cache.
  static bool is_cached(const Span &range) {
    const uint64_t page = small_page(), step = 256 * page;
    unsigned char present[256];
    uint64_t found = 0, pages = (range.bytes + page - 1) / page;
    for (uint64_t at = 0; at < range.bytes; at += step) {
      uint64_t n = std::min(step, range.bytes - at);
      if (mincore(const_cast<uint8_t *>(range.data) + at, n, present) != 0)
        return false;
      for (uint64_t i = 0; i < (n + page - 1) / page; ++i)
        found += present[i] & 1;
    }
    return found >= pages / 100 * 95;
  }

  // Puts anonymous memory, in huge pages where there are any, in the place of
  // a range and reads it in, in pieces that the workers share.
  Status copy_from(const File &file, const Span &range) {
    if (!range.bytes)
      return {};
    uint8_t *to = const_cast<uint8_t *>(range.data);
    if (mmap(to, range.bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
      return failure(RESOURCES,
                     "cannot allocate %llu bytes for a copy of the weights: "
                     "%s; run with --load=map",
                     (unsigned long long)range.bytes, strerror(errno));
    madvise(to, range.bytes, MADV_HUGEPAGE);
    Reading reading = {file.weights_fd,
                       to,
                       range.bytes,
                       offset_of(file, range.data),
                       {0},
                       {0}};
    threads.run(read_pieces, &reading);
    mprotect(to, range.bytes, PROT_READ);
    if (int problem = reading.problem)
      return failure(RESOURCES, "cannot read the weights: %s",
                     problem > 0 ? strerror(problem)
                                 : "the file has become shorter");
    return {};
  }

  struct Reading {
    int fd;
    uint8_t *to;
    uint64_t bytes, offset;
    std::atomic<uint64_t> next;
    std::atomic<int> problem; // errno, or -1: end of file
  };

  static void read_pieces(void *data, int) {
    Reading &r = *static_cast<Reading *>(data);
    const uint64_t piece = 4 * HUGE_PAGE;
    for (uint64_t at; (at = r.next.fetch_add(piece)) < r.bytes && !r.problem;)
      for (uint64_t done = 0, n = std::min(piece, r.bytes - at); done < n;) {
        ssize_t got = pread(r.fd, r.to + at + done, n - done,
                            off_t(r.offset + at + done));
        if (got < 0 && errno == EINTR)
          continue;
        if (got <= 0) {
          r.problem = got < 0 ? errno : -1;
          return;
        }
        done += uint64_t(got);
      }
  }

  struct Work {
    Cpu *self;
    const Call *calls;
    int count;
  };

  static void barrier(gm_ctx *ctx, int32_t worker) {
    Context *c = reinterpret_cast<Context *>(ctx);
    static_cast<Cpu *>(c->backend)->threads.barrier(worker);
  }

  static void run_calls(void *data, int worker) {
    const Work &w = *static_cast<const Work *>(data);
    for (int i = 0; i < w.count; ++i) {
      if (i > 0)
        w.self->threads.barrier(worker);
      w.calls[i].segment(w.calls[i].ctx, worker);
    }
  }

  Threads threads;
  Span arena, weights; // what is mapped
  Span part[2];        // of the weights, beside the PLE table
  uint32_t cut[MAX_THREADS + 1];
  Work work;
};

} // namespace

Backend *make_cpu_backend() { return new (std::nothrow) Cpu; }

} // namespace gm
