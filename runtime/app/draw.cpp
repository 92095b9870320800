// See draw.h.
#include "runtime/app/draw.h"
#include "runtime/abi.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cmath>

namespace gm {

namespace mf = gemmac::manifest;

TokenRules::TokenRules(const mf::Program &program)
    : vocab(program.model()->vocab()) {
  const mf::Sampling *s = program.sampling();
  if (!s)
    return;
  auto never = [&](int64_t id) {
    bits.resize(size_t(words()), ~0u);
    bits[size_t(id) / 32] &= ~(1u << (id % 32));
  };
  if (s->suppress())
    for (int32_t id : *s->suppress())
      if (id >= 0 && id < vocab)
        never(id);
  for (int64_t id = s->limit() ? s->limit() : vocab; id < vocab; ++id)
    never(id);
  if (s->stop())
    stops.assign(s->stop()->begin(), s->stop()->end());
}

bool TokenRules::is_stop(int32_t id) const {
  return std::find(stops.begin(), stops.end(), id) != stops.end();
}

bool LogitChanges::any() const {
  return presence != 0 || frequency != 0 || repeat != 1 || !bias.empty();
}

bool LogitChanges::only_lower() const {
  return presence >= 0 && frequency >= 0 && repeat >= 1 &&
         std::all_of(bias.begin(), bias.end(),
                     [](const auto &b) { return b.second <= 0; });
}

static bool better(const Candidate &a, const Candidate &b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

bool best_of(const float *logits, int64_t vocab, const uint32_t *mask,
             int64_t count, std::vector<Candidate> &best) {
  bool numbers = true;
  best.clear();
  // A heap whose first is the worst one.
  for (int64_t i = 0; i < vocab; ++i) {
    if (mask && !(mask[i / 32] >> (i % 32) & 1))
      continue;
    numbers &= logits[i] < INFINITY; // false for NaN
    const Candidate c = {logits[i], int32_t(i)};
    if (c.value == -INFINITY)
      continue;
    if (int64_t(best.size()) == count) {
      if (!count || !better(c, best.front()))
        continue;
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
    best.push_back(c);
    std::push_heap(best.begin(), best.end(), better);
  }
  std::sort_heap(best.begin(), best.end(), better);
  return numbers;
}

// Top gives GM_TOP results before any is changed. Where only few are needed,
// those that are lowered hardly ever let an unknown one in.
Draw::Draw(const Sampling &sampling, Random random, LogitChanges given)
    : sampling(sampling), random(random), changes(std::move(given)),
      changed(changes.any()) {
  const bool top = top_is_enough(sampling) &&
                   (!changed || (changes.only_lower() &&
                                 top_wanted(sampling) <= GM_TOP / 2));
  wanted = top ? Output::Top : Output::Logits;
  for (const auto &[id, bias] : changes.bias)
    seen[id].bias += bias;
}

int32_t Draw::best() const { return changed ? GM_TOP : top_wanted(sampling); }

void Draw::read(int32_t id) {
  if (changes.repeat != 1)
    seen[id].anywhere = true;
}

float Draw::change(const Seen &s, float logit) const {
  double x = logit;
  if (s.anywhere)
    x = x > 0 ? x / changes.repeat : x * changes.repeat;
  x -= changes.frequency * double(s.generated) +
       (s.generated ? changes.presence : 0);
  return float(x + s.bias);
}

int32_t Draw::from_best(const std::vector<Candidate> &best) {
  int32_t ids[GM_TOP];
  float values[GM_TOP];
  std::fill_n(ids, GM_TOP, -1);
  for (size_t i = 0; i < std::min(best.size(), size_t(GM_TOP)); ++i)
    ids[i] = best[i].id, values[i] = best[i].value;
  return sample_top(ids, values, sampling, random);
}

int32_t Draw::from_top(const int32_t *ids, const float *values,
                       DrawScratch &scratch) {
  if (!changed)
    return sample_top(ids, values, sampling, random);
  std::vector<Candidate> &list = scratch.best;
  list.clear();
  int64_t n = 0;
  bool same = true;
  for (; n < GM_TOP && ids[n] >= 0; ++n) {
    const auto at = seen.find(ids[n]);
    const float value =
        at == seen.end() ? values[n] : change(at->second, values[n]);
    same &= value == values[n];
    if (value != -INFINITY)
      list.push_back({value, ids[n]});
  }
  std::sort(list.begin(), list.end(), better);
  // One that is not among them is below the last of them, if at all there.
  const auto most = size_t(top_wanted(sampling));
  if (n == GM_TOP && !same &&
      (list.size() < most || !(list[most - 1].value > values[n - 1])))
    return NEEDS_LOGITS;
  return from_best(list);
}

int32_t Draw::from_logits(const float *logits, const TokenRules &rules,
                          const uint32_t *mask, DrawScratch &scratch) {
  if (changed) {
    scratch.logits.assign(logits, logits + rules.vocab);
    for (const auto &[id, s] : seen)
      if (id >= 0 && id < rules.vocab)
        scratch.logits[size_t(id)] = change(s, logits[id]);
    logits = scratch.logits.data();
  }
  if (!top_is_enough(sampling))
    return sample_logits(logits, rules.vocab, mask, sampling, random,
                         scratch.candidates);
  // As from Output::Top, whatever the order of a list from sample_logits is.
  if (!best_of(logits, rules.vocab, mask, top_wanted(sampling), scratch.best))
    return NOT_FINITE;
  return from_best(scratch.best);
}

int32_t Draw::next(const Results &r, int32_t row, const TokenRules &rules,
                   const uint32_t *mask, DrawScratch &scratch) {
  const int32_t id =
      r.top_ids && wanted == Output::Logits ? int32_t(NEEDS_LOGITS)
      : r.top_ids
          ? from_top(r.top_ids + int64_t(row) * GM_TOP,
                     r.top_values + int64_t(row) * GM_TOP, scratch)
          : from_logits(r.logits + row * r.logits_stride, rules, mask, scratch);
  if (id >= 0 && changed) {
    Seen &s = seen[id];
    s.anywhere = true;
    ++s.generated;
  }
  return id;
}

} // namespace gm
