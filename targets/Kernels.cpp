// The table of kernel families. Notation: r row, k inner size, o output column;
// act = format of encoded activations ("f32" or "bf16", rounded to nearest even
// once, at their producer). All arithmetic is f32 unless said; reductions over
// k and over columns run in one fixed order that does not depend on the row
// class, the number of rows, or the worker (docs/design.md#7).
#include "targets/Kernels.h"

#include "targets/Layouts.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace gemmac {

static const Constants::Value &
lookUp(const std::map<std::string, Constants::Value> &values,
       const std::string &name) {
  auto it = values.find(name);
  if (it == values.end()) {
    fprintf(stderr, "gemmac: kernel constant '%s' is missing\n", name.c_str());
    abort();
  }
  return it->second;
}

int64_t Constants::integer(const std::string &name) const {
  return std::get<int64_t>(lookUp(values, name));
}
double Constants::real(const std::string &name) const {
  return std::get<double>(lookUp(values, name));
}
const std::string &Constants::text(const std::string &name) const {
  return std::get<std::string>(lookUp(values, name));
}

std::string kernelSymbol(const KernelSpec &spec) {
  std::string symbol = spec.family;
  // `top_few` is the name of a segment.
  if (spec.constants.all().empty())
    symbol += "_kernel";
  for (const auto &[name, value] : spec.constants.all()) {
    symbol += '_';
    if (auto *number = std::get_if<int64_t>(&value)) {
      symbol += name.substr(0, 1) + std::to_string(*number);
    } else if (auto *real = std::get_if<double>(&value)) {
      char text[40]; // short, and reads back
      for (int digits = 6; digits <= 17; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, *real);
        if (strtod(text, nullptr) == *real)
          break;
      }
      for (char c : std::string(text))
        symbol += c == '.' ? 'p' : c == '-' ? 'm' : c == '+' ? '_' : c;
    } else {
      symbol += std::get<std::string>(value);
    }
  }
  return symbol + (spec.rows == RowClass::Few ? "_few" : "_many");
}

const char *axisName(Axis axis) {
  static const char *const names[] = {"blocks", "rows", "tiles",
                                      "splits", "all",  "one"};
  return names[int(axis)];
}

bool parseAxis(const std::string &name, Axis &axis) {
  for (Axis a : {Axis::Blocks, Axis::Rows, Axis::Tiles, Axis::Splits, Axis::All,
                 Axis::One})
    if (name == axisName(a))
      return axis = a, true;
  return false;
}

int64_t partialBytes(int64_t heads, int64_t dim) {
  return heads * (dim + 2) * 4;
}

static std::vector<Family> makeFamilies() {
  const Access own = Access::Own, any = Access::Any;
  const std::vector<Axis> all = {Axis::All}, one = {Axis::One},
                          rows = {Axis::Rows}, blocks = {Axis::Blocks},
                          tiles = {Axis::Tiles}, splits = {Axis::Splits},
                          none = {};
  const std::vector<Axis> allOrOne = {Axis::All, Axis::One};
  std::vector<Family> f;

  //---- rows in, rows out
  f.push_back(
      {.name = "embed",
       .summary =
           "y[r, j] = table[ids[r], j] * scale, j < k; the product in f32",
       .constants = {"k", "format", "scale"},
       .inputs = {{"ids", own, "i32", true}},
       // matrixLayout(format), 64-bit offsets; `low` only of splitFormat
       .weights = {"table", "low"},
       .results = {{"y", "f32"}},
       .few = all,
       .many = rows});
  f.push_back({.name = "take",
               .summary = "y[r] = x[index[r]], k columns",
               .constants = {"k"},
               .inputs = {{"x", any, "f32"}, {"index", own, "i32", true}},
               .results = {{"y", "f32"}},
               .few = all,
               .many = rows});
  f.push_back(
      {.name = "copy",
       .summary = "y[r] = x[r], k columns: the residual that leaves `body`",
       .constants = {"k"},
       .inputs = {{"x", own, "f32"}},
       .results = {{"y", "f32"}},
       .few = one,
       .many = rows});
  f.push_back(
      {.name = "norm",
       .summary =
           "y = round(x * (mean(x^2) + eps)^(-1/2) * w) over k columns, to act",
       .constants = {"k", "eps", "act"},
       .inputs = {{"x", own, "f32"}},
       .weights = {"w"}, // f32_rows [1, k]
       .results = {{"y", "act"}},
       .few = allOrOne,
       .many = rows});
  f.push_back({.name = "quant",
               .summary = "y = round(x) to act, k columns",
               .constants = {"k", "act"},
               .inputs = {{"x", own, "f32"}},
               .results = {{"y", "act"}},
               .few = all,
               .many = rows});
  f.push_back({.name = "add_norm",
               .summary = "h' = (h + rms(y; eps) * w) * s over k columns, in "
                          "place; scaled = 1: "
                          "s is the one element of weight `scale`, 0: s = 1 "
                          "and no such operand",
               .constants = {"k", "eps", "scaled"},
               .inputs = {{"h", own, "f32"}, {"y", own, "f32"}},
               .weights = {"w", "scale"}, // f32_rows; `scale` only if scaled
               .results = {{"out", "f32", own, 0}},
               .few = all,
               .many = rows});

  //---- matrix products: unit = 16 output columns, all rows inside
  f.push_back(
      {.name = "linear",
       .summary =
           "y[r, o] = sum over k of x[r, k] W[o, k]; scalar `stride`: elements "
           "between rows of y",
       .constants = {"k", "format", "act"},
       .inputs = {{"x", any, "act"}},
       .weights = {"w"}, // matrixLayout(format)
       .results = {{"y", "f32"}},
       .scalars = {"stride"},
       .few = blocks,
       .many = blocks});
  f.push_back({.name = "logits",
               .summary = "linear, then y = cap tanh(y / cap) if cap > 0",
               .constants = {"k", "format", "act", "cap"},
               .inputs = {{"x", any, "act"}},
               .weights = {"w", "low"}, // `low` only of splitFormat
               .results = {{"y", "f32"}},
               .scalars = {"stride"},
               .few = blocks,
               .many = none});
  f.push_back(
      {.name = "linear_geglu",
       .summary =
           "unit u = 32 outputs: y[r, 32u + i] = round(gelu(x . W[64u + i]) * "
           "(x . W[64u + 32 + i])) to act; W interleaves gate and up 32:32",
       .constants = {"k", "format", "act"},
       .inputs = {{"x", any, "act"}},
       .weights = {"w"},
       .results = {{"y", "act"}},
       .scalars = {"stride"}, // elements between rows of y
       .few = blocks,
       .many = blocks});
  f.push_back({.name = "linear_ple",
               .summary = "y[r, o] = round(gelu(x . W[o]) * ple[r, column + "
                          "o]) to act; unit = "
                          "16 outputs, of act q8 32",
               .constants = {"k", "format", "act"},
               .inputs = {{"x", any, "act"}, {"ple", any, "f32"}},
               .weights = {"w"},
               .results = {{"y", "act"}},
               .scalars = {"stride", "ple_stride", "column"},
               .few = blocks,
               .many = blocks});

  //---- per-layer embeddings
  f.push_back(
      {.name = "ple_finish",
       .summary = "for each of `layers` slices of width p: y = (rms(context "
                  "slice; eps) * w "
                  "+ token slice * token_scale) * scale. `token` rows are "
                  "gathered table "
                  "rows in rowsLayout(format), without gaps (layers * p "
                  "elements apart; quantised: p a multiple of 32); unit "
                  "= one layer "
                  "(few, all rows inside) or one row (many, all layers inside)",
       .constants = {"p", "eps", "format", "token_scale", "scale"},
       .inputs = {{"context", any, "f32"}, {"token", any, "format", true}},
       .weights = {"w"}, // f32_rows [1, p]
       .results = {{"y", "f32"}},
       .scalars = {"layers"},
       .few = blocks,
       .many = rows});

  //---- attention
  f.push_back({.name = "rope_q",
               .summary = "columns [column, column + heads*hd) of x (rows "
                          "`stride` elements apart), "
                          "per head: rms norm times w, rope over `pairs`, "
                          "rounded to the cache "
                          "format: q [heads][hd]; q8: activation blocks of "
                          "which those of keyBlock(hd) lanes have one scale",
               .constants = {"heads", "hd", "pairs", "eps", "cache"},
               .inputs = {{"x", any, "f32"}, {"rope", own, "f32", true}},
               .weights = {"w"}, // f32_rows [1, hd]
               .results = {{"q", "cache"}},
               .scalars = {"stride", "column"},
               .few = all,
               .many = rows});
  f.push_back({.name = "append",
               .summary = "for the rows of a tile and each K/V head: k = "
                          "rope(rms(x at k_column) * "
                          "w), v = rms(x at v_column), rounded to the cache "
                          "format and stored at "
                          "page `pages[slot * page_stride + pos / 64]`, key "
                          "pos % 64; unit = tile",
               .constants = {"heads", "hd", "pairs", "eps", "cache"},
               .inputs = {{"x", any, "f32"},
                          {"rope", any, "f32", true},
                          {"tile", own, "i32", true}},
               .weights = {"w"},
               .cache = true,
               .writesCache = true,
               .scalars = {"stride", "k_column", "v_column"},
               .few = tiles,
               .many = tiles});
  f.push_back({.name = "attend",
               .summary = "scores, softmax and weighted values over paged K/V; "
                          "group = query heads "
                          "per K/V head; row r at position p sees keys [max(0, "
                          "p-window+1), p] "
                          "(window 0: [0, p]). few: unit = (split, K/V head), "
                          "split-major: one split of 256 keys, "
                          "writes m, l, o of the rows of its tile to partials "
                          "(row, part); many: "
                          "unit = (tile, K/V head), tile-major, merges splits "
                          "in ascending order: y [heads][hd] "
                          "rounded to act. Same bits both ways. q8: scores = "
                          "int32 sums of codes times both scales; weights "
                          "times the values' scales are rounded to codes "
                          "0..255 per pair and page. `pieces` is "
                          "the split list (few) "
                          "or absent (many)",
               .constants = {"heads", "hd", "group", "window", "cache", "act"},
               .inputs = {{"q", any, "cache"},
                          {"tile", any, "i32", true},
                          {"pieces", any, "i32", true, true}},
               .cache = true,
               .partials = true,
               .results = {{"y", "act"}}, // few: partials in f32
               .few = splits,
               .many = tiles});
  f.push_back(
      {.name = "merge",
       .summary = "y = sum of o exp(m - M) / sum of l exp(m - M) over the "
                  "`parts[r]` partials "
                  "of row r in ascending order, rounded to act; unit = 32 "
                  "columns of y, all rows",
       .constants = {"heads", "hd", "act"},
       .inputs = {{"partials", any, "f32"}, {"parts", any, "i32", true}},
       .partials = true,
       .results = {{"y", "act"}},
       .few = blocks,
       .many = none});

  //---- mixture of experts
  f.push_back(
      {.name = "norms3",
       .summary =
           "one sum of squares, three norms: dense = round(rms * w_dense), "
           "router = "
           "rms * w_router * factor (f32), experts = round(rms * w_experts)",
       .constants = {"k", "eps", "act", "factor"},
       .inputs = {{"x", own, "f32"}},
       .weights = {"w_dense", "w_router", "w_experts"},
       .results = {{"dense", "act"}, {"router", "f32"}, {"experts", "act"}},
       .few = all,
       .many = rows});
  f.push_back(
      {.name = "top_experts",
       .summary =
           "softmax over `experts` logits, the `top` largest (ties: lower id), "
           "weights = prob / their sum * per_expert[id]; results in ascending "
           "id",
       .constants = {"experts", "top"},
       .inputs = {{"logits", any, "f32"}},
       .weights = {"per_expert"}, // f32_rows [1, experts]
       .results = {{"weights", "f32"}, {"ids", "i32"}},
       .few = all,
       .many = rows});
  f.push_back({.name = "moe_sort",
               .summary = "order = the pair numbers r * top + j of all rows, "
                          "stably sorted by ids[r, j]",
               .constants = {"experts", "top"},
               .inputs = {{"ids", any, "i32"}},
               .results = {{"order", "i32", any}},
               .few = all,
               .many = one});
  f.push_back(
      {.name = "experts_up",
       .summary = "linear_geglu of every pair q = order[i] with the stack "
                  "member ids[q] and "
                  "row q / top of x: y[q / top, (q % top) * stride32(f) + o]; "
                  "unit = 32 outputs, "
                  "all pairs inside; f = expert width",
       .constants = {"k", "f", "experts", "top", "format", "act"},
       .inputs = {{"x", any, "act"},
                  {"ids", any, "i32"},
                  {"order", any, "i32"}},
       .weights = {"w"}, // stack of matrixLayout(format), gate and up 32:32
       .results = {{"y", "act"}},
       .few = blocks,
       .many = blocks});
  f.push_back({.name = "experts_down",
               .summary = "y[r, o] = sum over j ascending of weights[r, j] * "
                          "(x[r, j] . W[ids[r, j], o]); "
                          "unit = 16 outputs; k = expert width, n = all "
                          "outputs, x rows hold top slices of rowStride(k)",
               .constants = {"k", "n", "experts", "top", "format", "act"},
               .inputs = {{"x", any, "act"},
                          {"ids", any, "i32"},
                          {"weights", any, "f32"},
                          {"order", any, "i32"}},
               .weights = {"w"},
               .results = {{"y", "f32"}},
               .scalars = {"stride"},
               .few = blocks,
               .many = blocks});
  f.push_back({.name = "add_norm3",
               .summary = "h' = (h + rms(rms(dense) * w_dense + rms(experts) * "
                          "w_experts) * w) * s, in "
                          "place; scaled as in add_norm",
               .constants = {"k", "eps", "scaled"},
               .inputs = {{"h", own, "f32"},
                          {"dense", own, "f32"},
                          {"experts", own, "f32"}},
               .weights = {"w_dense", "w_experts", "w", "scale"},
               .results = {{"out", "f32", own, 0}},
               .few = all,
               .many = rows});

  //---- sampling
  f.push_back(
      {.name = "top",
       .summary = "of vocabulary part u (ids [u V / parts, (u+1) V / parts)) "
                  "the 64 largest "
                  "logits per row in descending order, ties by lower id, ids "
                  "with a 0 bit in "
                  "`mask` (absent: all ones) left out; missing ones are id -1, "
                  "value -1e30. "
                  "values, ids: [r][parts][64]",
       .constants = {},
       .inputs = {{"logits", any, "f32"}, {"mask", any, "i32", true, true}},
       .results = {{"values", "f32"}, {"ids", "i32"}},
       .scalars = {"vocab", "stride", "parts"},
       .few = blocks,
       .many = none});
  f.push_back(
      {.name = "top_scan",
       .summary =
           "logits and top together, of format q8_0_split and act q8 alone: "
           "all rows of W by their first five bits, then exactly those whose "
           "logit can be among the `best[0]` <= 64 that are wanted, by a "
           "bound that is stored with each. Same results as of q8_0 in "
           "those places; unit = part, but the parts of a call leave them all "
           "in its first",
       .constants = {"k", "format", "act", "cap"},
       .inputs = {{"x", any, "act"},
                  {"mask", any, "i32", true, true},
                  {"best", any, "i32", true}},
       .weights = {"w", "low"},
       .results = {{"values", "f32"}, {"ids", "i32"}},
       .scalars = {"vocab", "parts"},
       .few = blocks,
       .many = none});
  f.push_back(
      {.name = "top_merge",
       .summary = "the 64 best of all parts, in the order of `top`: [r][64]",
       .constants = {},
       .inputs = {{"values", any, "f32"}, {"ids", any, "i32"}},
       .results = {{"top_ids", "i32", any}, {"top_values", "f32", any}},
       .scalars = {"parts"},
       .few = one,
       .many = none});
  return f;
}

const std::vector<Family> &kernelFamilies() {
  static const std::vector<Family> families = makeFamilies();
  return families;
}

const Family *findFamily(const std::string &name) {
  for (const Family &family : kernelFamilies())
    if (family.name == name)
      return &family;
  return nullptr;
}

std::vector<std::string> kernelWeights(const KernelSpec &spec) {
  std::vector<std::string> weights;
  for (const std::string &weight : findFamily(spec.family)->weights)
    if ((weight != "scale" || spec.constants.integer("scaled")) &&
        (weight != "low" || spec.constants.text("format") == splitFormat))
      weights.push_back(weight);
  return weights;
}

std::vector<Parameter> kernelParameters(const KernelSpec &spec) {
  const Family &family = *findFamily(spec.family);
  std::vector<Parameter> parameters;
  for (const Operand &input : family.inputs)
    parameters.push_back({input.name, true});
  for (const std::string &weight : kernelWeights(spec))
    parameters.push_back({weight, true});
  if (family.cache)
    for (const char *name : {"k_pool", "v_pool", "pages", "page_stride"})
      parameters.push_back({name, std::string(name) != "page_stride"});
  for (const ResultOperand &result : family.results)
    parameters.push_back({result.name, true});
  parameters.push_back({"rows", false});
  if (family.partials)
    parameters.push_back({"max_splits", false});
  for (const std::string &scalar : family.scalars)
    parameters.push_back({scalar, false});
  parameters.push_back({"begin", false});
  parameters.push_back({"end", false});
  return parameters;
}

} // namespace gemmac
