#include "targets/Segments.h"

namespace gemmac {

static_assert(sizeof(void *) == 8, "gm_ctx has the offsets of 64-bit machines");

const std::vector<IoArray> &ioArrays() {
#define GM_ARRAY(name, element, rank, inner, readers, writers)                 \
  {#name,    offsetof(gm_ctx, io) + GM_IO_##name * sizeof(void *),             \
   #element, rank,                                                             \
   inner,    readers,                                                          \
   writers},
  static const std::vector<IoArray> arrays = {GM_IO_LIST(GM_ARRAY)};
#undef GM_ARRAY
  return arrays;
}

std::optional<Io> findIo(std::string_view name) {
  for (size_t i = 0; i < ioArrays().size(); ++i)
    if (ioArrays()[i].name == name)
      return Io(i);
  return std::nullopt;
}

static std::vector<SegmentKind> makeSegments() {
#define GM_SEGMENT(name, mask) {#name, mask, {}, {}},
  std::vector<SegmentKind> list = {GM_SEGMENT_LIST(GM_SEGMENT)};
#undef GM_SEGMENT
  for (SegmentKind &segment : list)
    for (size_t i = 0; i < ioArrays().size(); ++i) {
      if (segment.reads(Io(i)))
        segment.inputs.push_back(Io(i));
      if (segment.writes(Io(i)))
        segment.outputs.push_back(Io(i));
    }
  return list;
}

const std::vector<SegmentKind> &segments() {
  static const std::vector<SegmentKind> list = makeSegments();
  return list;
}

const SegmentKind *findSegment(std::string_view name) {
  for (const SegmentKind &segment : segments())
    if (segment.name == name)
      return &segment;
  return nullptr;
}

} // namespace gemmac
