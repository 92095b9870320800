// How bodies of CUDA kernels read weights, fill shared memory while they
// compute, and multiply on tensor cores. Freestanding, for body files only;
// must not know layouts or families.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_MEMORY_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_MEMORY_H

#include "codegen/kernels/cuda/device.h"

//===-- loads -------------------------------------------------------------===//

// Of what every byte is read once and nobody writes: weights. Not kept in L1.
GM_INLINE uint64_t loadOnce8(const void *p) {
  uint64_t value;
  asm volatile("ld.global.nc.L1::no_allocate.b64 %0, [%1];"
               : "=l"(value)
               : "l"(p));
  return value;
}
GM_INLINE uint32_t loadOnce4(const void *p) {
  uint32_t value;
  asm volatile("ld.global.nc.L1::no_allocate.b32 %0, [%1];"
               : "=r"(value)
               : "l"(p));
  return value;
}

template <class T>
GM_INLINE T load(const void *p) {
  return *static_cast<const T *>(p);
}
template <class T>
GM_INLINE void store(void *p, T value) {
  *static_cast<T *>(p) = value;
}

// 16 bytes at once.
struct alignas(16) Words4 {
  uint32_t word[4];
};

GM_INLINE uint32_t lowWord(uint64_t x) { return uint32_t(x); }
GM_INLINE uint32_t highWord(uint64_t x) { return uint32_t(x >> 32); }
GM_INLINE uint64_t wordsOf(uint32_t low, uint32_t high) {
  return uint64_t(high) << 32 | low;
}

//===-- asynchronous copies to shared memory ------------------------------===//

// Copies the first `bytes` (0 .. Size) of Size = 8 or 16 bytes, the others
// become zeros. Both addresses are multiples of Size.
template <int32_t Size>
GM_INLINE void copyAsync(void *to, const void *from, int32_t bytes) {
  static_assert(Size == 8 || Size == 16);
  if constexpr (Size == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     sharedAddress(to)),
                 "l"(from), "r"(bytes)
                 : "memory");
  else
    asm volatile(
        "cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(sharedAddress(to)),
        "l"(from), "r"(bytes)
        : "memory");
}
GM_INLINE void commitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until at most N of this thread's groups are under way.
template <int32_t N>
GM_INLINE void waitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

//===-- tensor cores ------------------------------------------------------===//

// Lane 4 g + t of a warp holds, of the product of a 16 x K and a K x 8 matrix,
// elements (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1).

// K = 32. a: words 4 t .. of rows g and g + 8, then words 16 + 4 t .. of them;
// b: words 4 t .. and 16 + 4 t .. of column g.
GM_INLINE void multiplyCodes(int32_t (&d)[4], const uint32_t (&a)[4],
                             const uint32_t (&b)[2], const int32_t (&c)[4]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),
        "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

// K = 16: pairs 2 t and 8 + 2 t in the places of words. Added to d.
GM_INLINE void multiplyBf16(float (&d)[4], const uint32_t (&a)[4],
                            const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
