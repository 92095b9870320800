// Cases of attend and merge: against double loops, few + merge = many bitwise,
// rows independent of the rest of their tile.
#include "test/codegen/kernels/body_cases.h"
#include "test/codegen/kernels/body_data.h"

#include "runtime/abi.h"

#include <algorithm>

namespace gemmac::test {
namespace {

// Positions [begin, end) whose rows see each other.
struct Block {
  int slot, begin, end;
};

struct Shape {
  std::string cache, act;
  int heads, group, hd, window;
  int ring = 0; // pages of a ring, 0: every position has its own page
  std::vector<Block> blocks = {}; // any: family attend_blocks
  int kvHeads() const { return heads / group; }
  // One past the last position of the block that `p` is in, 0 outside.
  int blockEnd(int slot, int p) const {
    for (const Block &b : blocks)
      if (b.slot == slot && p >= b.begin && p < b.end)
        return b.end;
    return 0;
  }
  int keysEnd(int slot, int p) const {
    return std::max(p + 1, blockEnd(slot, p));
  }
};

struct Tile {
  int slot, pos0, rows;
};

KernelSpec attendSpec(const Shape &s, RowClass rows) {
  Constants c;
  c.set("heads", int64_t(s.heads))
      .set("hd", int64_t(s.hd))
      .set("group", int64_t(s.group));
  c.set("window", int64_t(s.window)).set("cache", s.cache).set("act", s.act);
  return {s.blocks.empty() ? "attend" : "attend_blocks", rows, c};
}

KernelSpec mergeSpec(const Shape &s) {
  Constants c;
  c.set("heads", int64_t(s.heads)).set("hd", int64_t(s.hd)).set("act", s.act);
  return {"merge", RowClass::Few, c};
}

using Attend = void (*)(const void *, const gm_tile *, const gm_split *,
                        const uint8_t *, const uint8_t *, const int32_t *,
                        int32_t, void *, int32_t, int32_t, int32_t, int32_t);
using AttendBlocks = void (*)(const void *, const gm_tile *, const int32_t *,
                              const gm_split *, const uint8_t *,
                              const uint8_t *, const int32_t *, int32_t, void *,
                              int32_t, int32_t, int32_t, int32_t);
using Merge = void (*)(const void *, const int32_t *, void *, int32_t, int32_t,
                       int32_t, int32_t);

// A step: queries, tiles, and caches in which only what the rows see is a
// number.
class Step {
public:
  Step(const Shape &shape, const std::vector<Tile> &list, uint64_t seed);

  std::vector<uint8_t> runMany(void *f);
  std::vector<uint8_t> runFew(void *f, Merge merge);
  std::string compare(const std::vector<uint8_t> &y);
  // Keys and values of a position that its slot's table maps.
  void poison(int slot, int pos);

  Shape s;
  Array<gm_tile> tiles;
  int rows = 0;
  std::string problem;

private:
  void call(void *f, const gm_split *pieces, void *y, int32_t most,
            int32_t begin, int32_t end);
  // One past the last key that a row of a tile sees.
  int keysEnd(int slot, int pos0, int n) const {
    return s.keysEnd(slot, pos0 + n - 1);
  }
  int firstKey(int p) const {
    return s.window ? std::max(0, p - s.window + 1) : 0;
  }
  // The numbers of a head at a position, after rounding; a page of a ring holds
  // only the last position that was put there.
  std::vector<float> read(bool keys, int slot, int pos, int head) const;
  std::vector<float> numbers(Random &random, float scale) const;
  void put(int slot, int pos, int head, const std::vector<float> &key,
           const std::vector<float> &value);
  void fill(Random &random, int slot, int pos);
  int64_t elements(int r) const { return int64_t(r) * s.heads * s.hd; }

  static constexpr int slots = 3, stride = 40;
  int64_t kBytes, vBytes; // of a page
  Array<int32_t> table, ends;
  Buffer q;
  Array<uint8_t> k, v; // of as many pages as are used
};

int rowsOf(const std::vector<Tile> &list) {
  int n = 0;
  for (const Tile &t : list)
    n += t.rows;
  return n;
}

Step::Step(const Shape &shape, const std::vector<Tile> &list, uint64_t seed)
    : s(shape), rows(rowsOf(list)),
      kBytes(keyPageBytes(s.cache, s.kvHeads(), s.hd)),
      vBytes(valuePageBytes(s.cache, s.kvHeads(), s.hd)),
      table(slots * stride, 0x7ffffff0),
      q(size_t(encodedBytes(s.cache, elements(int(roundUp(rows, 8)))))) {
  Random random(seed);
  for (int64_t i = 0; i < int64_t(rows) * s.heads; ++i)
    putQuery(s.cache, q.data(), s.hd, i, numbers(random, 1));
  int most = 2; // of the pages in use, and others
  for (const Tile &t : list)
    most += keysEnd(t.slot, t.pos0, t.rows) / 64 - firstKey(t.pos0) / 64 + 1;
  std::vector<int> pages(size_t(std::min(most, slots * stride)));
  for (size_t i = 0; i < pages.size(); ++i)
    pages[i] = firstPage + int(i);
  for (size_t i = pages.size(); i > 1; --i)
    std::swap(pages[i - 1], pages[random.below(uint32_t(i))]);
  k.assign(pages.size() * kBytes, 0xff);
  v.assign(pages.size() * vBytes, 0xff);
  size_t used = 0;
  for (int row = 0; const Tile &t : list) {
    tiles.push_back({row, t.rows, t.slot, t.pos0});
    row += t.rows;
    for (int i = 0; i < t.rows; ++i)
      ends.push_back(s.blockEnd(t.slot, t.pos0 + i));
    for (int p = firstKey(t.pos0); p < keysEnd(t.slot, t.pos0, t.rows); ++p) {
      int32_t &entry = table[t.slot * stride + p / 64];
      if (entry == 0x7ffffff0) {
        int same = s.ring ? p / 64 - s.ring : -1;
        bool reuse = same >= firstKey(t.pos0) / 64 &&
                     table[t.slot * stride + same] != 0x7ffffff0;
        entry = reuse ? table[t.slot * stride + same] : pages[used++];
      }
      fill(random, t.slot, p);
    }
  }
}

std::vector<float> Step::numbers(Random &random, float scale) const {
  std::vector<float> x(size_t(s.hd));
  for (float &number : x)
    number = random.normal() * scale;
  return x;
}

void Step::put(int slot, int pos, int head, const std::vector<float> &key,
               const std::vector<float> &value) {
  int64_t page = table[slot * stride + pos / 64] - firstPage;
  putKey(s.cache, &k[page * kBytes], s.hd, head, pos % 64, key);
  putValue(s.cache, &v[page * vBytes], s.hd, head, pos % 64, value);
}

void Step::fill(Random &random, int slot, int pos) {
  for (int h = 0; h < s.kvHeads(); ++h) {
    std::vector<float> key = numbers(random, 2 / std::sqrt(float(s.hd)));
    put(slot, pos, h, key, numbers(random, 1));
  }
}

void Step::poison(int slot, int pos) {
  std::vector<float> nothing(size_t(s.hd), notANumber);
  for (int h = 0; h < s.kvHeads(); ++h)
    put(slot, pos, h, nothing, nothing);
}

std::vector<float> Step::read(bool keys, int slot, int pos, int head) const {
  int64_t page = table[slot * stride + pos / 64] - firstPage;
  std::vector<float> numbers;
  for (int d = 0; d < s.hd; ++d)
    numbers.push_back(
        keys ? getKey(s.cache, &k[page * kBytes], s.hd, head, pos % 64, d)
             : getValue(s.cache, &v[page * vBytes], s.hd, head, pos % 64, d));
  return numbers;
}

void Step::call(void *f, const gm_split *pieces, void *y, int32_t most,
                int32_t begin, int32_t end) {
  const uint8_t *keys = poolOf(k.data(), kBytes),
                *values = poolOf(v.data(), vBytes);
  if (s.blocks.empty())
    reinterpret_cast<Attend>(f)(q.data(), tiles.data(), pieces, keys, values,
                                table.data(), stride, y, rows, most, begin,
                                end);
  else
    reinterpret_cast<AttendBlocks>(f)(q.data(), tiles.data(), ends.data(),
                                      pieces, keys, values, table.data(),
                                      stride, y, rows, most, begin, end);
}

std::vector<uint8_t> Step::runMany(void *f) {
  Buffer y(size_t(roundUp(rows, 8) * encodedBytes(s.act, s.heads * s.hd)));
  int units = int(tiles.size()) * s.kvHeads(), middle = units / 3;
  for (auto [a, b] : {std::pair(middle, units), std::pair(0, middle),
                      std::pair(middle, middle)})
    call(f, nullptr, y.data(), 0, a, b);
  if (!y.intact())
    problem = "attend many writes outside y";
  return {y.data(), y.data() + encodedBytes(s.act, elements(rows))};
}

std::vector<uint8_t> Step::runFew(void *f, Merge merge) {
  Array<gm_split> pieces;
  Array<int32_t> parts(rows);
  int most = 1;
  for (size_t t = 0; t < tiles.size(); ++t) {
    const gm_tile &tile = tiles[t];
    int from = firstKey(tile.pos0),
        to = keysEnd(tile.slot, tile.pos0, tile.rows), part = 0;
    for (int base = from / 256 * 256; base < to; base += 256)
      pieces.push_back(
          {int32_t(t), std::max(base, from), std::min(base + 256, to), part++});
    std::fill_n(parts.begin() + tile.row0, tile.rows, part);
    most = std::max(most, part);
  }
  most += 1; // max_splits may be larger
  Buffer partials(size_t(8 * most * partialBytes(s.heads, s.hd)));
  Buffer y(size_t(8 * encodedBytes(s.act, s.heads * s.hd)));
  int units = int(pieces.size()) * s.kvHeads(), middle = units / 2;
  for (auto [a, b] : {std::pair(0, middle), std::pair(middle, units),
                      std::pair(units, units)})
    call(f, pieces.data(), partials.data(), most, a, b);
  int blocks = s.heads * s.hd / 32;
  for (auto [a, b] : {std::pair(0, blocks / 2), std::pair(blocks / 2, blocks)})
    merge(partials.data(), parts.data(), y.data(), rows, most, a, b);
  if (!partials.intact() || !y.intact())
    problem = "attend few or merge writes outside its result";
  return {y.data(), y.data() + encodedBytes(s.act, elements(rows))};
}

struct Outputs {
  std::vector<double> y, slack; // slack: what rounded weights may change
};

// Attention of a query to keys [from, to) of lists that start at position
// `start`. With `codes` the weights times the values' scales are rounded to
// 1/255 of the largest of their page (and split: factors there are relative to
// the split's largest score, which the ratio does not see).
Outputs attention(const std::vector<float> &q,
                  const std::vector<std::vector<float>> &k,
                  const std::vector<std::vector<float>> &v, size_t from,
                  size_t to, int start, bool codes) {
  std::vector<double> weights;
  Outputs out = {std::vector<double>(q.size()), std::vector<double>(q.size())};
  double top = -1e300, sum = 0;
  for (size_t j = from; j < to; ++j) {
    double score = 0;
    for (size_t d = 0; d < q.size(); ++d)
      score += double(q[d]) * k[j][d];
    weights.push_back(score);
    top = std::max(top, score);
  }
  for (double &w : weights)
    sum += w = std::exp(w - top);
  std::vector<float> scales; // of the values
  for (size_t j = from; j < to; ++j) {
    float largest = 0;
    for (float x : v[j])
      largest = std::max(largest, std::abs(x));
    scales.push_back(largest / 127);
  }
  auto page = [&](size_t j) { return (start + int(j)) / 64; };
  for (size_t j = from, next; j < to; j = next) {
    double largest = 0;
    for (next = j; next < to && page(next) == page(j); ++next)
      largest = std::max(largest, weights[next - from] * scales[next - from]);
    for (size_t i = j; i < next; ++i)
      for (size_t d = 0; d < q.size(); ++d) {
        out.y[d] += weights[i - from] / sum * v[i][d];
        if (codes)
          out.slack[d] += 0.501 * largest / 255 / sum *
                          std::abs(v[i][d] / scales[i - from]);
      }
  }
  return out;
}

std::string Step::compare(const std::vector<uint8_t> &y) {
  double limit = s.cache == "bf16" ? 4e-3 : 2e-5;
  if (s.act == "bf16")
    limit += 4e-3;
  for (const gm_tile &t : tiles)
    for (int kv = 0; kv < s.kvHeads(); ++kv) {
      std::vector<std::vector<float>> keys, values; // from `start` on
      const int start = firstKey(t.pos0);
      for (int j = start; j < keysEnd(t.slot, t.pos0, t.rows); ++j) {
        keys.push_back(read(true, t.slot, j, kv));
        values.push_back(read(false, t.slot, j, kv));
      }
      for (int i = 0; i < t.rows; ++i)
        for (int h = kv * s.group; h < (kv + 1) * s.group; ++h) {
          const int64_t at = elements(t.row0 + i) + h * s.hd;
          std::vector<float> query;
          for (int d = 0; d < s.hd; ++d)
            query.push_back(getQuery(s.cache, q.data(), s.hd, at / s.hd, d));
          const size_t from = firstKey(t.pos0 + i) - start,
                       to = s.keysEnd(t.slot, t.pos0 + i) - start;
          Outputs want =
              attention(query, keys, values, from, to, start, s.cache == "q8");
          for (int d = 0; d < s.hd; ++d) {
            double got = get(s.act, &y[(at + d) * elementBytes(s.act)]);
            if (!(std::abs(got - want.y[d]) <=
                  limit * std::max(1.0, std::abs(want.y[d])) + want.slack[d]))
              return text("row %d head %d dim %d: expects %.8g, got %.8g",
                          t.row0 + i, h, d, want.y[d], got);
          }
        }
    }
  return "";
}

// Every row alone must give the bits it gives in its tile.
std::string alone(Step &step, void *f, const std::vector<uint8_t> &y) {
  Array<gm_tile> all = step.tiles;
  size_t rowBytes = y.size() / step.rows;
  std::string failure;
  for (const gm_tile &t : all)
    for (int i = 0; i < t.rows && failure.empty(); ++i) {
      step.tiles = {{t.row0 + i, 1, t.slot, t.pos0 + i}};
      std::vector<uint8_t> one = step.runMany(f);
      size_t at = (t.row0 + i) * rowBytes;
      if (memcmp(&one[at], &y[at], rowBytes))
        failure =
            text("row %d alone has other bits than in its tile", t.row0 + i);
    }
  step.tiles = all;
  return failure;
}

// Blocks of 8 bits are those of the f32 results.
std::string compareQuantized(void *f32, const Step &step,
                             const std::vector<uint8_t> &y) {
  Step exact = step;
  exact.s.act = "f32";
  std::vector<uint8_t> x = exact.runMany(f32);
  if (y != quantizedRows(reinterpret_cast<const float *>(x.data()),
                         x.size() / sizeof(float)))
    return "the q8 result is not the f32 result in blocks of 8 bits";
  return exact.compare(x);
}

std::string runAttend(const Lookup &find, const Shape &s,
                      const std::vector<Tile> &tiles) {
  void *many = find(attendSpec(s, RowClass::Many));
  bool isFew = rowsOf(tiles) <= 8;
  void *few = isFew ? find(attendSpec(s, RowClass::Few)) : nullptr;
  auto merge = isFew ? Merge(find(mergeSpec(s))) : nullptr;
  Shape exact = s;
  exact.act = "f32";
  void *f32 = find(attendSpec(exact, RowClass::Many));
  if (!many)
    return "";
  Step step(s, tiles, 7 * s.hd + s.heads + s.window);
  std::vector<uint8_t> y = step.runMany(many);
  std::string failure =
      s.act == "q8" ? compareQuantized(f32, step, y) : step.compare(y);
  if (failure.empty() && isFew && step.runFew(few, merge) != y)
    failure = "few and merge give other bits than many";
  if (failure.empty())
    failure = alone(step, many, y);
  if (failure.empty())
    failure = step.problem;
  return failure;
}

// Tokens [dirty, 266) of the tile that are no numbers leave earlier rows alone.
std::string runPoison(const Lookup &find, const Shape &s, int dirty) {
  void *many = find(attendSpec(s, RowClass::Many));
  void *few = find(attendSpec(s, RowClass::Few));
  auto merge = Merge(find(mergeSpec(s)));
  if (!many)
    return "";
  Step step(s, {{1, 261, 5}}, 3);
  std::vector<uint8_t> y = step.runMany(many);
  for (int pos = dirty; pos < 266; ++pos)
    step.poison(1, pos);
  std::vector<uint8_t> z = step.runMany(many), w = step.runFew(few, merge);
  size_t clean = y.size() / 5 * size_t(dirty - 261);
  if (memcmp(y.data(), z.data(), clean) || memcmp(y.data(), w.data(), clean))
    return "a later row's NaN leaks into an earlier row";
  return "";
}

} // namespace

std::vector<Case> attendCases() {
  struct Item {
    Shape shape;
    std::vector<Tile> tiles;
  };
  const std::vector<Tile> rows16 = {
      {0, 0, 16}, {1, 1488, 12}, {2, 253, 3}, {2, 256, 16}};
  const std::vector<Tile> window16 = {
      {0, 0, 16}, {1, 1488, 12}, {2, 509, 3}, {2, 512, 16}};
  const std::vector<Tile> one = {{0, 1499, 1}};
  std::vector<Item> items;
  for (const char *f : {"bf16", "f32", "q8"}) {
    std::string cache = f;
    items.push_back(
        {{cache, "f32", 8, 8, 256, 0}, {{0, 700, 3}, {1, 0, 1}, {2, 255, 1}}});
    items.push_back({{cache, "f32", 8, 8, 256, 0}, rows16});
    items.push_back({{cache, "f32", 8, 8, 256, 0}, one});
    items.push_back({{cache, "f32", 8, 4, 256, 512, 16},
                     {{0, 1300, 4}, {1, 510, 2}, {2, 511, 1}}});
    items.push_back({{cache, "f32", 8, 4, 256, 512, 16}, window16});
    items.push_back({{cache, "f32", 4, 2, 64, 64, 2},
                     {{0, 63, 1}, {1, 64, 2}, {2, 333, 5}}});
    items.push_back({{cache, "f32", 4, 2, 64, 64, 2}, window16});
    items.push_back({{cache, "f32", 4, 1, 32, 8}, {{0, 6, 5}, {1, 261, 3}}});
    items.push_back({{cache, "f32", 4, 1, 32, 8}, window16});
    items.push_back({{cache, "f32", 16, 16, 512, 0}, {{0, 300, 2}}});
    items.push_back({{cache, "f32", 16, 16, 512, 0}, {{0, 240, 16}}});
    items.push_back({{cache, "f32", 6, 3, 96, 0}, {{0, 126, 2}, {1, 1000, 3}}});
    items.push_back({{cache, "f32", 1, 1, 64, 0}, rows16});
    items.push_back({{cache, cache, 2, 2, 32, 0}, {{0, 120, 8}}});
    items.push_back({{cache, "q8", 8, 4, 96, 0}, {{0, 700, 3}, {1, 0, 1}}});
    items.push_back({{cache, "q8", 4, 1, 32, 8}, window16});
    // Blocks: in a tile, from tile to tile, at a split's edge, longer than a
    // page and the window, back to back, of one row.
    items.push_back({{cache,
                      "f32",
                      4,
                      2,
                      64,
                      16,
                      0,
                      {{0, 3, 9}, {1, 254, 259}, {2, 40, 45}, {2, 45, 46}}},
                     {{0, 2, 2}, {1, 253, 3}, {2, 44, 3}}});
    items.push_back({{cache,
                      "f32",
                      8,
                      4,
                      96,
                      64,
                      0,
                      {{0, 5, 150}, {1, 1030, 1041}, {1, 1041, 1300}}},
                     {{0, 0, 16},
                      {0, 16, 16},
                      {0, 144, 16},
                      {1, 1029, 11},
                      {1, 1040, 16},
                      {1, 1296, 8}}});
    items.push_back({{cache, "f32", 8, 8, 256, 512, 0, {{0, 600, 880}}},
                     {{0, 600, 4}, {1, 0, 1}, {2, 255, 1}}});
    items.push_back({{cache, "q8", 4, 1, 32, 8, 0, {{0, 6, 30}, {1, 262, 263}}},
                     {{0, 5, 5}, {1, 261, 3}}});
    items.push_back({{cache, "f32", 2, 2, 32, 0, 0, {{0, 10, 700}}},
                     {{0, 0, 16}, {0, 690, 6}, {0, 696, 16}}});
  }
  std::vector<Case> cases;
  for (const Item &item : items) {
    const Shape &s = item.shape;
    cases.push_back(
        {text("attend%s %s/%s heads %d group %d hd %d window %d rows %d",
              s.blocks.empty() ? "" : "_blocks", s.cache.c_str(), s.act.c_str(),
              s.heads, s.group, s.hd, s.window, rowsOf(item.tiles)),
         [=](const Lookup &find) { return runAttend(find, s, item.tiles); },
         rowsOf(item.tiles) >= 16 && s.hd >= 256});
  }
  for (const char *f : {"bf16", "f32", "q8"})
    for (int group : {1, 8}) {
      Shape s = {f, "f32", 8, group, 64, 0};
      cases.push_back(
          {text("attend %s group %d beside NaN", f, group),
           [=](const Lookup &find) { return runPoison(find, s, 264); }});
      s.blocks = {{1, 262, 265}};
      cases.push_back(
          {text("attend_blocks %s group %d beside NaN", f, group),
           [=](const Lookup &find) { return runPoison(find, s, 265); }});
    }
  return cases;
}

} // namespace gemmac::test
