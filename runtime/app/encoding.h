// When a picture, a frame or a sound of a prompt was read and encoded: what
// --timings and --profile say of it. Knows nothing of towers.
#pragma once

#include "runtime/host/clock.h"

#include <cstdint>
#include <string>

namespace gm {

struct Encoding {
  const char *kind = ""; // "picture", "frame", "sound"
  std::string name = ""; // as messages call it
  // Nanoseconds of now_ns: reading begins; it stands in front of its tower; the
  // tower has made soft rows of it.
  int64_t begin = 0, ready = 0, end = 0;
  int64_t rows = 0, soft = 0; // in front of the tower, behind it

  void finish(int64_t rows_in, int64_t rows_out) {
    end = now_ns();
    rows = rows_in;
    soft = rows_out;
  }
};

} // namespace gm
