// x86-64 with AVX2, FMA and F16C, without AVX-512: Haswell, Zen 1 and newer
// (x86-64-v3). Pairs of u8 x i8 products are added in i16 (vpmaddubsw); bf16
// weights are widened to f32.
#include "targets/Target.h"

namespace gemmac {

Target x86Avx2() {
  Target t;
  t.name = "x86-avx2";
  t.summary = "x86-64 with AVX2, FMA and F16C (Haswell, Zen and newer)";
  t.triple = "x86_64-unknown-linux-gnu";
  t.arch = "x86_64";
  t.cpu = "x86-64";
  t.features = {"sse3",   "ssse3", "sse4.1", "sse4.2", "crc32",
                "popcnt", "xsave", "avx",    "avx2",   "f16c",
                "fma",    "lzcnt", "bmi",    "bmi2",   "movbe"};
  t.tune = "x86-64-v3";
  t.halide = "x86-64-linux-sse41-avx-avx2-fma-f16c";
  t.machine = "avx2";
  t.emulator = "qemu-x86_64";
  t.vectorBytes = 32;
  t.dot = DotKind::U8S8Pairs;
  t.tuning = {.rows = {1, 2, 4},
              .weightVectors = 8,
              .sums = 8,
              .widenedSums = 12,
              .quantizedSums = 4};
  return t;
}

} // namespace gemmac
