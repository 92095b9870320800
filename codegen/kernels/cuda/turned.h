// Attention of rows as they come out of their product: a block turns the
// queries of its unit itself, and stores keys and values that it sees. For the
// bodies of rope_attend and append_attend only.
#ifndef GEMMAC_CODEGEN_KERNELS_CUDA_TURNED_H
#define GEMMAC_CODEGEN_KERNELS_CUDA_TURNED_H

namespace {
constexpr bool hasBlocks = false;
}
#include "codegen/kernels/cuda/attend.h"
#include "codegen/kernels/cuda/keys.h"

namespace {

// Queries of a row begin at `column` of x.
struct TurnedQueries {
  const float *x, *rope, *w;
  int32_t stride, column;

  template <Format F>
  GM_LAMBDA void prepare(const Operands &, const gm_split &, int32_t) const {}

  // As loadQueries, with the bits of family rope_q.
  template <Format F>
  GM_LAMBDA void load(const Unit &u) const {
    const int32_t pairs =
        (u.count + TilePairs - 1) / TilePairs * int32_t(TilePairs);
    for (int32_t pair = warpOf(); pair < pairs; pair += Warps) {
      uint32_t *to = queries() + pair * queryStride();
      if (pair >= u.count) {
        for (int32_t i = laneOf(); i < queryWords(); i += WarpLanes)
          to[i] = 0;
        for (int32_t i = laneOf(); F == Q8 && i < ScaleBlocks; i += WarpLanes)
          chunk().queryScale[pair][i] = 0, chunk().querySum[pair][i] = 0;
        continue;
      }
      const int64_t row = u.tile.row0 + u.rowOf(pair);
      const float *from = x + row * stride + column + u.headOf(pair) * gm_hd;
      const Head head = {from, w, rope + row * gm_pairs * 2, inverseRms(from)};
      if constexpr (F == Q8)
        loadCodes(head, to, pair);
      else
        for (int32_t d = laneOf(); d < gm_hd; d += WarpLanes)
          storeElement(0, F == Bf16, to, d, turned(head, d));
    }
  }

private:
  GM_INLINE void loadCodes(const Head &head, uint32_t *to, int32_t pair) {
    int32_t sum = 0; // of the block of lanes so far
    turnedBlocks(head, [&](int32_t d, float value, float scale) GM_LAMBDA {
      const int32_t code = codeOf(value, inverseOf(scale)),
                    block = d / keyBlock(gm_hd);
      reinterpret_cast<int8_t *>(to)[d] = int8_t(code);
      sum = sumOfWarp(code) + (d % keyBlock(gm_hd) < WarpLanes ? 0 : sum);
      if (laneOf() == 0) {
        chunk().queryScale[pair][block] = scale;
        chunk().querySum[pair][block] = sum;
      }
    });
  }
};

// Keys and values of all rows of the slot in this step that are in the split:
// of the unit's tile and of tiles before it, whose units store them, too, the
// same bytes. Who reads them in another block has stored them itself.
struct AppendedQueries : TurnedQueries {
  AppendedRows rows;
  const gm_tile *tiles;
  uint8_t *k, *v;

  template <Format F>
  GM_LAMBDA void prepare(const Operands &x, const gm_split &piece,
                         int32_t head) const {
    const int32_t slot = tiles[piece.tile].slot, heads = gm_heads / gm_group;
    const int32_t *pages = x.pages + int64_t(slot) * x.pageStride;
    for (int32_t t = piece.tile; t >= 0 && tiles[t].slot == slot; --t) {
      const gm_tile tile = tiles[t];
      for (int32_t i = warpOf(); i < tile.rows * 2; i += Warps) {
        const int32_t pos = tile.pos0 + i / 2;
        if (pos >= piece.key0 && pos < piece.key1)
          appendHead(rows, k, v, pages, tile.row0 + i / 2, pos, head, heads,
                     i % 2);
      }
    }
  }
};

} // namespace

#endif
