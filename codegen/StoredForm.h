// How the values of a tensor lie in a file whose writer has permuted or
// precomputed them, where that differs from the canonical tensor: readers of
// files say it, whoever reads values undoes it, and nothing between them knows.
// Must not know files or which tensors there are.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace gemmac {

struct StoredForm {
  // Of a row of n values: so many planes, one after the other, where the
  // canonical row has the values of all planes in turn. 3 of a patch: (channel,
  // y, x) in the file, (y, x, channel) canonically.
  int64_t planes = 1;
  // Of a row: so many pieces of one size, each of which is in planes.
  int64_t pieces = 1;
  // The first two of three dimensions are exchanged in the file.
  bool exchanged = false;
  // softplus has been applied to every value.
  bool softplus = false;

  bool operator==(const StoredForm &) const = default;
  bool isPlain() const { return *this == StoredForm(); }

  // Where row `row` of a tensor of that canonical shape is in the file, counted
  // in rows.
  int64_t storedRow(const std::vector<int64_t> &shape, int64_t row) const {
    if (!exchanged)
      return row;
    return row % shape[1] * shape[0] + row / shape[1];
  }
  // Where value `column` of a row of `n` is in the file's row.
  int64_t storedColumn(int64_t column, int64_t n) const {
    const int64_t size = n / pieces, at = column % size;
    return column - at + at % planes * (size / planes) + at / planes;
  }
  // The canonical value of one in the file; no number where there is none.
  double canonical(double value) const {
    // ln(e^y - 1), exact for small and large y.
    return softplus ? value + std::log(-std::expm1(-value)) : value;
  }
  // A row of `n` values of the file in the canonical order.
  void arrange(const float *stored, int64_t n, float *to) const {
    for (int64_t i = 0; i < n; ++i)
      to[i] = float(canonical(stored[storedColumn(i, n)]));
  }
  // "", or what distinguishes it, for keys and messages.
  std::string text() const {
    std::string what;
    if (planes > 1)
      what += " in " + std::to_string(planes) + " planes";
    if (pieces > 1)
      what += " of each of " + std::to_string(pieces) + " pieces";
    if (exchanged)
      what += " with exchanged dimensions";
    return what + (softplus ? " with softplus applied" : "");
  }
};

} // namespace gemmac
