// Tensor core products of a warp, 16 x K by K x 8, of words as packed matrices
// and cache pages hold them (targets/blocks.h). Lane 4 g + t holds of A, in
// words of 32 bits, words t and 4 + t of row g, a[0] and a[2], and of row 8 +
// g, a[1] and a[3]; of B the same words of column g, b[0] and b[1]; of C and D
// rows g (0, 1) and 8 + g (2, 3) in columns 2 t and 2 t + 1. Freestanding, for
// body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_FRAGMENTS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_FRAGMENTS_H

#include "codegen/kernels/cuda/device.h"

// K = 16, two bf16 a word, added to d.
GM_INLINE void multiplyBf16(float (&d)[4], const uint32_t (&a)[4],
                            const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// K = 32, four codes a word, d = a b + c; those of A unsigned, of B signed.
GM_INLINE void multiplyCodes(int32_t (&d)[4], const uint32_t (&a)[4],
                             const uint32_t (&b)[2], const int32_t (&c)[4]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),
        "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

// The same, those of A signed, of B unsigned.
GM_INLINE void multiplySigned(int32_t (&d)[4], const uint32_t (&a)[4],
                              const uint32_t (&b)[2], const int32_t (&c)[4]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),
        "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

#endif
