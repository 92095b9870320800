// How bodies of CUDA kernels read weights, and fill shared memory while they
// compute. Freestanding, for body files only; must not know layouts or
// families.
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

#endif
