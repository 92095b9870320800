// NVIDIA cards from compute capability 9.0 on: Hopper and newer.
#include "targets/Target.h"

namespace gemmac {

Target cudaSm90() {
  Target t = cudaSm80();
  t.name = "cuda-sm90";
  t.summary = "NVIDIA cards of compute capability 9.0 (H100, H200) and newer";
  t.sm = 90;
  t.cubins = {90, 100, 120};
  t.cpu = "sm_90";
  t.features = {"ptx80"}; // of drivers from CUDA 12.0 on
  return t;
}

} // namespace gemmac
