// Whether a memory plan fits in what this machine has left, and what does.
#include "runtime/gemma.h"

#include <cstdio>

namespace gm {

Status check_plan(const File &file, const Options &options, const Plan &plan) {
  uint64_t have = available_memory();
  if (plan.total <= have)
    return {};
  auto fits = [&](int64_t context, int64_t batch) {
    Options o = options;
    o.context = context;
    o.batch = batch;
    Plan smaller;
    return make_plan(file, o, smaller).ok() && smaller.total <= have;
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
  double mib = 1.0 / (1 << 20);
  char advice[160];
  if (context && batch)
    snprintf(advice, sizeof advice,
             "the largest that fits is -c %lld, or -b %lld", (long long)context,
             (long long)batch);
  else if (context)
    snprintf(advice, sizeof advice, "the largest context that fits is -c %lld",
             (long long)context);
  else if (batch)
    snprintf(advice, sizeof advice, "the largest batch that fits is -b %lld",
             (long long)batch);
  else
    snprintf(
        advice, sizeof advice,
        "no context fits with -b %lld; try a smaller batch, or free memory",
        (long long)plan.batch);
  return failure(RESOURCES,
                 "context %lld with batches of %lld rows needs %.1f MiB of "
                 "memory, but %.1f MiB are "
                 "available; %s",
                 (long long)plan.context, (long long)plan.batch,
                 double(plan.total) * mib, double(have) * mib, advice);
}

} // namespace gm
