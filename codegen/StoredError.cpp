// See StoredError.h.
#include "codegen/StoredError.h"

// Errors must not depend on whether this machine multiplies and adds at once.
#pragma STDC FP_CONTRACT OFF

namespace gemmac {

// Sixteen running sums, so that the loop is one of vectors.
__attribute__((target_clones("default", "avx2", "avx512f"))) void
measureError(const float *source, const float *stored, int64_t n,
             StoredError &error) {
  constexpr int64_t lanes = 16, chunk = 16 * lanes;
  for (int64_t at = 0; at < n; at += chunk) {
    const int64_t count = std::min(chunk, n - at), whole = count / lanes;
    float largest[lanes] = {}, squares[lanes] = {}, energy[lanes] = {};
    for (int64_t v = 0; v < whole; ++v)
      for (int64_t l = 0; l < lanes; ++l) {
        float x = source[at + v * lanes + l];
        float d = std::fabs(stored[at + v * lanes + l] - x);
        largest[l] = d > largest[l] ? d : largest[l];
        squares[l] += d * d;
        energy[l] += x * x;
      }
    for (int64_t i = whole * lanes; i < count; ++i) {
      float x = source[at + i], d = std::fabs(stored[at + i] - x);
      largest[0] = d > largest[0] ? d : largest[0];
      squares[0] += d * d;
      energy[0] += x * x;
    }
    for (int64_t l = 0; l < lanes; ++l) {
      error.largest = std::max(error.largest, double(largest[l]));
      error.squares += squares[l];
      error.source += energy[l];
    }
  }
  error.values += n;
}

} // namespace gemmac
