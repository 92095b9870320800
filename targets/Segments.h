// The segments of a step and the arrays that they exchange with the runtime:
// the lists of runtime/abi.h as data. A new segment or array is a line there.
// Must not know MLIR.
#pragma once

#include "runtime/abi.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace gemmac {

// Named as in plans: Io::rope_local is the array that `kernel.io =
// "rope_local"` means.
enum class Io {
#define GM_NAME(name, ...) name,
  GM_IO_LIST(GM_NAME)
#undef GM_NAME
};

struct IoArray {
  std::string_view name;
  size_t field;             // offset of its pointer in gm_ctx
  std::string_view element; // "f32", "i32", or "any"
  int rank;
  int64_t inner;             // size of dimension 1; 0: the model's
  unsigned readers, writers; // masks of segments
};

const std::vector<IoArray> &ioArrays(); // in the order of Io
inline const IoArray &arrayOf(Io io) { return ioArrays()[size_t(io)]; }
std::optional<Io> findIo(std::string_view name);

struct SegmentKind {
  std::string_view name;
  unsigned mask;
  // What it reads and writes, in the order of Io.
  std::vector<Io> inputs, outputs;

  // Makes soft rows: computed in class many only, with rows of its own.
  bool isTower() const { return mask & (GM_PATCHES | GM_IMAGE | GM_AUDIO); }
  bool reads(Io io) const { return arrayOf(io).readers & mask; }
  bool writes(Io io) const { return arrayOf(io).writers & mask; }
};

const std::vector<SegmentKind> &segments();
const SegmentKind *
findSegment(std::string_view name); // nullptr if there is none

} // namespace gemmac
