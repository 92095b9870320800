// Products of bytes for machines that have no instruction for them, and what
// those machines share whose products of matrices are in dots.body.cpp.
#ifndef GEMMAC_CODEGEN_KERNELS_MACHINES_PLAIN_H
#define GEMMAC_CODEGEN_KERNELS_MACHINES_PLAIN_H

GM_INLINE i32x16 signedByte(u32x16 x, int32_t i) {
  return __builtin_bit_cast(i32x16, x << (24 - i)) >> 24;
}
GM_INLINE i32x16 unsignedByte(u32x16 x, int32_t i) {
  return __builtin_bit_cast(i32x16, x >> i & 0xffu);
}

GM_INLINE i32x16 dotUnsigned(i32x16 acc, u32x16 a, u32x16 b) {
  GM_UNROLL
  for (int32_t i = 0; i < 32; i += 8)
    acc += unsignedByte(a, i) * signedByte(b, i);
  return acc;
}

// A pair of bf16 per lane, one product after the other.
GM_INLINE f32x16 addPairs(f32x16 acc, u32x16 a, uint32_t b) {
  acc = fma(__builtin_bit_cast(f32x16, a << 16),
            f32x16(__builtin_bit_cast(float, b << 16)), acc);
  return fma(__builtin_bit_cast(f32x16, a & 0xffff0000u),
             f32x16(__builtin_bit_cast(float, b & 0xffff0000u)), acc);
}

struct DotsShape { // of a pass over k, for N rows
  // Vectors of outputs: whose f32 sums are there, and whose int32 sums.
  int vectors, together;
  bool inRegisters; // the f32 sums; else in y
};

#endif
