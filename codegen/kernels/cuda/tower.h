// What the families of the towers share: bounds and activations. Freestanding,
// for bodies of CUDA kernels only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_TOWER_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_TOWER_H

#include "codegen/kernels/cuda/device.h"

// clip(x) = min(max(x, lo), hi); what is no number stays none.
struct Bounds {
  float lo, hi;
  GM_LAMBDA float operator()(float x) const {
    return x < lo ? lo : x > hi ? hi : x;
  }
};
GM_INLINE Bounds boundsOf(const float *lo, const float *hi) {
  return {*lo, *hi};
}
GM_INLINE Bounds noBounds() { return {-__builtin_inff(), __builtin_inff()}; }

// 1 + exp(-x), of -80 .. 80.
GM_INLINE float sigmoidInverse(float x) {
  return 1.0f + expOf(smaller(larger(-x, -80.0f), 80.0f));
}
GM_INLINE float sigmoid(float x) { return 1.0f / sigmoidInverse(x); }
GM_INLINE float silu(float x) { return x / sigmoidInverse(x); }

#endif
