// NVIDIA cards from compute capability 8.0 on: Ampere, Ada and newer. Layouts
// are those of x86-avx512, whose blocks are fragments of mma.sync.
#include "targets/Target.h"

namespace gemmac {

Target cudaSm80() {
  Target t;
  t.device = Device::Cuda;
  t.name = "cuda-sm80";
  t.summary = "NVIDIA cards of compute capability 8.0 (A100, RTX 30) and newer";
  t.triple = "nvptx64-nvidia-cuda";
  t.arch = "x86_64-cuda";
  t.sm = 80;
  t.cubins = {80, 86, 89, 90, 100, 120};
  t.cpu = "sm_80";
  // PTX 7.4, which drivers from CUDA 11.4 on know: the least that has
  // ld.global.nc.L1::no_allocate.
  t.features = {"ptx74"};
  t.machine = "cuda";
  t.dot = DotKind::U8S8;
  t.bf16Dot = true;
  t.roundsBf16 = true;
  t.scansHead = true; // the layout of the head, so that weight files are shared
  t.mostHeadSize = 512; // a block's threads have registers for no more
  return t;
}

} // namespace gemmac
