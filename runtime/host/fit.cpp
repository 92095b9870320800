// Whether a memory plan fits in what this machine has left, and what does.
#include "runtime/host/fit.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <linux/magic.h>
#include <sys/vfs.h>

namespace gm {

namespace {

namespace mf = gemmac::manifest;

uint64_t add(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? ~0ull : a + b;
}

// What there is, and what of the weights is there already.
struct Room {
  uint64_t memory, addresses;
  bool in_memory; // the weight file is in a file system that is memory
};

Room room_for(const File &file, const Options &options, const char *root) {
  struct statfs fs;
  bool in_memory = options.load != Load::Synthetic &&
                   fstatfs(file.weights_fd, &fs) == 0 &&
                   (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
  return {available_memory(root), available_addresses(), in_memory};
}

// That are mapped.
uint64_t weights_of(const Plan &plan) {
  for (int i = 0; i < plan.terms; ++i)
    if (strcmp(plan.term[i].name, "weights") == 0 &&
        plan.term[i].where == Where::Host)
      return plan.term[i].bytes;
  return 0;
}

// Weights are read in a circle, so a cache that is a little too small misses
// nearly all of them: 2 % more than the plan. 8 bytes of page table per page.
uint64_t memory_of(const Plan &plan, const Room &room) {
  uint64_t need = plan.total - (room.in_memory ? weights_of(plan) : 0);
  return add(need, plan.total / 50 + plan.total / 512);
}

// Addresses are reserved also where nothing is mapped (the table of per-layer
// embeddings, what a device alone has), and to align by huge pages.
uint64_t addresses_of(const Plan &plan, const File &file) {
  return add(
      add(add(plan.total, plan.device_only),
          file.manifest->weights_bytes() -
              std::min(file.manifest->weights_bytes(), weights_of(plan))),
      4u << 20);
}

struct Need {
  const File &file;
  Room room;
};

bool has_room(const Plan &plan, const void *data) {
  const Need &need = *static_cast<const Need *>(data);
  return memory_of(plan, need.room) <= need.room.memory &&
         addresses_of(plan, need.file) <= need.room.addresses;
}

} // namespace

Advice advise(const File &file, const Options &options, const Plan &plan,
              bool (*has_room)(const Plan &plan, const void *data),
              const void *data) {
  auto fits = [&](int64_t context, int64_t batch) {
    Options o = options;
    o.context = context;
    o.batch = batch;
    Plan smaller;
    return make_plan(file, o, smaller).ok() && has_room(smaller, data);
  };
  auto largest = [](int64_t high, auto good) {
    int64_t low = 0; // fits, or nothing does
    while (low < high) {
      int64_t middle = low + (high - low + 1) / 2;
      if (good(middle))
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  };
  int64_t context =
      largest(plan.context, [&](int64_t c) { return fits(c, options.batch); });
  int64_t batch =
      largest(plan.batch, [&](int64_t b) { return fits(plan.context, b); });
  Advice advice;
  char *text = advice.text;
  if (context && batch)
    snprintf(text, sizeof advice.text,
             "the largest that fits is -c %lld, or -b %lld", (long long)context,
             (long long)batch);
  else if (context)
    snprintf(text, sizeof advice.text,
             "the largest context that fits is -c %lld", (long long)context);
  else if (batch)
    snprintf(text, sizeof advice.text, "the largest batch that fits is -b %lld",
             (long long)batch);
  else
    snprintf(
        text, sizeof advice.text,
        "no context fits with -b %lld; try a smaller batch, or free memory",
        (long long)plan.batch);
  return advice;
}

Status check_plan(const File &file, const Options &options, const Plan &plan,
                  const char *root) {
  const Need need = {file, room_for(file, options, root)};
  const Room &room = need.room;
  if (options.unchecked || has_room(plan, &need))
    return {};
  const Advice advice = advise(file, options, plan, has_room, &need);
  const double mib = 1.0 / (1 << 20);
  bool memory = memory_of(plan, room) > room.memory;
  return failure(
      RESOURCES,
      "context %lld with batches of %lld rows needs %.1f MiB of "
      "%s, but %.1f MiB are available; %s (--no-memory-check tries "
      "it all the same)",
      (long long)plan.context, (long long)plan.batch,
      double(memory ? memory_of(plan, room) : addresses_of(plan, file)) * mib,
      memory ? "memory" : "addresses (ulimit -v)",
      double(memory ? room.memory : room.addresses) * mib, advice.text);
}

} // namespace gm
