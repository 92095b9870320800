// What this machine gives right now: how fast it reads memory, multiplies bytes
// and passes a cache line between two cores; or its device: how fast it reads
// its memory, multiplies bytes and comes from one kernel to the next. Speeds of
// programs are compared with these.
#pragma once

#include "runtime/gemma.h"

#include <cstdint>

namespace gm {

// 0: not measured.
struct Probe {
  double read_one = 0, read_all = 0; // bytes/s from memory; 1 and all threads
  double int8_one = 0, int8_all = 0; // 2 x int8 multiply-adds/s
  double core_to_core = 0; // ns from a store until another core sees it; 0 if
                           // the threads never ran at the same time
  // Of a device, which has read_all, int8_all and this: ns that a kernel which
  // does nothing takes in a recorded row of them.
  bool is_device = false;
  double launch = 0;
};

// Takes about 0.3 s, with `details` (one thread, core to core) about 0.8 s. The
// reads go over PROBE_BYTES of fresh memory; read_* stay 0 if there is less.
constexpr uint64_t PROBE_BYTES = 512u << 20;
Probe probe(int threads, bool details);
// The device that programs of this runtime run on (gemma.h, find_device),
// beside a program that has started there. Takes some 50 ms; read_all stays 0
// if the device has too little memory left.
Status probe_device(int64_t index, Probe &probe);

} // namespace gm
