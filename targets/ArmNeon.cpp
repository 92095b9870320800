// 64-bit ARM with NEON, dot product and f16: Cortex-A76, Graviton 2, Apple M1
// and newer. bf16 weights are widened to f32 there.
#include "targets/Target.h"

namespace gemmac {

Target armNeon() {
  Target t;
  t.name = "arm-neon";
  t.summary = "64-bit ARM with NEON, dotprod and fp16 (Cortex-A76 and newer)";
  t.triple = "aarch64-unknown-linux-gnu";
  t.arch = "aarch64";
  t.cpu = "generic";
  t.features = {"dotprod", "fullfp16"};
  t.tune = "cortex-a76";
  t.halide = "arm-64-linux-arm_dot_prod-arm_fp16";
  t.machine = "neon";
  t.emulator = "qemu-aarch64";
  t.vectorBytes = 16;
  t.dot = DotKind::S8S8;
  t.roundsBf16 = true;
  t.tuning = {.rows = {1, 2, 4},
              .weightVectors = 8,
              .sums = 16,
              .widenedSums = 24,
              .quantizedSums = 8};
  return t;
}

} // namespace gemmac
