// What the families of the towers share whose unit is a row of `k` columns.
// Freestanding, for bodies of CUDA kernels only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_TOWER_ROWS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_TOWER_ROWS_H

#include "codegen/kernels/cuda/rows.h"
#include "codegen/kernels/cuda/tower.h"

// Row `row` of f32.
template <class T>
GM_INLINE T *rowAt(T *x, int64_t row) {
  return x + row * paddedColumns(gm_k);
}

// y[row] = value(i) rounded to act.
template <class Value>
GM_INLINE void storeAct(uint8_t *y, int64_t row, Value value) {
  y += row * rowBytes(gm_act_q8, gm_act_bf16, gm_k);
  forColumns([&](int32_t i) GM_LAMBDA {
    storeElement(gm_act_q8, gm_act_bf16, y, i, value(i));
  });
}

#endif
