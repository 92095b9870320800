// Products of 16 outputs with rows for every format of weights and rows: what
// a warp holds of a step of k, how rows are staged, and how both are
// multiplied. Freestanding, for body files only; must not know how k and rows
// are divided (products.h) nor families.
//
// All formats share one division of the work. Lane 4 g + t of a warp computes
// outputs 2 g and 2 g + 1 of a group of 16 for rows 2 t and 2 t + 1:
// acc[2 * output + row]. Packed matrices (targets/Layouts.h) are fragments of
// mma.sync for it, whose row g is output 2 g and whose row g + 8 is 2 g + 1.
//
// A format P, of a matrix W, has
//   k                 inner size of the matrix
//   StepK, StepBytes, LowBytes  k and bytes of a group in a step; LowBytes: in
//                               the second matrix
//   MostRanges        k is cut into so many ranges, fewer if it is short
//   MostHeld          Held that fit into registers
//   Held, load        weights of a step
//   StagedBytes, stage, read    a row's step in shared memory as `stage` puts
//                               it there, of rows of RowBytes
//   TileBytes, TilePiece, readTile  the same as bytes of the row itself, copied
//                               in pieces
//   multiply          acc += held x input
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_FORMATS_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_FORMATS_H

#include "codegen/kernels/cuda/fragments.h"
#include "codegen/kernels/cuda/memory.h"

extern "C" {
extern const int32_t gm_k, gm_format_f32, gm_format_bf16, gm_format_q8_0,
    gm_format_q8_0_split, gm_format_q4_0, gm_act_f32, gm_act_bf16, gm_act_q8;
}

// The matrix that a product multiplies: its inner size and its format, here
// those of the constants k and format. A family with a second product has
// another such struct for it.
struct Matrix {
  GM_INLINE int32_t k() { return gm_k; }
  GM_INLINE int32_t isF32() { return gm_format_f32; }
  GM_INLINE int32_t isBf16() { return gm_format_bf16; }
  GM_INLINE int32_t isQ8() { return gm_format_q8_0; }
  GM_INLINE int32_t isSplit() { return gm_format_q8_0_split; }
  GM_INLINE int32_t isQ4() { return gm_format_q4_0; }
};

// A group of 16 outputs: where it begins, and (format q8_0_split) where its
// part of the second matrix does.
struct Group {
  const uint8_t *w, *low;
};

GM_INLINE int32_t groupLane() { return laneOf() / 4; }
GM_INLINE int32_t inGroup() { return laneOf() % 4; }

template <bool Once>
GM_INLINE uint64_t load8(const void *p) {
  return Once ? loadOnce8(p) : load<uint64_t>(p);
}
template <bool Once>
GM_INLINE uint32_t load4(const void *p) {
  return Once ? loadOnce4(p) : load<uint32_t>(p);
}

//===-- codes with codes --------------------------------------------------===//

enum class Codes { q8_0, q8_0_split, q4_0, q4_bf };

// 32 k: the exact int32 sum, times the weight's scale, then one fma with the
// row's scale, as on CPUs. 4-bit codes count 16 times (ActivationBlock), which
// the row's scale takes back.
template <Codes F, class W = Matrix>
struct CodeWeights {
  GM_INLINE int32_t k() { return W::k(); }

  static constexpr bool Nibbles = F == Codes::q4_0 || F == Codes::q4_bf,
                        Split = F == Codes::q8_0_split;
  static constexpr int32_t StepK = blockValues,
                           StepBytes = Nibbles ? sizeof(GroupBlock4)
                                       : Split ? sizeof(SplitBlock)
                                               : sizeof(GroupBlock8),
                           LowBytes = Split ? sizeof(LowBlock) : 0,
                           TailBytes = Split ? sizeof(SplitTail) : 0,
                           MostRanges = 8, MostHeld = Nibbles ? 8 : 6;

  GM_INLINE int64_t weightBytes() {
    return int64_t(W::k() / blockValues) * StepBytes;
  }

  struct Held {
    uint64_t codes, more; // 4 k of outputs 2 g and 2 g + 1 each
    uint32_t scales;
  };

  // Step `step` from the group's begin on.
  template <bool Once>
  GM_INLINE void load(Held &held, const Group &group, int32_t step) {
    const int32_t g = groupLane(), t = inGroup();
    const uint8_t *w = group.w + int64_t(step) * StepBytes,
                  *codes = w + t * stepBytes + g * 8;
    held.codes = load8<Once>(codes);
    if constexpr (Split)
      held.more = load8<Once>(group.low + int64_t(step) * LowBytes +
                              t * stepBytes + g * 8);
    else if constexpr (!Nibbles)
      held.more = load8<Once>(codes + 4 * stepBytes);
    held.scales = load4<Once>(w + StepBytes - 2 * groupRows + g * 4);
  }

  GM_INLINE void fragment(const Held &held, uint32_t (&a)[4]) {
    constexpr uint32_t upper = 0xf0f0f0f0u;
    GM_UNROLL for (int32_t i = 0; i < 2; ++i) {
      const uint32_t word = uint32_t(held.codes >> (32 * i)),
                     other = uint32_t(held.more >> (32 * i));
      if constexpr (Nibbles) {
        a[i] = word << 4 & upper;
        a[i + 2] = word & upper;
      } else if constexpr (Split) {
        a[i] = (word << 4 & upper) | (other & ~upper);
        a[i + 2] = (word & upper) | (other >> 4 & ~upper);
      } else {
        a[i] = word;
        a[i + 2] = other;
      }
    }
  }

  GM_INLINE void scalesOf(const Held &held, float (&s)[2]) {
    if constexpr (F == Codes::q4_bf) {
      s[0] = asFloat(held.scales << 16);
      s[1] = asFloat(held.scales & 0xffff0000u);
    } else {
      s[0] = fromF16(uint16_t(held.scales));
      s[1] = fromF16(uint16_t(held.scales >> 16));
    }
  }
};

// A power of two: the bits are those of any other place of the factor.
template <bool Nibbles>
GM_INLINE float rowScale(float scale) {
  return Nibbles ? scale * (1.0f / 16) : scale;
}

template <Codes F, class W = Matrix>
struct CodeProduct : CodeWeights<F, W> {
  using Base = CodeWeights<F, W>;
  using typename Base::Held;

  struct Input {
    uint32_t b[2];
    float scale[2];
    int32_t start[2];
  };

  GM_INLINE int64_t rowBytes() {
    return int64_t(W::k() / blockValues) * int32_t(sizeof(ActivationBlock));
  }

  // Rows in shared memory: per step the codes of all of them, in the order of
  // fragments, then scale and start of all of them.
  static constexpr int32_t StagedBytes = sizeof(ActivationBlock);

  // Puts steps [begin, end) of `rows` rows where L have space.
  template <int32_t L, class RowAt>
  GM_INLINE void stage(uint8_t *to, RowAt rowAt, int32_t rows, int32_t begin,
                       int32_t end) {
    constexpr int32_t parts = 5; // of 8 bytes
    for (int32_t r = 0; r < rows; ++r) {
      const uint8_t *row = rowAt(r) + int64_t(begin) * StagedBytes;
      for (int32_t i = laneOf(); i < (end - begin) * parts; i += WarpLanes) {
        const int32_t step = i / parts, part = i % parts;
        const auto *from =
            reinterpret_cast<const uint32_t *>(row + step * StagedBytes);
        uint8_t *at = to + step * (L * StagedBytes);
        if (part < 4)
          store(at + r * blockValues + part * 8,
                wordsOf(from[part], from[part + 4]));
        else
          store(at + L * blockValues + r * 8,
                wordsOf(bitsOf(rowScale<Base::Nibbles>(asFloat(from[8]))),
                        from[9]));
      }
    }
  }

  // All 8 rows of a step, or (M = 1) row `row` as every one of them.
  template <int32_t M, int32_t L>
  GM_INLINE void read(Input &in, const uint8_t *step, int32_t row) {
    const int32_t r = M == 1 ? row : groupLane();
    const auto codes = ::load<uint64_t>(step + r * blockValues + inGroup() * 8);
    in.b[0] = lowWord(codes), in.b[1] = highWord(codes);
    const uint8_t *scales = step + L * blockValues;
    if constexpr (M == 1) {
      const auto one = ::load<uint64_t>(scales + row * 8);
      in.scale[0] = in.scale[1] = asFloat(lowWord(one));
      in.start[0] = in.start[1] = int32_t(highWord(one));
    } else {
      const auto two = ::load<Words4>(scales + inGroup() * 16);
      in.scale[0] = asFloat(two.word[0]), in.scale[1] = asFloat(two.word[2]);
      in.start[0] = int32_t(two.word[1]), in.start[1] = int32_t(two.word[3]);
    }
  }

  // As the rows are; 2 steps of 8 rows lie in different banks.
  static constexpr int32_t TileSteps = 2, TileBytes = sizeof(ActivationBlock),
                           TileStride = TileSteps * TileBytes, TilePiece = 8,
                           Stages = 3;
  GM_INLINE void readTile(Input &in, const uint8_t *rows, int32_t step) {
    const int32_t g = groupLane(), t = inGroup();
    rows += step * TileBytes;
    const uint8_t *codes = rows + g * TileStride + t * 4;
    in.b[0] = ::load<uint32_t>(codes), in.b[1] = ::load<uint32_t>(codes + 16);
    GM_UNROLL for (int32_t i = 0; i < 2; ++i) {
      const auto one = ::load<uint64_t>(rows + (2 * t + i) * TileStride +
                                        offsetof(ActivationBlock, scale));
      in.scale[i] = rowScale<Base::Nibbles>(asFloat(lowWord(one)));
      in.start[i] = int32_t(highWord(one));
    }
  }

  template <int32_t M>
  GM_INLINE void multiply(float (&acc)[4], const Held &held, const Input &in) {
    uint32_t a[4];
    float scale[2];
    Base::fragment(held, a);
    Base::scalesOf(held, scale);
    const int32_t c[4] = {in.start[0], in.start[1], in.start[0], in.start[1]};
    int32_t d[4];
    multiplyCodes(d, a, in.b, c);
    // 1.5 times a number of 11 bits is exact: one rounding a product.
    const float origin[2] = {-sumOrigin * scale[0], -sumOrigin * scale[1]};
    GM_UNROLL for (int32_t i = 0; i < 4; i += M == 1 ? 2 : 1) acc[i] =
        fma(fma(asFloat(d[i]), scale[i / 2], origin[i / 2]), in.scale[i % 2],
            acc[i]);
  }
};

//===-- codes with f32 rows -----------------------------------------------===//

// Rows are rounded to codes of 16 bits, 256 * high + low, as by CPUs
// (wide_dots.body.cpp): two exact sums a step.
struct WideProduct : CodeWeights<Codes::q8_0> {
  struct Input {
    uint32_t high[2], low[2];
    float scale[2];
    int32_t highStart[2], lowStart[2];
  };

  GM_INLINE int64_t rowBytes() { return int64_t(k()) * 4; }

  // Per step the high codes of all rows, the low ones, and of each scale and
  // both starts.
  static constexpr int32_t StagedBytes = 2 * blockValues + 16;

  template <int32_t L, class RowAt>
  GM_INLINE void stage(uint8_t *to, RowAt rowAt, int32_t rows, int32_t begin,
                       int32_t end) {
    constexpr float most = 127 * 256;
    const int32_t i = laneOf(),
                  place = i / 4 % 4 * 8 + i / halfBlock * 4 + i % 4;
    for (int32_t r = 0; r < rows; ++r) {
      const uint8_t *row = rowAt(r);
      for (int32_t step = begin; step < end; ++step) {
        const auto x = ::load<float>(row + (step * blockValues + i) * 4);
        const float peak = mostOfWarp(magnitude(x)),
                    inverse = peak > 1e-30f ? most / peak : 0.0f;
        const int32_t code =
            int32_t(bitsOf(x * inverse + sumOrigin)) - sumOriginBits;
        const int32_t high = (code + 128) >> 8,
                      low = larger(code - high * 256, -127);
        const int32_t highs = sumOfWarp(high), lows = sumOfWarp(low);
        uint8_t *at = to + (step - begin) * (L * StagedBytes);
        at[r * blockValues + place] = uint8_t(high);
        at[(L + r) * blockValues + place] = uint8_t(low);
        if (i == 0)
          store(at + 2 * L * blockValues + r * 16,
                Words4{{bitsOf(peak > 1e-30f ? peak * (1.0f / most) : 0.0f),
                        uint32_t(startOf(highs)), uint32_t(startOf(lows)), 0}});
      }
    }
  }

  template <int32_t M, int32_t L>
  GM_INLINE void read(Input &in, const uint8_t *step, int32_t row) {
    const int32_t r = M == 1 ? row : groupLane();
    const uint8_t *codes = step + r * blockValues + inGroup() * 8;
    const auto high = ::load<uint64_t>(codes),
               low = ::load<uint64_t>(codes + L * blockValues);
    in.high[0] = lowWord(high), in.high[1] = highWord(high);
    in.low[0] = lowWord(low), in.low[1] = highWord(low);
    GM_UNROLL for (int32_t i = 0; i < 2; ++i) {
      const auto w = ::load<Words4>(step + 2 * L * blockValues +
                                    (M == 1 ? row : 2 * inGroup() + i) * 16);
      in.scale[i] = asFloat(w.word[0]);
      in.highStart[i] = int32_t(w.word[1]);
      in.lowStart[i] = int32_t(w.word[2]);
    }
  }

  template <int32_t M>
  GM_INLINE void multiply(float (&acc)[4], const Held &held, const Input &in) {
    uint32_t a[4];
    float scale[2];
    fragment(held, a);
    scalesOf(held, scale);
    int32_t high[4], low[4];
    const int32_t *h = in.highStart, *l = in.lowStart;
    multiplyCodes(high, a, in.high, {h[0], h[1], h[0], h[1]});
    multiplyCodes(low, a, in.low, {l[0], l[1], l[0], l[1]});
    GM_UNROLL for (int32_t i = 0; i < 4; i += M == 1 ? 2 : 1) {
      // Both are exact, so this rounds the whole sum once.
      const float sum = fma(asFloat(high[i]) - sumOrigin, 256.0f,
                            asFloat(low[i]) - sumOrigin);
      acc[i] = fma(sum * scale[i / 2], in.scale[i % 2], acc[i]);
    }
  }
};

//===-- bf16 with bf16 ----------------------------------------------------===//

// 16 k a step, on tensor cores, whose sums are theirs.
template <class W = Matrix>
struct PairProduct {
  GM_INLINE int32_t k() { return W::k(); }

  static constexpr int32_t StepK = 16, StepBytes = StepK * groupRows * 2,
                           LowBytes = 0, TailBytes = 0, MostRanges = 8,
                           MostHeld = 8;

  GM_INLINE int64_t weightBytes() {
    return int64_t((W::k() + 1) / 2) * (groupRows * 4);
  }
  GM_INLINE int64_t rowBytes() { return int64_t(W::k()) * 2; }

  struct Held {
    uint64_t first, second; // pairs t and 4 + t of outputs 2 g and 2 g + 1
  };
  struct Input {
    uint32_t b[2];
  };

  template <bool Once>
  GM_INLINE void load(Held &held, const Group &group, int32_t step) {
    const int32_t t = inGroup();
    const uint8_t *w = group.w + int64_t(step) * StepBytes +
                       t * (groupRows * 4) + groupLane() * 8;
    if (!Once || W::k() % StepK == 0) {
      held.first = load8<Once>(w);
      held.second = load8<Once>(w + StepBytes / 2);
      return;
    }
    const int32_t pairs = (W::k() + 1) / 2 - step * (StepK / 2);
    held.first = held.second = 0;
    if (t < pairs)
      held.first = load8<Once>(w);
    if (t + 4 < pairs)
      held.second = load8<Once>(w + StepBytes / 2);
  }

  // Per step of every row words t and 4 + t side by side.
  static constexpr int32_t StagedBytes = StepK * 2;

  template <int32_t L, class RowAt>
  GM_INLINE void stage(uint8_t *to, RowAt rowAt, int32_t rows, int32_t begin,
                       int32_t end) {
    auto pair = [&](const uint8_t *row, int32_t word) GM_LAMBDA {
      // What lies behind k may be anything.
      const auto value = [&] { return ::load<uint32_t>(row + word * 4); };
      if (W::k() % StepK == 0 || word * 2 + 1 < W::k())
        return value();
      return word * 2 < W::k() ? value() & 0xffffu : 0u;
    };
    for (int32_t r = 0; r < rows; ++r) {
      const uint8_t *row = rowAt(r);
      for (int32_t i = laneOf(); i < (end - begin) * 4; i += WarpLanes) {
        const int32_t step = i / 4, word = (begin + step) * 8 + i % 4;
        store(to + (step * L + r) * StagedBytes + i % 4 * 8,
              wordsOf(pair(row, word), pair(row, word + 4)));
      }
    }
  }

  template <int32_t M, int32_t L>
  GM_INLINE void read(Input &in, const uint8_t *step, int32_t row) {
    const auto b = ::load<uint64_t>(
        step + (M == 1 ? row : groupLane()) * StagedBytes + inGroup() * 8);
    in.b[0] = lowWord(b), in.b[1] = highWord(b);
  }

  // Padded, so that 8 rows lie in different banks.
  static constexpr int32_t TileSteps = 2, TileBytes = StepK * 2,
                           TileStride = TileSteps * TileBytes + 16,
                           TilePiece = 16, Stages = 3;
  GM_INLINE void readTile(Input &in, const uint8_t *rows, int32_t step) {
    const uint8_t *b =
        rows + groupLane() * TileStride + step * TileBytes + inGroup() * 4;
    in.b[0] = ::load<uint32_t>(b), in.b[1] = ::load<uint32_t>(b + 16);
  }

  template <int32_t M>
  GM_INLINE void multiply(float (&acc)[4], const Held &held, const Input &in) {
    const uint32_t a[4] = {lowWord(held.first), highWord(held.first),
                           lowWord(held.second), highWord(held.second)};
    multiplyBf16(acc, a, in.b);
  }
};

//===-- f32 rows with f32 or (Widened) bf16 -------------------------------===//

// 4 k a step, one fma a product, in order.
template <bool Widened, class W = Matrix>
struct PlainProduct {
  GM_INLINE int32_t k() { return W::k(); }

  static constexpr int32_t StepK = 4, Words = Widened ? 2 : 4,
                           WordBytes = groupRows * 4,
                           StepBytes = Words * WordBytes, LowBytes = 0,
                           TailBytes = 0, MostRanges = 16, MostHeld = 4;

  // Words of an output: of one k, or of a pair.
  GM_INLINE int32_t words() { return Widened ? (W::k() + 1) / 2 : W::k(); }
  GM_INLINE int64_t weightBytes() { return int64_t(words()) * WordBytes; }
  GM_INLINE int64_t rowBytes() { return int64_t(W::k()) * 4; }

  struct Held {
    uint64_t word[Words]; // of outputs 2 g and 2 g + 1
  };
  struct Input {
    float x[2][StepK];
  };

  template <bool Once>
  GM_INLINE void load(Held &held, const Group &group, int32_t step) {
    const uint8_t *w = group.w + int64_t(step) * StepBytes + groupLane() * 8;
    GM_UNROLL for (int32_t i = 0; i < Words; ++i) {
      held.word[i] = 0;
      if (!Once || W::k() % StepK == 0 || step * Words + i < words())
        held.word[i] = load8<Once>(w + i * WordBytes);
    }
  }

  static constexpr int32_t StagedBytes = StepK * 4;

  template <int32_t L, class RowAt>
  GM_INLINE void stage(uint8_t *to, RowAt rowAt, int32_t rows, int32_t begin,
                       int32_t end) {
    for (int32_t r = 0; r < rows; ++r) {
      const uint8_t *row = rowAt(r);
      stageRow<L>(to, r, begin, end, [&](int32_t column) GM_LAMBDA {
        return ::load<float>(row + column * 4);
      });
    }
  }
  // Row r, whose columns are at(column).
  template <int32_t L, class At>
  GM_INLINE void stageRow(uint8_t *to, int32_t r, int32_t begin, int32_t end,
                          At at) {
    for (int32_t i = laneOf(); i < (end - begin) * StepK; i += WarpLanes) {
      const int32_t column = begin * StepK + i;
      float x = 0;
      if (W::k() % StepK == 0 || column < W::k())
        x = at(column);
      store(to + (i / StepK * L + r) * StagedBytes + i % StepK * 4, x);
    }
  }

  GM_INLINE void readRow(Input &in, int32_t i, const uint8_t *row) {
    const auto x = ::load<Words4>(row);
    GM_UNROLL for (int32_t j = 0; j < StepK; ++j) in.x[i][j] =
        asFloat(x.word[j]);
  }
  template <int32_t M, int32_t L>
  GM_INLINE void read(Input &in, const uint8_t *step, int32_t row) {
    GM_UNROLL for (int32_t i = 0; i < (M == 1 ? 1 : 2); ++i)
        readRow(in, i, step + (M == 1 ? row : 2 * inGroup() + i) * StagedBytes);
  }

  static constexpr int32_t TileSteps = 8, TileBytes = StepK * 4,
                           TileStride = TileSteps * TileBytes + 16,
                           TilePiece = 16, Stages = 2;
  GM_INLINE void readTile(Input &in, const uint8_t *rows, int32_t step) {
    GM_UNROLL for (int32_t i = 0; i < 2; ++i) readRow(
        in, i, rows + (2 * inGroup() + i) * TileStride + step * TileBytes);
  }

  template <int32_t M>
  GM_INLINE void multiply(float (&acc)[4], const Held &held, const Input &in) {
    GM_UNROLL for (int32_t j = 0; j < StepK; ++j)
        GM_UNROLL for (int32_t i = 0; i < 4; i += M == 1 ? 2 : 1) {
      float w;
      if constexpr (Widened) {
        const auto word = uint32_t(held.word[j / 2] >> (i / 2 * 32));
        w = asFloat(j % 2 ? word & 0xffff0000u : word << 16);
      } else {
        w = asFloat(uint32_t(held.word[j] >> (i / 2 * 32)));
      }
      acc[i] = fma(w, in.x[i % 2][j], acc[i]);
    }
  }
};

//===-- the one that the constants say ------------------------------------===//

// Whether rows are rounded inside: no product of tiles.
GM_INLINE bool isWide() { return gm_format_q8_0 && gm_act_f32; }

template <class W = Matrix, class Use>
GM_INLINE void withTileProduct(Use use) {
  if (W::isF32())
    use(PlainProduct<false, W>());
  else if (W::isBf16() && gm_act_f32)
    use(PlainProduct<true, W>());
  else if (W::isBf16())
    use(PairProduct<W>());
  else if (W::isQ8())
    use(CodeProduct<Codes::q8_0, W>());
  else if (W::isSplit())
    use(CodeProduct<Codes::q8_0_split, W>());
  else if (W::isQ4())
    use(CodeProduct<Codes::q4_0, W>());
  else
    use(CodeProduct<Codes::q4_bf, W>());
}
template <class Use>
GM_INLINE void withProduct(Use use) {
  if (isWide())
    use(WideProduct());
  else
    withTileProduct(use);
}

#endif
