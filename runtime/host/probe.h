// What this machine gives right now: how fast it reads memory, multiplies bytes
// and passes a cache line between two cores. Speeds of programs are compared
// with these.
#pragma once

#include <cstdint>

namespace gm {

// 0: not measured.
struct Probe {
  double read_one = 0, read_all = 0; // bytes/s from memory; 1 and all threads
  double int8_one = 0, int8_all = 0; // 2 x int8 multiply-adds/s
  double core_to_core = 0;           // ns from a store to its echo (round trip)
};

// Takes about 0.3 s, with `details` (one thread, core to core) about 0.8 s. The
// reads go over PROBE_BYTES of fresh memory; read_* stay 0 if there is less.
constexpr uint64_t PROBE_BYTES = 512u << 20;
Probe probe(int threads, bool details);

} // namespace gm
