// How much of each phase every worker computes. Cores need not be equal (small
// and large ones, some shared with other programs); what each got done says how
// fast it is. Results do not depend on shares.
#pragma once

#include "runtime/host/clock.h"

#include <cstdint>

namespace gm {

class Shares {
public:
  enum { MOST_WORKERS = 256 };

  void reset(int workers); // equal shares
  // workers + 1 cut points from 0 to 65536, as in gm_ctx::cut.
  const uint32_t *cut() const { return table; }
  // Nanoseconds that each worker computed, without waiting for others, in some
  // phases. After every 8 of these the shares follow, if they are far off.
  void add(const int64_t *busy);

  // Whether the next phases are to be measured: the first ones and a few of the
  // later, since two readings of the clock at each barrier cost something.
  bool is_due() { return workers > 1 && (++phases <= 32 || phases % 16 == 0); }
  // A worker computes from `begin` to `end`; `finish` adds what all did.
  void begin(int worker) { clock[worker].since = now_ns(); }
  void end(int worker) { clock[worker].busy += now_ns() - clock[worker].since; }
  void finish();

private:
  void fill();

  int workers = 1, samples = 0;
  double share[MOST_WORKERS]; // sum 1
  double total[MOST_WORKERS]; // ns since the last change
  uint32_t table[MOST_WORKERS + 1];
  struct alignas(64) Clock {
    int64_t since, busy; // ns
  } clock[MOST_WORKERS];
  uint64_t phases = 0;
};

} // namespace gm
