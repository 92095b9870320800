// How many rows of a prompt go into a step, so that nobody (Ctrl-C, another
// sequence) waits longer than a quarter of a second or one step of 8 rows.
// Results do not depend on it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gm {

class Pace {
public:
  // Of the next step, at most `most`: few as long as nothing is known.
  int64_t rows(int64_t most) const {
    int64_t wanted = int64_t(rate * SECONDS) / TILE * TILE;
    return std::min(most, std::max<int64_t>(wanted, LEAST));
  }
  // A step of `rows` took `ns`. A slow one makes the next ones small, and each
  // of these counts again, so that they grow as soon as it goes faster.
  void add(int64_t rows, int64_t ns) {
    if (rows >= LEAST)
      rate = double(rows) * 1e9 / double(std::max<int64_t>(1, ns));
  }

  enum : int64_t { LEAST = 8, TARGET_NS = 250000000 };

private:
  enum : int64_t { TILE = 16 };
  static constexpr double SECONDS = double(TARGET_NS) * 1e-9;
  double rate = 0; // rows per second of the last step that says something
};

} // namespace gm
