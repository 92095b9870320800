// Tensor core products of a warp, D = A B + D, of words as cache pages hold
// them (targets/blocks.h). Lane l holds of A, whose rows are keys (or lanes of
// values), in row l / 4 the words l % 4 and 4 + l % 4 of the product's eight,
// a[0] and a[2], and in row 8 + l / 4 a[1] and a[3]; of B, whose columns are
// pairs, the same words of column l / 4; of D rows l / 4 (d[0], d[1]) and 8 + l
// / 4 in columns 2 (l % 4) and the next.
// Freestanding, for body files only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_FRAGMENTS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_FRAGMENTS_H

#include "codegen/kernels/cuda/device.h"

typedef uint32_t u32x4 __attribute__((ext_vector_type(4)));
typedef float f32x4 __attribute__((ext_vector_type(4)));

// 16 bf16 of a row by those of a column, two a word.
GM_INLINE void multiplyBf16(float (&d)[4], u32x4 a, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

// 32 codes of a row by those of a column, four a word: unsigned by signed, or
// signed by unsigned ones.
GM_INLINE void multiplyU8S8(int32_t (&d)[4], u32x4 a, uint32_t b0,
                            uint32_t b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}
GM_INLINE void multiplyS8U8(int32_t (&d)[4], u32x4 a, uint32_t b0,
                            uint32_t b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

#endif
