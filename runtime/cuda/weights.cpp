// See weights.h.
#include "runtime/cuda/weights.h"
#include "runtime/cuda/own_kernels.h"
#include "runtime/cuda/synthetic.h"
#include "runtime/host/clock.h"
#include "runtime/host/file_memory.h"
#include "runtime/host/synthetic.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace gm {

namespace mf = gemmac::manifest;

namespace {

enum : uint64_t {
  PIECE = 64u << 20,
  // Of the hole: weights behind it stay as aligned as in the file.
  ALIGN = 4096,
  MOST_BLOCKS = 1u << 16 // that make one weight
};

// What of the section stays in the file.
struct Hole {
  uint64_t begin, end, section;
};

Hole hole_of(const File &file) {
  const mf::Program &p = *file.manifest;
  const uint64_t all = p.weights_bytes();
  if (!p.ple())
    return {all, all, all};
  const uint64_t begin = (p.ple()->offset() + ALIGN - 1) / ALIGN * ALIGN,
                 end = (p.ple()->offset() +
                        p.ple()->rows() * p.ple()->row_bytes()) /
                       ALIGN * ALIGN;
  return begin < end ? Hole{begin, end, all} : Hole{all, all, all};
}

// Two pinned pieces in turn: one is read while the other is on its way.
class Staging {
public:
  Staging(const Card &card, uint64_t piece) : card(card), piece(piece) {}
  Staging(const Staging &) = delete;
  Staging &operator=(const Staging &) = delete;
  ~Staging() {
    for (CUevent event : sent)
      if (event)
        card.driver->cuEventDestroy_v2(event);
    if (memory)
      card.driver->cuMemFreeHost(memory);
  }

  Status allocate() {
    CUresult error = card.driver->cuMemHostAlloc(&memory, 2 * piece, 0);
    if (error)
      memory = nullptr;
    for (CUevent &event : sent)
      if (!error)
        error = card.driver->cuEventCreate(&event, CU_EVENT_DISABLE_TIMING);
    return card.check(error, "get pinned memory to load the weights");
  }

  // Sends [at, at + bytes) of the section, bytes <= piece, to `device`.
  Status send(const File &file, uint64_t at, uint64_t bytes, CUdeviceptr device,
              CUstream stream) {
    const int i = turn++ % 2;
    uint8_t *to = static_cast<uint8_t *>(memory) + uint64_t(i) * piece;
    if (turn > 2)
      if (CUresult error = card.driver->cuEventSynchronize(sent[i]))
        return card.check(error, "copy the weights");
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t n = pread(file.weights_fd, to + done, bytes - done,
                              off_t(file.weights_offset + at + done));
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return failure(n < 0 ? RESOURCES : BAD_INPUT,
                       "cannot read the weights of '%s' at offset %llu: %s",
                       file.path,
                       (unsigned long long)(file.weights_offset + at + done),
                       n < 0 ? strerror(errno) : "the file has become shorter");
      done += uint64_t(n);
    }
    CUresult error =
        card.driver->cuMemcpyHtoDAsync_v2(device, to, bytes, stream);
    if (!error)
      error = card.driver->cuEventRecord(sent[i], stream);
    return card.check(error, "copy the weights");
  }

private:
  const Card &card;
  uint64_t piece;
  void *memory = nullptr;
  CUevent sent[2] = {};
  int turn = 0;
};

} // namespace

uint64_t Weights::bytes(const File &file) {
  const Hole hole = hole_of(file);
  return hole.section - (hole.end - hole.begin);
}

uint64_t Weights::staging(const File &file) {
  return 2 *
         std::min<uint64_t>(PIECE, (bytes(file) + ALIGN - 1) / ALIGN * ALIGN);
}

Weights::~Weights() {
  if (memory)
    card->driver->cuMemFree_v2(memory);
  if (names.data)
    munmap(const_cast<uint8_t *>(names.data), names.bytes);
}

Status Weights::reserve_names(const File &file) {
  names.bytes =
      (file.manifest->weights_bytes() + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  names.data = reserve(names.bytes, PROT_NONE, MAP_NORESERVE);
  if (!names.data)
    return failure(RESOURCES,
                   "cannot reserve %llu bytes of addresses for the weights: %s",
                   (unsigned long long)names.bytes, strerror(errno));
  return {};
}

Status Weights::read(const File &file, CUstream stream) {
  const uint64_t piece = staging(file) / 2;
  Staging staged(*card, piece);
  if (Status s = staged.allocate(); !s.ok())
    return s;
  const Hole hole = hole_of(file);
  CUdeviceptr to = memory;
  const uint64_t parts[][2] = {{0, hole.begin}, {hole.end, hole.section}};
  for (const auto &[begin, end] : parts)
    for (uint64_t at = begin; at < end; at += piece) {
      const uint64_t n = std::min(piece, end - at);
      if (Status s = staged.send(file, at, n, to, stream); !s.ok())
        return s;
      to += n;
    }
  return card->check(card->driver->cuStreamSynchronize(stream),
                     "copy the weights");
}

// Whole words, up to 2 bytes beyond the end of a weight: the next begins at a
// multiple of 64, and so ends the memory.
Status Weights::make(const File &file, CUstream stream) {
  OwnKernels own;
  CUfunction function;
  if (Status s = own.load(*card, SYNTHETIC_PTX); !s.ok())
    return s;
  if (Status s = own.find(SYNTHETIC_NAME, function); !s.ok())
    return s;
  const mf::Program &p = *file.manifest;
  if (!p.weights())
    return {};
  const Hole hole = hole_of(file);
  CUresult error = CUDA_SUCCESS;
  for (const mf::Weight *w : *p.weights()) {
    if (error || is_ple_table(p, *w) || !w->bytes())
      continue;
    SyntheticWords words = synthetic_words(*w);
    uint64_t to = memory + w->offset(), count = (w->bytes() + 3) / 4;
    if (w->offset() >= hole.end)
      to -= hole.end - hole.begin;
    uint32_t first = uint32_t(w->offset() / 4);
    void *parameters[] = {&to, &count, &first, &words.keep, &words.set};
    const uint64_t blocks = (count + SYNTHETIC_THREADS - 1) / SYNTHETIC_THREADS;
    error = card->driver->cuLaunchKernel(
        function, unsigned(std::min<uint64_t>(blocks, MOST_BLOCKS)), 1, 1,
        SYNTHETIC_THREADS, 1, 1, 0, stream, parameters, nullptr);
  }
  if (!error)
    error = card->driver->cuStreamSynchronize(stream);
  return card->check(error, "make synthetic weights");
}

Status Weights::load(const Card &on, CUstream stream, const File &file,
                     bool synthetic, Addresses &addresses, Loaded &loaded) {
  card = &on;
  const int64_t begin = now_ns();
  if (Status s = reserve_names(file); !s.ok())
    return s;
  const uint64_t all = (bytes(file) + ALIGN - 1) / ALIGN * ALIGN;
  if (CUresult error = card->driver->cuMemAlloc_v2(&memory, all)) {
    memory = 0;
    return failed(*card->driver, error, "get memory for the weights");
  }
  if (Status s = synthetic ? make(file, stream) : read(file, stream); !s.ok())
    return s;
  const Hole hole = hole_of(file);
  addresses.add(names.data, hole.begin, memory);
  addresses.add(names.data + hole.end, hole.section - hole.end,
                memory + hole.begin);
  loaded = {names.data, true, double(now_ns() - begin) * 1e-9};
  return {};
}

} // namespace gm
