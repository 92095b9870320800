// x86-64 with AVX-512 VNNI and BF16: Cooper Lake, Sapphire Rapids, Zen 4 and
// newer.
#include "targets/Target.h"

namespace gemmac {

Target x86Avx512() {
  Target t;
  t.name = "x86-avx512";
  t.summary =
      "x86-64 with AVX-512 VNNI and BF16 (Cooper Lake, Zen 4 and newer)";
  t.triple = "x86_64-unknown-linux-gnu";
  t.arch = "x86_64";
  t.cpu = "x86-64";
  t.features = {"sse3",       "ssse3",     "sse4.1",   "sse4.2",   "crc32",
                "popcnt",     "xsave",     "avx",      "avx2",     "f16c",
                "fma",        "lzcnt",     "bmi",      "bmi2",     "movbe",
                "avx512f",    "avx512cd",  "avx512bw", "avx512dq", "avx512vl",
                "avx512vnni", "avx512bf16"};
  t.tune = "znver4";
  t.halide = "x86-64-linux-avx512_zen4";
  t.machine = "avx512";
  t.emulator = "qemu-x86_64";
  t.vectorBytes = 64;
  t.dot = DotKind::U8S8;
  t.bf16Dot = true;
  t.roundsBf16 = true;
  t.scansHead = true;
  t.tuning = {.rows = {1, 2, 4, 8},
              .weightVectors = 4,
              .sums = 16,
              .widenedSums = 24,
              .quantizedSums = 8,
              .weightPrefetch = 4608};
  return t;
}

} // namespace gemmac
