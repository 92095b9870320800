// What families make of sums: the results of linear, linear_geglu and
// linear_ple. Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_ENDS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_ENDS_H

#include "codegen/kernels/cuda/products.h"

// Family linear: a unit is a group.
GM_INLINE auto storeSums(float *y, int32_t stride) {
  return [=](Share share, Sums sums) GM_LAMBDA {
    forEachSum<1>(share, sums, [&](int32_t r, int32_t o, float sum) GM_LAMBDA {
      y[int64_t(share.row + r) * stride + share.first * groupRows + o] = sum;
    });
  };
}

// Family linear_geglu: a unit is two groups of gate, two of up.
GM_INLINE auto storeGated(uint8_t *y, int32_t stride) {
  return [=](Share share, Sums sums) GM_LAMBDA {
    forEachUnit<4>(share, sums, [&](int32_t r, int32_t unit) GM_LAMBDA {
      const int32_t o = unit * 64 + laneOf();
      storeUnit(y, share.row + r, stride, share.first + unit,
                gelu(sums.of(r, o)) * sums.of(r, o + 32));
    });
  };
}

// Family linear_ple: a unit is two groups of quantised results, else one.
template <int32_t U>
GM_INLINE auto storePle(const float *ple, uint8_t *y, int32_t stride,
                        int32_t pleStride, int32_t column) {
  return [=](Share share, Sums sums) GM_LAMBDA {
    auto value = [&](int32_t r, int32_t o) GM_LAMBDA {
      return gelu(sums.of(r, o)) *
             ple[int64_t(share.row + r) * pleStride + column +
                 share.first * (U * groupRows) + o];
    };
    if constexpr (U == 2)
      forEachUnit<2>(share, sums, [&](int32_t r, int32_t unit) GM_LAMBDA {
        storeUnit(y, share.row + r, stride, share.first + unit,
                  value(r, unit * 32 + laneOf()));
      });
    else
      forEachSum<1>(share, sums, [&](int32_t r, int32_t o, float) GM_LAMBDA {
        storeElement(0, gm_act_bf16,
                     y + (share.row + r) * rowBytes(0, gm_act_bf16, stride),
                     share.first * groupRows + o, value(r, o));
      });
  };
}

#endif
