// The kernel families of the vision and audio towers, in the notation of
// Kernels.cpp. All are of row class `many`: a tower runs over a whole picture
// or sound at once. clip(x) = min(max(x, lo), hi), bounds may be infinite; of
// `clipped` 0 there are no bounds. A [n][m] weight of a family without a matrix
// is a vector of n * m.
#include "targets/FamilyRules.h"

namespace gemmac {

namespace constants {

static KernelConstant narrowed(KernelConstant constant, const char *example,
                               int64_t low, int64_t high,
                               int64_t multiple = 1) {
  constant.example = example;
  constant.low = low;
  constant.high = high;
  constant.multiple = multiple;
  return constant;
}
static KernelConstant plain(KernelConstant constant) {
  constant.words = {"f32", "bf16"};
  return constant;
}

// Scratch of bodies lies on a worker's stack: sizes are bounded by it.
static const KernelConstant
    clipped = {"clipped", KernelConstant::Integer, "c", "1", 0, 1},
    biased = {"biased", KernelConstant::Integer, "b", "1", 0, 1},
    offset = {"offset", KernelConstant::Real, "", "-1"},
    taps = {"taps", KernelConstant::Integer, "t", "5", 1, 8},
    frameCount = {"g", KernelConstant::Integer, "g", "4", 2, 4, {}, 2},
    channelsIn = {"channels_in", KernelConstant::Integer, "i", "3", 1, 128},
    channelsOut =
        {"channels_out", KernelConstant::Integer, "o", "16", 16, 128, {}, 16},
    bins = {"bins", KernelConstant::Integer, "b", "32", 2, 1024, {}, 2},
    pooled = narrowed(n, "9", 1, 64), rowK = narrowed(k, "96", 1, 1 << 13),
    sineK = narrowed(k, "96", 4, 1 << 13, 2),
    turnedHd = narrowed(hd, "72", 4, 1024, 4),
    seenHd = narrowed(hd, "32", 1, 256), shortHd = narrowed(hd, "32", 1, 1024),
    pastWindow = narrowed(window, "12", 1, 64), plainCache = plain(cache),
    plainFormat = plain(format);

} // namespace constants

namespace {

using namespace rules;

bool isClipped(const Constants &constants) {
  return constants.integer("clipped");
}
bool isBiased(const Constants &constants) {
  return constants.integer("biased");
}
int64_t twiceK(S s) { return 2 * s["k"]; }
// Heads as they lie between `heads_q`, `heads_kv` and `attend_all`.
int64_t paddedHeads(S s) { return s["heads"] * roundUp(s["hd"], blockValues); }
int64_t turns(S s) { return s["hd"] / 2; }
int64_t kernelSize(S s) { return s["channels_out"] * s["channels_in"] * 9; }
int64_t framesIn(S s) { return s["g"] * s["bins"] * s["channels_in"]; }
int64_t framesOut(S s) {
  return s["g"] / 2 * (s["bins"] / 2) * s["channels_out"];
}

} // namespace

std::vector<Family> towerFamilies() {
  namespace c = constants;
  const Access own = Access::Own, any = Access::Any;
  const std::vector<Axis> none = {}, rows = {Axis::Rows},
                          blocks = {Axis::Blocks}, tiles = {Axis::Tiles};
  return {
      //---- rows in, rows out
      {.name = "affine",
       .summary = "y = x * factor + offset, k columns",
       .constants = {c::k, c::factor, c::offset},
       .inputs = {{"x", own, "f32", k}},
       .results = {{"y", "f32", k}},
       .axes = {none, rows}},
      {.name = "clip",
       .summary = "y = round(clip(x)) to act, k columns",
       .constants = {c::k, c::act},
       .inputs = {{"x", own, "f32", k}},
       .weights = {{"lo", fixed<1>}, {"hi", fixed<1>}},
       .results = {{"y", "act", k}},
       .axes = {none, rows}},
      {.name = "bias",
       .summary = "y = x + b over k columns, in place",
       .constants = {c::k},
       .inputs = {{"x", own, "f32", k}},
       .weights = {{"b", k}},
       .results = {{"y", "f32", k, own, 0}},
       .axes = {none, rows}},
      {.name = "standardize",
       .summary = "y = (x - b) * s over k columns, in place",
       .constants = {c::k},
       .inputs = {{"x", own, "f32", k}},
       .weights = {{"b", k}, {"s", k}},
       .results = {{"y", "f32", k, own, 0}},
       .axes = {none, rows}},
      {.name = "add_positions",
       .summary =
           "out = x + (T[p0 * apart] + T[p1 * apart + second]) over k columns, "
           "in place, p = position[r]. A table [2][P]: apart 1, second P; a "
           "table [P][2]: apart 2, second 1",
       .constants = {c::k, c::plainFormat},
       .inputs = {{"x", own, "f32", k},
                  {"position", own, "i32", fixed<2>, false, Io::position}},
       .matrix = MatrixUse::Lookup, // 64-bit offsets
       .weights = {{"table", k}},
       .results = {{"out", "f32", k, own, 0}},
       .scalars = {{"apart"}, {"second"}},
       .axes = {none, rows}},
      {.name = "layer_norm",
       .summary = "y = round((x - mean) * (mean((x - mean)^2) + eps)^(-1/2) * "
                  "w + b) over k columns, to act; biased = 0: b = 0 and no "
                  "such operand",
       .constants = {c::k, c::eps, c::act, c::biased},
       .inputs = {{"x", own, "f32", k}},
       .weights = {{"w", k}, {"b", k, isBiased}},
       .results = {{"y", "act", k}},
       .axes = {none, rows}},
      {.name = "plain_norm",
       .summary =
           "y = round(x * (mean(x^2) + eps)^(-1/2)) over k columns, to act",
       .constants = {c::k, c::eps, c::act},
       .inputs = {{"x", own, "f32", k}},
       .results = {{"y", "act", k}},
       .axes = {none, rows}},
      {.name = "pool",
       .summary = "y[r] = (sum of x[n r .. n r + n - 1], in that order) * "
                  "factor / n, k columns",
       .constants = {c::k, c::pooled, c::factor},
       .inputs = {{"x", any, "f32", k}},
       .results = {{"y", "f32", k}},
       .axes = {none, rows}},
      {.name = "residual",
       .summary = "out = h + rms(clip(y); eps) * w * factor over k columns, in "
                  "place",
       .constants = {c::k, c::eps, c::factor, c::clipped},
       .inputs = {{"h", own, "f32", k}, {"y", own, "f32", k}},
       .weights = {{"w", k},
                   {"lo", fixed<1>, isClipped},
                   {"hi", fixed<1>, isClipped}},
       .results = {{"out", "f32", k, own, 0}},
       .axes = {none, rows}},
      {.name = "add",
       .summary = "out = h + clip(y) over k columns, in place",
       .constants = {c::k, c::clipped},
       .inputs = {{"h", own, "f32", k}, {"y", own, "f32", k}},
       .weights = {{"lo", fixed<1>, isClipped}, {"hi", fixed<1>, isClipped}},
       .results = {{"out", "f32", k, own, 0}},
       .axes = {none, rows}},

      //---- activations
      {.name = "silu",
       .summary = "y = round(clip(z * sigmoid(z); in_lo, in_hi)) to act, z = "
                  "clip(x; lo, hi), k columns",
       .constants = {c::k, c::act, c::clipped},
       .inputs = {{"x", own, "f32", k}},
       .weights = {{"lo", fixed<1>, isClipped},
                   {"hi", fixed<1>, isClipped},
                   {"in_lo", fixed<1>, isClipped},
                   {"in_hi", fixed<1>, isClipped}},
       .results = {{"y", "act", k}},
       .axes = {none, rows}},
      {.name = "geglu",
       .summary = "y = round(clip(gelu(clip(g; g_lo, g_hi)) * clip(u; u_lo, "
                  "u_hi); in_lo, in_hi)) to act, gelu with tanh, k columns",
       .constants = {c::k, c::act, c::clipped},
       .inputs = {{"g", own, "f32", k}, {"u", own, "f32", k}},
       .weights = {{"g_lo", fixed<1>, isClipped},
                   {"g_hi", fixed<1>, isClipped},
                   {"u_lo", fixed<1>, isClipped},
                   {"u_hi", fixed<1>, isClipped},
                   {"in_lo", fixed<1>, isClipped},
                   {"in_hi", fixed<1>, isClipped}},
       .results = {{"y", "act", k}},
       .axes = {none, rows}},
      {.name = "glu",
       .summary = "y[j] = clip(x[j]) * sigmoid(clip(x[k + j])), j < k",
       .constants = {c::k, c::clipped},
       .inputs = {{"x", own, "f32", twiceK}},
       .weights = {{"lo", fixed<1>, isClipped}, {"hi", fixed<1>, isClipped}},
       .results = {{"y", "f32", k}},
       .axes = {none, rows}},

      //---- attention of a picture: every row sees all rows
      {.name = "heads_q",
       .summary =
           "per head: n = rms(clip(x); eps) * w; each half of a head, one per "
           "coordinate, is turned by its half of `rope`: (n[i], n[i + hd/4]) "
           "by entry i of those. Rounded to the cache format: q [heads][hd "
           "rounded up to 32], zeros behind hd",
       .constants = {c::heads, c::turnedHd, c::eps, c::plainCache, c::clipped},
       .inputs = {{"x", own, "f32", allHeads},
                  {"rope", own, "f32", turns, false, Io::rope_patch}},
       .weights = {{"w", hd},
                   {"lo", fixed<1>, isClipped},
                   {"hi", fixed<1>, isClipped}},
       .results = {{"q", "cache", paddedHeads}},
       .axes = {none, rows}},
      {.name = "heads_kv",
       .summary =
           "k of kx as q of heads_q, v = rms(clip(vx); eps) without weight or "
           "turn. Results are pages (targets/blocks.h) of lanes = hd rounded "
           "up to 32: head h of rows [64 p, 64 p + 64) at (p * heads + h) * "
           "keyPageBytes; keys behind the last row are 0",
       .constants = {c::heads, c::turnedHd, c::eps, c::plainCache, c::clipped},
       .inputs = {{"kx", own, "f32", allHeads},
                  {"vx", own, "f32", allHeads},
                  {"rope", own, "f32", turns, false, Io::rope_patch}},
       .weights = {{"w", hd},
                   {"k_lo", fixed<1>, isClipped},
                   {"k_hi", fixed<1>, isClipped},
                   {"v_lo", fixed<1>, isClipped},
                   {"v_hi", fixed<1>, isClipped}},
       .results = {{"k", "cache", paddedHeads, any},
                   {"v", "cache", paddedHeads, any}},
       .axes = {none, rows}},
      {.name = "attend_all",
       .summary =
           "y[r, h] = softmax over all rows j of (q[r, h] . k[j, h]) times "
           "v[j, h], rounded to act: [heads][hd]. Products and weights in f32, "
           "splits of 256 keys merged in ascending order; unit = (tile, head), "
           "tile-major",
       .constants = {c::heads, c::seenHd, c::plainCache, c::act},
       .inputs = {{"q", any, "cache", paddedHeads},
                  {"k", any, "cache", paddedHeads},
                  {"v", any, "cache", paddedHeads},
                  {"tile", any, "i32", nullptr, false, Io::tile}},
       .results = {{"y", "act", allHeads}},
       .axes = {none, tiles},
       .heads = [](S s) { return s["heads"]; }},

      //---- sounds
      {.name = "conv2d",
       .summary =
           "3 x 3 convolution over (frame, bin) by steps of 2 with a padding "
           "of 1, then (c - mean) * (var + eps)^(-1/2) * norm over the "
           "channels of a (frame, bin), then max(c, 0). A row is g frames "
           "[bins][channels_in] and becomes g/2 frames "
           "[bins/2][channels_out]: frame j of row r reads frames 2j - 1 .. 2j "
           "+ 1 of the row, of which the first may be the last of row r - 1; "
           "w[o][i][frame][bin]. `frames` are the real ones of 4: a frame "
           "with 2j >= ceil(frames * g / 4) is 0; frames of x that are not "
           "real must be",
       .constants = {c::frameCount, c::channelsIn, c::channelsOut, c::bins,
                     c::eps},
       .inputs = {{"x", any, "f32", framesIn},
                  {"frames", own, "i32", nullptr, false, Io::frames}},
       .weights = {{"w", kernelSize},
                   {"norm", [](S s) { return s["channels_out"]; }}},
       .results = {{"y", "f32", framesOut}},
       .axes = {none, rows}},
      {.name = "depthwise",
       .summary =
           "c[r, j] = sum over i < taps of w[j][i] * x[r - taps + 1 + i, j], "
           "rows before the first are 0; z = rms(c; eps) * norm; y = "
           "round(clip(z * sigmoid(z))) to act, k columns",
       .constants = {c::rowK, c::taps, c::eps, c::act, c::clipped},
       .inputs = {{"x", any, "f32", k}},
       .weights = {{"w", [](S s) { return s["k"] * s["taps"]; }},
                   {"norm", k},
                   {"lo", fixed<1>, isClipped},
                   {"hi", fixed<1>, isClipped}},
       .results = {{"y", "act", k}},
       .axes = {none, rows}},
      {.name = "rel_positions",
       .summary =
           "y[d, o] = sum over j of sin[d, j] W[o, j], d < window, whatever "
           "the rows of the step are; sin[d] = [sin(d w_j), cos(d w_j)] of j < "
           "k/2, w_j = 10000^(-j / (k/2 - 1)); unit = 16 outputs. Memory of y "
           "has at least 64 rows",
       .constants = {c::sineK, c::pastWindow, c::plainFormat},
       .matrix = MatrixUse::Product,
       .weights = {{"w", k}},
       .results = {{"y", "f32", k}},
       .axes = {none, blocks},
       .unit = blockOutputs},
      {.name = "rel_attend",
       .summary =
           "per head: q' = clip(q) * softplus(scale) * hd^(-1/2) / ln 2, k' = "
           "clip(k) * ln(1 + e) / ln 2; s(r, d) = q'[r] . (k'[r - d] + "
           "positions[d]), 0 <= d < window and d <= r; softmax over d of cap "
           "tanh(s / cap) times clip(v[r - d]); y = round(clip(that; in_lo, "
           "in_hi)) to act. positions: of rel_positions",
       .constants = {c::heads, c::shortHd, c::pastWindow, c::cap, c::act,
                     c::clipped},
       .inputs = {{"q", own, "f32", allHeads},
                  {"k", any, "f32", allHeads},
                  {"v", any, "f32", allHeads},
                  {"positions", any, "f32", allHeads}},
       .weights = {{"scale", hd},
                   {"q_lo", fixed<1>, isClipped},
                   {"q_hi", fixed<1>, isClipped},
                   {"k_lo", fixed<1>, isClipped},
                   {"k_hi", fixed<1>, isClipped},
                   {"v_lo", fixed<1>, isClipped},
                   {"v_hi", fixed<1>, isClipped},
                   {"in_lo", fixed<1>, isClipped},
                   {"in_hi", fixed<1>, isClipped}},
       .results = {{"y", "act", allHeads}},
       .axes = {none, rows}},
  };
}

} // namespace gemmac
