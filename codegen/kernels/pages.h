// Stores a key and a value of `lanes` lanes in a head's pages of formats bf16
// and f32 (targets/blocks.h), whose formulas are written out here for the
// innermost loops. Shared by the families append and heads_kv. Freestanding,
// for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_PAGES_H
#define GEMMAC_CODEGEN_KERNELS_PAGES_H

#include "codegen/kernels/body.h"

// Key `key` of a head's pages of K and V: bf16 keeps two lanes of K, two keys
// of V side by side.
GM_INLINE void storeBf16(uint16_t *k, uint16_t *v, const float *newK,
                         const float *newV, int32_t key, int32_t lanes) {
  for (int32_t d = 0; d < lanes; d += 16) {
    const u16x16 a = toBf16(load<f32x16>(newK + d)),
                 b = toBf16(load<f32x16>(newV + d));
    uint32_t pairs[8];
    store(pairs, a);
    GM_UNROLL
    for (int32_t i = 0; i < 8; ++i)
      store(k + ((key / 32 * (lanes / 2) + d / 2 + i) * 32 + key % 32) * 2,
            pairs[i]);
    GM_UNROLL
    for (int32_t i = 0; i < 16; ++i)
      v[((d / 32 * 32 + key / 2) * 32 + d % 32 + i) * 2 + key % 2] = b[i];
  }
}

GM_INLINE void storeF32(float *k, float *v, const float *newK,
                        const float *newV, int32_t key, int32_t lanes) {
  for (int32_t d = 0; d < lanes; ++d)
    k[(key / 16 * lanes + d) * 16 + key % 16] = newK[d];
  for (int32_t d = 0; d < lanes; d += 16)
    store(v + (d / 16 * GM_PAGE_KEYS + key) * 16, load<f32x16>(newV + d));
}

#endif
