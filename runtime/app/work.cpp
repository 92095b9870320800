// See work.h.
#include "runtime/app/work.h"

#include <algorithm>
#include <cstring>

namespace gm {

Extent extent_of(const gm_ctx &ctx, int64_t window) {
  Extent e = {ctx.rows, ctx.tiles, {ctx.splits[0], ctx.splits[1]}, {0, 0}};
  for (int32_t t = 0; t < ctx.tiles; ++t) {
    const gm_tile &tile = static_cast<const gm_tile *>(ctx.io[GM_IO_tile])[t];
    e.keys[GM_GLOBAL] += tile.pos0 + tile.rows;
    e.keys[GM_LOCAL] +=
        tile.rows +
        std::min<int64_t>(tile.pos0, std::max<int64_t>(window, 1) - 1);
    if (const auto *ends = static_cast<const int32_t *>(ctx.io[GM_IO_end]))
      e.keys[GM_LOCAL] +=
          std::max(0, ends[tile.row0 + tile.rows - 1] - tile.pos0 - tile.rows);
  }
  return e;
}

UnitRange units_of(const gm_work &work, const Extent &extent,
                   const uint32_t *cut, int32_t w) {
  int64_t all = work.units;
  switch (work.axis) {
  case GM_ALL:
    return {0, extent.rows, extent.rows};
  case GM_ONE:
    return {0, w == 0 ? extent.rows : 0, extent.rows};
  case GM_ROWS:
    all *= extent.rows;
    break;
  case GM_TILES:
    all *= extent.tiles;
    break;
  case GM_SPLITS:
    all *= extent.splits[work.key_bytes[GM_GLOBAL] ? GM_GLOBAL : GM_LOCAL];
  }
  return {all * cut[w] >> 16, all * cut[w + 1] >> 16, all};
}

double bytes_of(const gm_work &work, const Extent &extent) {
  double bytes = double(work.bytes);
  if (work.row_bytes)
    bytes = std::min(bytes, double(work.row_bytes) * double(extent.rows));
  for (int kind : {GM_LOCAL, GM_GLOBAL})
    bytes += double(work.key_bytes[kind]) * double(extent.keys[kind]);
  return bytes;
}

Work work_of(const char *segment, const Extent &extent) {
  Work work;
  for (int32_t e = 0; e < gm_model.entries; ++e) {
    const gm_entry &entry = gm_model.entry[e];
    if (strcmp(entry.name, segment) != 0)
      continue;
    const int32_t *range =
        extent.rows > entry.few_rows ? entry.many_calls : entry.few_calls;
    for (int32_t c = range[0]; c < range[1]; ++c) {
      const gm_work &facts = facts_of(gm_model.call[c]);
      work.bytes += bytes_of(facts, extent);
      work.ops += 2 * double(facts.ops) * double(extent.rows);
    }
  }
  return work;
}

} // namespace gm
