// How a model's predictions differ from a reference's, row of logits by row;
// double arithmetic. Knows nothing of files or of the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gm {

// -log softmax(logits)[target].
double loss(const float *logits, int64_t vocab, int32_t target);

// What the comparison of one row has shown.
enum class RowCheck { Fine, ReferenceNotFinite, NotFinite };

// Sums over rows [vocab] of logits. A reference's logits may be -inf (never
// predicted); every other value must be finite.
class Divergence {
public:
  // `target` is the token that follows, -1: none is known.
  RowCheck add(const float *reference, const float *logits, int64_t vocab,
               int32_t target);

  uint64_t rows() const { return count; }
  // KL(reference || model) of the rows, in nats.
  double mean() const;
  // Quantile q of 0 .. 1, linear between neighbours (numpy's default). Of more
  // than KEPT rows only every second, fourth ... counts; 1 is the most of all.
  double quantile(double q) const;
  // Share of rows whose most likely token (the first of equal ones) is the
  // same.
  double same_top() const;
  double nll() const { return own; } // over the rows with a target
  // Perplexity of the model over that of the reference.
  double perplexity_ratio() const;

  enum : size_t { KEPT = 1u << 18 };

private:
  void keep(double x);

  std::vector<double> kl; // of every `stride`-th row, at most KEPT
  uint64_t count = 0, stride = 1, same = 0, targets = 0;
  double sum_kl = 0, most_kl = 0;
  double own = 0, others = 0;
};

} // namespace gm
