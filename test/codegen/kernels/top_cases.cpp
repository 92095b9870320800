// Cases of top, top_merge, top_experts and moe_sort, against sorting.
#include "test/codegen/kernels/body_cases.h"
#include "test/codegen/kernels/body_data.h"

#include "runtime/abi.h"

#include <algorithm>
#include <numeric>

namespace gemmac::test {
namespace {

using Top = void (*)(const float *, const uint32_t *, float *, int32_t *,
                     int32_t, int32_t, int32_t, int32_t, int32_t, int32_t);
using TopMerge = void (*)(const float *, const int32_t *, int32_t *, float *,
                          int32_t, int32_t, int32_t, int32_t);

enum class Logits { Random, Ascending, Equal, Few, WithNan };

Array<float> makeLogits(Logits kind, int rows, int vocab, int stride) {
  Random random(vocab + int(kind));
  Array<float> g(size_t(rows) * stride, notANumber);
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < vocab; ++i) {
      float x = random.normal() * 5;
      switch (kind) {
      case Logits::Random:
        break;
      case Logits::Ascending:
        x = float(i);
        break;
      case Logits::Equal:
        x = 1;
        break;
      case Logits::Few:
        x = std::floor(x);
        break;
      case Logits::WithNan:
        x = i % 3 ? x : notANumber;
        break;
      }
      g[size_t(r) * stride + i] = x;
    }
  return g;
}

struct Found {
  std::vector<int32_t> ids;
  std::vector<float> values;
};

Found sorted(const float *g, const uint32_t *mask, int from, int to) {
  std::vector<int32_t> ids;
  for (int i = from; i < to; ++i)
    if (g[i] == g[i] && (!mask || mask[i / 32] >> (i % 32) & 1))
      ids.push_back(i);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int a, int b) { return g[a] > g[b]; });
  ids.resize(std::min<size_t>(ids.size(), GM_TOP));
  Found found;
  for (int i : ids)
    found.values.push_back(g[i]);
  found.ids = ids;
  found.ids.resize(GM_TOP, -1);
  found.values.resize(GM_TOP, -1e30f);
  return found;
}

std::string check(const char *what, int row, const Found &want,
                  const int32_t *ids, const float *values) {
  for (int i = 0; i < GM_TOP; ++i)
    if (ids[i] != want.ids[i] || values[i] != want.values[i])
      return text("%s row %d place %d: expects %d (%.8g), got %d (%.8g)", what,
                  row, i, want.ids[i], double(want.values[i]), ids[i],
                  double(values[i]));
  return "";
}

std::string runTop(const Lookup &find, Logits kind, int rows, int vocab,
                   int parts, bool masked) {
  auto top = Top(find({"top", RowClass::Few, {}}));
  auto merge = TopMerge(find({"top_merge", RowClass::Few, {}}));
  if (!top)
    return "";
  const int stride = int(roundUp(vocab, 32)) + 32, words = (vocab + 31) / 32;
  Array<float> g = makeLogits(kind, rows, vocab, stride);
  Random random(9);
  Array<uint32_t> mask(size_t(rows) * words);
  for (uint32_t &m : mask)
    m = random.below(1u << 31) & random.below(1u << 31) &
        random.below(1u << 31);
  Buffer values(size_t(8) * parts * GM_TOP * 4), ids(values.bytes);
  Buffer topValues(size_t(8) * GM_TOP * 4), topIds(topValues.bytes);
  for (auto [a, b] :
       {std::pair(0, parts / 3), std::pair(parts / 3, parts), std::pair(1, 1)})
    top(g.data(), masked ? mask.data() : nullptr, values.as<float>(),
        ids.as<int32_t>(), rows, vocab, stride, parts, a, b);
  merge(values.as<float>(), ids.as<int32_t>(), topIds.as<int32_t>(),
        topValues.as<float>(), rows, parts, 0, 1);
  for (int r = 0; r < rows; ++r) {
    const float *logits = &g[size_t(r) * stride];
    const uint32_t *bits = masked ? &mask[size_t(r) * words] : nullptr;
    for (int u = 0; u < parts; ++u) { // the others of a call are empty
      int end = u == parts / 3 ? parts : u == 0 ? parts / 3 : u;
      int from = int(int64_t(u) * vocab / parts),
          to = int(int64_t(end) * vocab / parts);
      size_t at = (size_t(r) * parts + u) * GM_TOP;
      std::string e = check("top", r, sorted(logits, bits, from, to),
                            ids.as<int32_t>() + at, values.as<float>() + at);
      if (!e.empty())
        return e;
    }
    std::string e = check("top_merge", r, sorted(logits, bits, 0, vocab),
                          topIds.as<int32_t>() + r * GM_TOP,
                          topValues.as<float>() + r * GM_TOP);
    if (!e.empty())
      return e;
  }
  bool intact =
      values.intact() && ids.intact() && topValues.intact() && topIds.intact();
  return intact ? "" : "top or top_merge writes outside its results";
}

using TopExperts = void (*)(const float *, const float *, float *, int32_t *,
                            int32_t, int32_t, int32_t);
using MoeSort = void (*)(const int32_t *, int32_t *, int32_t, int32_t, int32_t);

KernelSpec moeSpec(const char *family, RowClass rows, int experts, int top) {
  Constants c;
  c.set("experts", int64_t(experts)).set("top", int64_t(top));
  return {family, rows, c};
}

std::string runTopExperts(const Lookup &find, RowClass rowClass, int experts,
                          int top, int rows) {
  auto f = TopExperts(find(moeSpec("top_experts", rowClass, experts, top)));
  if (!f)
    return "";
  const int stride = int(rowStride("f32", experts)),
            out = int(rowStride("f32", top));
  Array<float> g = makeLogits(rows % 2 ? Logits::Few : Logits::Random, rows,
                              experts, stride);
  g[0] = 200; // the others' weights are next to nothing
  Array<float> scale(experts);
  for (int e = 0; e < experts; ++e)
    scale[e] = 1 + 0.01f * float(e);
  const size_t padded = size_t(roundUp(rows, 8));
  Buffer w(padded * out * 4), ids(padded * top * 4);
  for (auto [a, b] :
       {std::pair(rows / 2, rows), std::pair(0, rows / 2), std::pair(0, 0)})
    f(g.data(), scale.data(), w.as<float>(), ids.as<int32_t>(), rows, a, b);
  for (int r = 0; r < rows; ++r) {
    const float *logits = &g[size_t(r) * stride];
    std::vector<int> order(experts);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return logits[a] > logits[b]; });
    const double largest = logits[order[0]];
    std::sort(order.begin(), order.begin() + top);
    double sum = 0;
    for (int j = 0; j < top; ++j)
      sum += std::exp(logits[order[j]] - largest);
    for (int j = 0; j < top; ++j) {
      double want =
          std::exp(logits[order[j]] - largest) / sum * scale[order[j]];
      double got = w.as<float>()[r * out + j];
      // The difference of two logits is rounded once.
      double tolerance = 4e-7 + 6e-8 * (largest - logits[order[j]]);
      if (ids.as<int32_t>()[r * top + j] != order[j] ||
          !(std::abs(got - want) <= tolerance * want + 1e-36))
        return text("row %d place %d: expects %d (%.8g), got %d (%.8g)", r, j,
                    order[j], want, ids.as<int32_t>()[r * top + j], got);
    }
  }
  return w.intact() && ids.intact() ? ""
                                    : "top_experts writes outside its results";
}

// Ids stay valid whatever the logits are.
std::string runNanExperts(const Lookup &find) {
  auto f = TopExperts(find(moeSpec("top_experts", RowClass::Few, 16, 4)));
  if (!f)
    return "";
  Array<float> g(32, notANumber), scale(16, 1), w(32);
  Array<int32_t> ids(4, -1);
  f(g.data(), scale.data(), w.data(), ids.data(), 1, 0, 1);
  for (int j = 0; j < 4; ++j)
    if (ids[j] < 0 || ids[j] >= 16 || (j && ids[j] <= ids[j - 1]))
      return text("place %d has id %d", j, ids[j]);
  return "";
}

std::string runMoeSort(const Lookup &find, RowClass rowClass, int experts,
                       int top, int rows, bool equal) {
  auto f = MoeSort(find(moeSpec("moe_sort", rowClass, experts, top)));
  if (!f)
    return "";
  Random random(rows);
  Buffer order(size_t(rows) * top * 4);
  Array<int32_t> ids(size_t(rows) * top);
  for (size_t q = 0; q < ids.size(); ++q)
    ids[q] = equal ? int32_t(q % top) : int32_t(random.below(experts));
  f(ids.data(), order.as<int32_t>(), rows, 0, 0);
  if (order.as<int32_t>()[0] != -1)
    return "an empty range does something";
  f(ids.data(), order.as<int32_t>(), rows, 0,
    rowClass == RowClass::Few ? rows : 1);
  std::vector<int32_t> want(ids.size());
  std::iota(want.begin(), want.end(), 0);
  std::stable_sort(want.begin(), want.end(),
                   [&](int a, int b) { return ids[a] < ids[b]; });
  if (memcmp(want.data(), order.data(), order.bytes) || !order.intact())
    return "the order is not the stable order";
  return "";
}

} // namespace

std::vector<Case> topCases() {
  std::vector<Case> cases;
  struct Item {
    int rows, vocab, parts;
  };
  for (Logits kind : {Logits::Random, Logits::Ascending, Logits::Equal,
                      Logits::Few, Logits::WithNan})
    for (bool masked : {false, true})
      for (Item i : {Item{1, 8000, 64}, Item{3, 1031, 64}, Item{8, 500, 7},
                     Item{2, 50, 3}, Item{1, 20000, 1}})
        cases.push_back({text("top kind %d masked %d rows %d vocab %d parts %d",
                              int(kind), int(masked), i.rows, i.vocab, i.parts),
                         [=](const Lookup &find) {
                           return runTop(find, kind, i.rows, i.vocab, i.parts,
                                         masked);
                         }});
  return cases;
}

std::vector<Case> topExpertsCases() {
  std::vector<Case> cases;
  for (auto [experts, top] :
       {std::pair(128, 8), std::pair(16, 4), std::pair(7, 7), std::pair(40, 1)})
    cases.push_back(
        {text("top_experts %d of %d", top, experts),
         [experts = experts, top = top](const Lookup &find) {
           std::string e;
           for (int rows : {1, 4, 7})
             if (e.empty())
               e = runTopExperts(find, RowClass::Few, experts, top, rows);
           return e.empty()
                      ? runTopExperts(find, RowClass::Many, experts, top, 33)
                      : e;
         }});
  cases.push_back({"top_experts of NaN", runNanExperts});
  return cases;
}

std::vector<Case> moeSortCases() {
  std::vector<Case> cases;
  for (auto [experts, top] :
       {std::pair(128, 8), std::pair(16, 4), std::pair(5, 1)})
    for (bool equal : {false, true})
      cases.push_back(
          {text("moe_sort %d of %d equal %d", top, experts, int(equal)),
           [=, experts = experts, top = top](const Lookup &find) {
             std::string e =
                 runMoeSort(find, RowClass::Few, experts, top, 5, equal);
             return e.empty() ? runMoeSort(find, RowClass::Many, experts, top,
                                           333, equal)
                              : e;
           }});
  return cases;
}

std::vector<Case> allBodyCases() {
  std::vector<Case> all;
  for (auto list : {attendCases(), appendCases(), topCases(), topExpertsCases(),
                    moeSortCases()})
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

} // namespace gemmac::test
