// Family top: the 64 largest logits of a part of the vocabulary.
#include "codegen/kernels/best.h"

namespace {

GM_INLINE void scan(Best best, const float *logits, const uint32_t *mask,
                    int32_t from, int32_t to) {
  for (int32_t id = from; id < to;) {
    // Most blocks hold nothing new.
    if (id + 16 <= to) {
      i32x16 larger = load<f32x16>(logits + id) > f32x16(threshold(best));
      if (!__builtin_reduce_or(larger)) {
        id += 16;
        continue;
      }
    }
    for (int32_t last = smaller(id + 16, to); id < last; ++id)
      if (logits[id] > threshold(best) &&
          (!mask || mask[id / 32] >> (id % 32) & 1))
        insert(best, logits[id], id);
  }
}

} // namespace

// Unit = part of the vocabulary; all rows. One list for all parts of a call:
// a list of each part would be filled anew with what cannot be among the best.
extern "C" void gm_body(const float *logits, const uint32_t *mask,
                        float *values, int32_t *ids, int32_t rows,
                        int32_t vocab, int32_t stride, int32_t parts,
                        int32_t begin, int32_t end) {
  if (begin >= end)
    return;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t to = (row * parts + part) * GM_TOP;
      clear({values + to, ids + to});
    }
    const int64_t to = (row * parts + begin) * GM_TOP;
    scan({values + to, ids + to}, logits + row * stride,
         mask ? mask + row * ((vocab + 31) / 32) : nullptr,
         int64_t(begin) * vocab / parts, int64_t(end) * vocab / parts);
  }
}
