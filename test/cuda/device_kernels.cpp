// Small kernels in plain C++ for nvptx64, compiled to PTX when the tests are
// built, as gemmac's kernels are: what clang and LLVM print is what the
// emulator must read.
using u32 = unsigned;
using u64 = unsigned long long;
#define KERNEL extern "C" __attribute__((nvptx_kernel)) void
#define SHARED __attribute__((address_space(3)))

static u32 index() {
  return __nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() +
         __nvvm_read_ptx_sreg_tid_x();
}

/// y = exp-like polynomial of x; fused nowhere.
KERNEL polynomial(const float *x, float *y, int n) {
  int i = int(index());
  if (i >= n)
    return;
  float v = x[i], sum = 1, term = 1;
  for (int k = 1; k < 12; ++k) {
    term = term * v / float(k);
    sum += term;
  }
  y[i] = sum < 0.0f ? -sum : __builtin_sqrtf(sum);
}

static SHARED float parts[32];

/// Sum of n floats by 256 threads of one CTA, in a fixed order.
KERNEL sum(const float *x, float *y, int n) {
  int t = int(__nvvm_read_ptx_sreg_tid_x());
  float s = 0;
  for (int i = t; i < n; i += 256)
    s += x[i];
  for (int m = 16; m > 0; m /= 2)
    s += __nvvm_shfl_sync_bfly_f32(-1, s, m, 31);
  if (t % 32 == 0)
    parts[t / 32] = s;
  __syncthreads();
  if (t == 0) {
    for (int w = 1; w < 8; ++w)
      s += parts[w];
    *y = s;
  }
}

/// Signed bytes of x / scale by the largest |x| of 32, and bf16 bits.
KERNEL quantize(const float *x, signed char *q, float *scale,
                unsigned short *half) {
  u32 i = index();
  float v = x[i], most = v < 0 ? -v : v;
  for (int m = 16; m > 0; m /= 2) {
    float other = __nvvm_shfl_sync_bfly_f32(-1, most, m, 31);
    most = most > other ? most : other;
  }
  float s = most / 127.0f;
  q[i] = s == 0.0f ? (signed char)0 : (signed char)(int)__builtin_rintf(v / s);
  if (i % 32 == 0)
    scale[i / 32] = s;
  half[i] = __builtin_bit_cast(unsigned short, (__bf16)v);
}

__attribute__((noinline)) static u64 collatz(u64 n) {
  u64 steps = 0;
  for (; n != 1; ++steps)
    n = n % 2 ? 3 * n + 1 : n / 2;
  return steps;
}

/// Loops of very different lengths, in a function of its own.
KERNEL steps(u32 *out) {
  u32 i = index();
  out[i] = u32(collatz(i + 1)) * 2 + (i % 3 == 0 ? u32(collatz(i + 5)) : 0);
}
