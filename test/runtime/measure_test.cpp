// What measurements rest on: statistics, the work of calls, the probe, and the
// hooks of generated code.
#include "runtime/app/pace.h"
#include "runtime/app/statistics.h"
#include "runtime/app/work.h"
#include "runtime/host/probe.h"

#include <gtest/gtest.h>

using namespace gm;

TEST(Statistics, OfNothingAndOfOne) {
  Summary none = summarize({});
  EXPECT_EQ(none.mean, 0);
  EXPECT_EQ(none.most, 0);
  Summary one = summarize({4});
  EXPECT_EQ(one.mean, 4);
  EXPECT_EQ(one.deviation, 0);
  EXPECT_EQ(one.median, 4);
  EXPECT_EQ(one.least, 4);
  EXPECT_EQ(one.most, 4);
}

TEST(Statistics, OfASample) {
  Summary s = summarize({5, 2, 4, 9});
  EXPECT_EQ(s.mean, 5);
  EXPECT_NEAR(s.deviation, 2.9439202887759492, 1e-12); // sqrt(26 / 3)
  EXPECT_EQ(s.median, 4.5);
  EXPECT_EQ(s.least, 2);
  EXPECT_EQ(s.most, 9);
  EXPECT_EQ(summarize({7, 1, 3}).median, 3);
  EXPECT_EQ(summarize({3, 3, 3}).deviation, 0);
}

Extent extent(int rows, int64_t local = 0, int64_t global = 0) {
  Extent e;
  e.rows = rows;
  e.keys[GM_LOCAL] = local;
  e.keys[GM_GLOBAL] = global;
  return e;
}

// The fake model's body calls (few): 1000 bytes and 100 multiply-adds, then a
// stack of 800 bytes of which a row reads 100, with 10; many: 5000 and 1.
TEST(Work, OfSegments) {
  Work one = work_of("body", extent(1));
  EXPECT_EQ(one.bytes, 1000 + 100);
  EXPECT_EQ(one.ops, 2 * 110);
  Work eight = work_of("body", extent(8));
  EXPECT_EQ(eight.bytes, 1000 + 800);
  EXPECT_EQ(eight.ops, 8 * 2 * 110);
  EXPECT_EQ(work_of("body", extent(5)).bytes, 1000 + 500);
  Work many = work_of("body", extent(9));
  EXPECT_EQ(many.bytes, 5000);
  EXPECT_EQ(many.ops, 9 * 2);
  EXPECT_EQ(work_of("tail", extent(1, 40, 2000)).bytes, 3 * 40);
  EXPECT_EQ(work_of("top", extent(1, 40, 2000)).bytes, 7 * 2000);
  EXPECT_EQ(work_of("none", extent(1)).bytes, 0);
}

TEST(Work, UnitsOfWorkers) {
  const uint32_t cut[] = {0, 32768, 65536};
  Extent e = extent(3);
  e.tiles = 5;
  e.splits[GM_LOCAL] = 7;
  e.splits[GM_GLOBAL] = 9;
  struct {
    int axis, units, global;
    int64_t begin[2], end[2], all;
  } cases[] = {
      {GM_BLOCKS, 11, 0, {0, 5}, {5, 11}, 11},
      {GM_ROWS, 2, 0, {0, 3}, {3, 6}, 6},
      {GM_TILES, 2, 0, {0, 5}, {5, 10}, 10},
      {GM_SPLITS, 1, 0, {0, 3}, {3, 7}, 7},
      {GM_SPLITS, 2, 1, {0, 9}, {9, 18}, 18},
      {GM_ALL, 1, 0, {0, 0}, {3, 3}, 3},
      {GM_ONE, 1, 0, {0, 0}, {3, 0}, 3},
  };
  for (auto &c : cases) {
    gm_work work = {};
    work.axis = c.axis;
    work.units = c.units;
    work.key_bytes[c.global ? GM_GLOBAL : GM_LOCAL] = 1;
    for (int w = 0; w < 2; ++w) {
      UnitRange u = units_of(work, e, cut, w);
      EXPECT_EQ(u.begin, c.begin[w]) << c.axis;
      EXPECT_EQ(u.end, c.end[w]) << c.axis;
      EXPECT_EQ(u.all, c.all) << c.axis;
    }
  }
}

TEST(Work, KeysThatTilesSee) {
  gm_tile tiles[] = {{0, 16, 0, 0}, {16, 4, 0, 16}, {20, 1, 1, 900}};
  gm_ctx ctx = {};
  ctx.rows = 21;
  ctx.tiles = 3;
  ctx.io[GM_IO_tile] = tiles;
  Extent e = extent_of(ctx, 10);
  EXPECT_EQ(e.rows, 21);
  EXPECT_EQ(e.keys[GM_GLOBAL], 16 + 20 + 901);
  EXPECT_EQ(e.keys[GM_LOCAL], 16 + (4 + 9) + 10);
}

TEST(Pace, StepsTakeAQuarterOfASecond) {
  Pace pace;
  EXPECT_EQ(pace.rows(512), 8); // nothing is known of this machine
  EXPECT_EQ(pace.rows(3), 3);
  pace.add(8, 8 * 1000000); // 1000 rows per second
  EXPECT_EQ(pace.rows(512), 240);
  EXPECT_EQ(pace.rows(100), 100);
  pace.add(240, 24000000); // 10000
  EXPECT_EQ(pace.rows(512), 512);
  // The last rows of a prompt say nothing.
  pace.add(3, 1000000000);
  EXPECT_EQ(pace.rows(512), 512);
  // One step that was held up is not for ever.
  pace.add(512, 60ll * 1000000000);
  EXPECT_EQ(pace.rows(512), 8);
  pace.add(8, 8 * 1000000);
  EXPECT_EQ(pace.rows(512), 240);
}

TEST(Probe, MeasuresWhatIsPlausible) {
  Probe p = probe(2, true);
  for (double rate : {p.read_one, p.read_all, p.int8_one, p.int8_all}) {
    EXPECT_GT(rate, 1e8);
    EXPECT_LT(rate, 1e14);
  }
  EXPECT_GE(p.core_to_core, 0); // 0 on a busy machine or one core
  EXPECT_LT(p.core_to_core, 2000);
  Probe brief = probe(2, false);
  EXPECT_EQ(brief.read_one, 0);
  EXPECT_EQ(brief.core_to_core, 0);
  EXPECT_GT(brief.int8_all, 1e8);
  Probe alone = probe(1, true);
  EXPECT_EQ(alone.read_one, alone.read_all);
  EXPECT_EQ(alone.core_to_core, 0);
}
