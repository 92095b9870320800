// Family top_scan: the best logits of the vocabulary without computing the
// others. A scan reads the first five bits of every weight; a row whose logit
// could still enter, by the bound that is stored with it (targets/Layouts.h,
// q8_0_split_16x32) and Cauchy-Schwarz, is computed again from all eight, with
// the arithmetic of family logits: the same bits.
#include "codegen/kernels/best.h"
#include "codegen/kernels/softcap.h"

extern "C" {
extern const int32_t gm_k;
extern const float gm_cap;
}

namespace {

using f16x16 = _Float16 __attribute__((ext_vector_type(16)));

constexpr int32_t SplitBytes = sizeof(SplitBlock), LowBytes = sizeof(LowBlock),
                  ActBytes = sizeof(ActivationBlock),
                  ActScaleAt = offsetof(ActivationBlock, scale),
                  ActStartAt = offsetof(ActivationBlock, start);

GM_INLINE int64_t splitGroupBytes() {
  return gm_k / blockValues * SplitBytes + int32_t(sizeof(SplitTail));
}
GM_INLINE int64_t actRowBytes() { return gm_k / blockValues * ActBytes; }
GM_INLINE int64_t lowGroupBytes() { return gm_k / blockValues * LowBytes; }

// acc + the products of four unsigned bytes per lane with four signed ones.
GM_INLINE i32x16 dot(i32x16 acc, u32x16 codes, const uint8_t *x) {
  return dotUnsigned(acc, codes, u32x16(load<uint32_t>(x)));
}

constexpr uint32_t upper4 = 0xf0f0f0f0u, bit3 = 0x08080808u;

// a where the mask has ones, else b.
GM_INLINE u32x16 choose(uint32_t mask, u32x16 a, u32x16 b) {
  return (a & mask) | (b & ~mask);
}

// Bit `from` of every byte at bit 3; the other bits hold anything.
template <int From>
GM_INLINE u32x16 atBit3(u32x16 bits) {
  if constexpr (From < 3)
    return bits << (3 - From);
  return bits >> (From - 3);
}

// Codes of 16 rows for k groups G and G + 4 from the upper nibbles: with the
// bit below them (times 8: 0 .. 248), or with the lower nibbles (0 .. 255).
struct Codes {
  u32x16 first, second;
};
template <int G>
GM_INLINE Codes fiveBits(u32x16 nibbles, u32x16 bits) {
  const uint32_t five = upper4 | bit3;
  return {choose(upper4, nibbles << 4, atBit3<G>(bits)) & five,
          choose(upper4, nibbles, atBit3<G + 4>(bits)) & five};
}
GM_INLINE Codes eightBits(u32x16 nibbles, u32x16 low) {
  return {choose(upper4, nibbles << 4, low), choose(upper4, nibbles, low >> 4)};
}

GM_INLINE f32x16 scalesOf(const uint8_t *w) {
  return __builtin_convertvector(load<f16x16>(w + offsetof(SplitBlock, scales)),
                                 f32x16);
}

// y of N rows with the 16 rows of a group at `w`, the code taken as 8 * (its
// first five bits) + 4. In int32 per block: 8 * five + 4 - 128 times the
// activation's codes. Meanwhile a line of every 64
// bytes of LowBytes a block is fetched from `ahead` on, `step` bytes from one
// block to the next.
template <int N>
GM_INLINE void scanGroup(const uint8_t *w, const uint8_t *x, f32x16 (&y)[N],
                         const uint8_t *ahead, int64_t step) {
  GM_UNROLL
  for (int r = 0; r < N; ++r)
    y[r] = f32x16(0.0f);
  for (int32_t block = 0; block < gm_k / blockValues; ++block) {
    const u32x16 bits = load<u32x16>(w + offsetof(SplitBlock, fifth));
    GM_UNROLL
    for (int i = 0; i < LowBytes; i += 64)
      __builtin_prefetch(ahead + i, 0, 2);
    ahead += step;
    i32x16 sum[N];
    GM_UNROLL
    for (int r = 0; r < N; ++r)
      sum[r] = i32x16(
          sumOriginBits -
          124 * codeSum(load<int32_t>(x + r * actRowBytes() + ActStartAt)));
    auto add = [&](auto g) GM_LAMBDA {
      constexpr int G = decltype(g)::value;
      const Codes c = fiveBits<G>(load<u32x16>(w + G * stepBytes), bits);
      GM_UNROLL
      for (int r = 0; r < N; ++r) {
        const uint8_t *codes = x + r * actRowBytes() + G * 4;
        sum[r] = dot(sum[r], c.first, codes);
        sum[r] = dot(sum[r], c.second, codes + 16);
      }
    };
    add(Int<0>()), add(Int<1>()), add(Int<2>()), add(Int<3>());
    const f32x16 scales = scalesOf(w);
    GM_UNROLL
    for (int r = 0; r < N; ++r)
      y[r] = fma(productOf(sum[r], scales),
                 f32x16(load<float>(x + r * actRowBytes() + ActScaleAt)), y[r]);
    x += ActBytes;
    w += SplitBytes;
  }
}

// y of one row, as family logits computes it before the softcap.
GM_INLINE f32x16 exactGroup(const uint8_t *w, const uint8_t *low,
                            const uint8_t *x) {
  f32x16 y = 0.0f;
  for (int32_t block = 0; block < gm_k / blockValues; ++block) {
    i32x16 sum = load<int32_t>(x + ActStartAt);
    GM_UNROLL
    for (int g = 0; g < 4; ++g) {
      const Codes c = eightBits(load<u32x16>(w + g * stepBytes),
                                load<u32x16>(low + g * stepBytes));
      sum = dot(sum, c.first, x + g * 4);
      sum = dot(sum, c.second, x + g * 4 + 16);
    }
    y = fma(productOf(sum, scalesOf(w)), f32x16(load<float>(x + ActScaleAt)),
            y);
    w += SplitBytes, low += LowBytes, x += ActBytes;
  }
  return y;
}

GM_INLINE f32x16 capped(f32x16 y) {
  return gm_cap > 0 ? softcap(y, gm_cap) : y;
}

// Euclidean norm of an activation row, rounded up by more than its errors and
// those of the product with a bound; squares of scales below 1e-19 vanish,
// which is less than the constant.
GM_INLINE float normOf(const uint8_t *x) {
  float sum = 0;
  for (int32_t block = 0; block < gm_k / blockValues; ++block, x += ActBytes) {
    int32_t squares = 0;
    for (int32_t i = 0; i < blockValues; ++i)
      squares += int32_t(int8_t(x[i])) * int8_t(x[i]);
    const float scale = load<float>(x + ActScaleAt);
    sum = fma(float(squares), scale * scale, sum);
  }
  return __builtin_elementwise_sqrt(sum) * (1 + 1e-4f) + 1e-15f;
}

struct Vocabulary {
  const uint8_t *w, *low;
  const uint32_t *mask; // of the row, or null
  int32_t size;
};

// The exact logits of a group, of which those that are larger than the least of
// `best` enter. Rare: apart from the scan, whose registers it would take.
__attribute__((noinline)) void enter(const Vocabulary &v, const uint8_t *x,
                                     int32_t group, Best best) {
  const f32x16 y = capped(exactGroup(v.w + group * splitGroupBytes(),
                                     v.low + group * lowGroupBytes(), x));
  for (int32_t i = 0; i < 16; ++i) {
    const int32_t id = group * 16 + i;
    if (id < v.size && y[i] > threshold(best) &&
        (!v.mask || v.mask[id / 32] >> (id % 32) & 1))
      insert(best, y[i], id);
  }
}

template <int N>
GM_INLINE void scan(Vocabulary v, const uint32_t *mask, const uint8_t *x,
                    float *values, int32_t *ids, int32_t count, int32_t rows,
                    int32_t parts, int32_t begin, int32_t end) {
  float norm[N], least[N];
  for (int r = 0; r < N; ++r) { // rows of padding never enter
    norm[r] = normOf(x + r * actRowBytes());
    least[r] = r < rows ? GM_LOWEST : 3e38f;
  }
  auto enterAll = [&](int32_t g) {
    for (int32_t r = 0; r < rows; ++r) {
      const int64_t to = (int64_t(r) * parts + begin) * GM_TOP;
      const Best best = {values + to, ids + to, count};
      v.mask = mask ? mask + r * ((int64_t(v.size) + 31) / 32) : nullptr;
      enter(v, x + r * actRowBytes(), g, best);
      least[r] = threshold(best);
    }
  };
  const int64_t groups = (int64_t(v.size) + 15) / 16;
  const int32_t last = int32_t(end * groups / parts);
  // A group that may enter waits until the next one is scanned: its other bits
  // come in meanwhile.
  int32_t waiting = -1, streak = 0, exact = 0;
  for (int32_t g = int32_t(begin * groups / parts); g < last; ++g) {
    if (exact > 0) {
      --exact;
      if (waiting >= 0)
        enterAll(waiting);
      waiting = -1;
      enterAll(g);
      continue;
    }
    const uint8_t *w = v.w + g * splitGroupBytes();
    f32x16 y[N];
    const bool waits = waiting >= 0;
    scanGroup<N>(w, x, y, waits ? v.low + waiting * lowGroupBytes() : w,
                 waits ? LowBytes : 0);
    if (waits)
      enterAll(waiting);
    waiting = -1;
    const f32x16 bounds =
        load<f32x16>(w + splitGroupBytes() - sizeof(SplitTail));
    GM_UNROLL
    for (int r = 0; r < N; ++r) {
      // capped() need not be monotone in its last bits.
      const f32x16 most =
          capped(fma(bounds, f32x16(norm[r]), y[r])) + gm_cap * 1e-6f;
      if (__builtin_reduce_or(~(most <= least[r])) && r < rows)
        waiting = g;
    }
    // Where nearly all enter, two streams cost less than a scan and jumps.
    streak = waiting >= 0 ? streak + 1 : 0;
    exact = streak > 1 ? 8 : 0;
  }
  if (waiting >= 0)
    enterAll(waiting);
}

} // namespace

// Unit = part of the vocabulary; all rows. What the units of a call find is
// with the first of them: a threshold serves them all.
extern "C" void gm_few(const uint8_t *x, const uint32_t *mask,
                       const int32_t *count, const uint8_t *w,
                       const uint8_t *low, float *values, int32_t *ids,
                       int32_t rows, int32_t vocab, int32_t parts,
                       int32_t begin, int32_t end) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t part = begin; part < end; ++part) {
      const int64_t to = (row * parts + part) * GM_TOP;
      clear({values + to, ids + to});
    }
  if (begin >= end)
    return;
  const Vocabulary v = {w, low, nullptr, vocab};
  if (rows == 1)
    scan<1>(v, mask, x, values, ids, *count, rows, parts, begin, end);
  else if (rows == 2)
    scan<2>(v, mask, x, values, ids, *count, rows, parts, begin, end);
  else if (rows <= 4)
    scan<4>(v, mask, x, values, ids, *count, rows, parts, begin, end);
  else
    scan<8>(v, mask, x, values, ids, *count, rows, parts, begin, end);
}
