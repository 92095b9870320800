// The table of kernel families. Notation: r row, k inner size, o output column;
// act = format of encoded activations, rounded once, at their producer. All
// arithmetic is f32 unless said; reductions over k and over columns run in one
// fixed order that does not depend on the row class, the number of rows, or the
// worker (docs/design.md#7).
#include "targets/Kernels.h"

#include "targets/FamilyRules.h"
#include "targets/Layouts.h"
#include "targets/Numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace gemmac {

//===-- constants ---------------------------------------------------------===//

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

const char *rowClassName(RowClass rows) {
  return rows == RowClass::Few ? "few" : "many";
}

static std::string textOf(const Constants::Value &value) {
  if (auto *integer = std::get_if<int64_t>(&value))
    return std::to_string(*integer);
  if (auto *real = std::get_if<double>(&value))
    return shortest(float(*real)); // that bodies compute with
  return std::get<std::string>(value);
}

std::optional<Constants::Value>
KernelConstant::parse(const std::string &text) const {
  const char *begin = text.data(), *end = begin + text.size();
  Constants::Value value = text;
  std::from_chars_result read = {end, {}};
  if (kind == Integer)
    read = std::from_chars(begin, end, value.emplace<int64_t>());
  else if (kind == Real)
    read = std::from_chars(begin, end, value.emplace<double>());
  if (read.ec != std::errc() || read.ptr != end || !holds(value))
    return std::nullopt;
  return value;
}

bool KernelConstant::holds(const Constants::Value &value) const {
  if (auto *integer = std::get_if<int64_t>(&value))
    return kind == Integer && *integer >= low && *integer <= high &&
           *integer % multiple == 0;
  if (auto *real = std::get_if<double>(&value))
    return kind == Real && std::isfinite(*real);
  return kind == Format &&
         std::count(words.begin(), words.end(), std::get<std::string>(value));
}

std::string KernelConstant::expectation() const {
  if (kind == Integer)
    return "to be an i64 of " + std::to_string(low) + " to " +
           std::to_string(high) +
           (multiple > 1 ? ", a multiple of " + std::to_string(multiple) : "");
  if (kind == Real)
    return "to be a finite f64";
  std::string text = "to be ";
  for (const std::string &word : words)
    text += (&word == &words[0]       ? ""
             : &word == &words.back() ? " or "
                                      : ", ") +
            word;
  return text;
}

// The element called `name`; null if there is none.
template <typename List>
static auto *find(const List &list, std::string_view name) {
  auto at = std::find_if(list.begin(), list.end(),
                         [&](const auto &e) { return e.name == name; });
  return at == list.end() ? nullptr : &*at;
}

std::string kernelSymbol(const KernelSpec &spec) {
  std::string symbol = spec.family;
  // `top_few` is the name of a segment.
  if (spec.constants.all().empty())
    symbol += "_kernel";
  const Family *family = findFamily(spec.family);
  for (const auto &[name, value] : spec.constants.all()) {
    symbol += '_';
    const KernelConstant *constant =
        family ? find(family->constants, name) : nullptr;
    if (std::holds_alternative<int64_t>(value))
      symbol += constant ? constant->letter : name;
    std::string text = textOf(value);
    if (std::holds_alternative<double>(value))
      for (char &c : text)
        c = c == '.' ? 'p' : c == '-' ? 'm' : c == '+' ? '_' : c;
    symbol += text;
  }
  return symbol + "_" + rowClassName(spec.rows);
}

// Constants of these families alone.
namespace constants {
static const KernelConstant f = {"f", KernelConstant::Integer, "f", "64"},
                            p = {"p", KernelConstant::Integer, "p", "32"},
                            top = {"top", KernelConstant::Integer, "t", "4"},
                            group = {"group", KernelConstant::Integer, "g",
                                     "2"},
                            scale = {"scale", KernelConstant::Real, "", "2"},
                            tokenScale = {"token_scale", KernelConstant::Real,
                                          "", "4"};
static const KernelConstant headFormat = words("format", "bf16",
                                               Format::Weight | Format::Head),
                            scanFormat =
                                words("format", splitFormat, Format::Head),
                            scanAct = words("act", "q8", Format::Activation,
                                            /*codes=*/true);
} // namespace constants

//===-- rules -------------------------------------------------------------===//

int64_t CallShape::scalar(std::string_view name) const {
  if (const Scalar *scalar = find(family.scalars, name))
    return scalars[size_t(scalar - family.scalars.data())];
  fprintf(stderr, "gemmac: family %s has no such scalar\n",
          family.name.c_str());
  abort();
}

int64_t CallShape::inputStride(size_t i) const {
  return rowStride(operandEncoding(family.inputs[i].encoding, constants),
                   inputs[i]);
}

int64_t CallShape::resultStride(size_t i) const {
  return rowStride(operandEncoding(family.results[i].encoding, constants),
                   results[i]);
}

namespace {

using namespace rules;

int64_t p(S s) { return s["p"]; }
int64_t top(S s) { return s["top"]; }
int64_t matrixOutputs(S s) {
  return s.weights[0] / (s.family.interleaved ? 2 : 1);
}
int64_t input0(S s) { return s.inputs[0]; }
int64_t inputStride0(S s) { return s.inputStride(0); }
int64_t resultStride0(S s) { return s.resultStride(0); }
// `top` slices per row, of the columns that a constant says.
template <const char *size>
int64_t slices(S s) {
  return s["top"] * rowStride(s.constants.text("act"), s[size]);
}
constexpr char sizeK[] = "k", sizeF[] = "f";
int64_t partColumns(S s) { return s.scalar("parts") * GM_TOP; }
int64_t pleOutputs(S s) {
  return std::max(formatOf(s.constants.text("act")).block, groupRows);
}

bool isSplit(const Constants &constants) {
  return *formatOf(constants.text("format")).low;
}

} // namespace

int64_t partialBytes(int64_t heads, int64_t dim) {
  return heads * (dim + 2) * 4;
}

//===-- families ----------------------------------------------------------===//

// The family whose rows see all of their block, from the one whose rows see no
// later one.
static Family withBlocks(Family family) {
  family.name += "_blocks";
  family.summary += ". Row r sees keys up to max(p, ends[r] - 1): ends are one "
                    "past a row's block of images, 0 outside of one, and stand "
                    "in the order of the rows' positions";
  family.inputs.insert(family.inputs.begin() + 2,
                       {"ends", Access::Any, "i32", nullptr, false, Io::end});
  return family;
}

static std::vector<Family> makeFamilies() {
  namespace c = constants;
  const Access own = Access::Own, any = Access::Any;
  // Of several the first is that of CPUs; devices have rows, else one.
  const std::vector<Axis> all = {Axis::All, Axis::Rows},
                          one = {Axis::One, Axis::Rows}, rows = {Axis::Rows},
                          blocks = {Axis::Blocks}, tiles = {Axis::Tiles},
                          splits = {Axis::Splits}, none = {},
                          allOrOne = {Axis::All, Axis::One, Axis::Rows};
  const bool optional = true;
  std::vector<Family> families = {
      //---- rows in, rows out
      {.name = "embed",
       .summary =
           "y[r, j] = table[ids[r], j] * scale, j < k; the product in f32",
       .constants = {c::k, c::headFormat, c::scale},
       .inputs = {{"ids", own, "i32", nullptr, false, Io::ids}},
       .matrix = MatrixUse::Lookup, // 64-bit offsets
       .weights = {{"table", k}, {"low", k, isSplit}},
       .results = {{"y", "f32", k}},
       .axes = {all, rows}},
      {.name = "soft_rows",
       .summary = "y[r] = soft[from[r]] where from[r] >= 0, else x[r]; k "
                  "columns, in place",
       .constants = {c::k},
       .inputs = {{"x", own, "f32", k},
                  {"from", own, "i32", nullptr, false, Io::soft_row},
                  {"soft", any, "f32", k, false, Io::soft}},
       .results = {{"y", "f32", k, own, 0}},
       .axes = {all, rows}},
      {.name = "take",
       .summary = "y[r] = x[index[r]], k columns",
       .constants = {c::k},
       .inputs = {{"x", any, "f32", k},
                  {"index", own, "i32", nullptr, false, Io::want}},
       .results = {{"y", "f32", k}},
       .axes = {all, rows}},
      {.name = "copy",
       .summary = "y[r] = x[r], k columns: the residual that leaves `body`",
       .constants = {c::k},
       .inputs = {{"x", own, "f32", k}},
       .results = {{"y", "f32", k}},
       .axes = {one, rows}},
      {.name = "norm",
       .summary =
           "y = round(x * (mean(x^2) + eps)^(-1/2) * w) over k columns, to act",
       .constants = {c::k, c::eps, c::act},
       .inputs = {{"x", own, "f32", k}},
       .weights = {{"w", k}},
       .results = {{"y", "act", k}},
       .axes = {allOrOne, rows}},
      {.name = "quant",
       .summary = "y = round(x) to act, k columns",
       .constants = {c::k, c::act},
       .inputs = {{"x", own, "f32", k}},
       .results = {{"y", "act", k}},
       .axes = {all, rows}},
      {.name = "add_norm",
       .summary = "h' = (h + rms(y; eps) * w) * s over k columns, in place; "
                  "scaled = 1: s is the one element of weight `scale`, 0: s = "
                  "1 and no such operand",
       .constants = {c::k, c::eps, c::scaled},
       .inputs = {{"h", own, "f32", k}, {"y", own, "f32", k}},
       .weights = {{"w", k}, {"scale", fixed<1>, isScaled}},
       .results = {{"out", "f32", k, own, 0}},
       .axes = {all, rows}},

      //---- matrix products: a unit is some outputs, all rows inside
      {.name = "linear",
       .summary = "y[r, o] = sum over k of x[r, k] W[o, k]; scalar `stride`: "
                  "elements between rows of y",
       .constants = {c::k, c::format, c::act},
       .inputs = {{"x", any, "act", k}},
       .matrix = MatrixUse::Product,
       .weights = {{"w", k}},
       .results = {{"y", "f32", matrixOutputs}},
       .scalars = {{"stride", resultStride0}},
       .axes = {blocks, blocks},
       .unit = blockOutputs},
      {.name = "logits",
       .summary = "linear, then y = cap tanh(y / cap) if cap > 0",
       .constants = {c::k, c::headFormat, c::act, c::cap},
       .inputs = {{"x", any, "act", k}},
       .matrix = MatrixUse::Product,
       .weights = {{"w", k}, {"low", k, isSplit}},
       .results = {{"y", "f32", matrixOutputs}},
       .scalars = {{"stride", resultStride0}},
       .axes = {blocks, blocks},
       .unit = blockOutputs},
      {.name = "linear_geglu",
       .summary =
           "unit u = 32 outputs: y[r, 32u + i] = round(gelu(x . W[64u + i]) * "
           "(x . W[64u + 32 + i])) to act; W interleaves gate and up 32:32",
       .constants = {c::k, c::format, c::act},
       .inputs = {{"x", any, "act", k}},
       .matrix = MatrixUse::Product,
       .interleaved = true,
       .weights = {{"w", k}},
       .results = {{"y", "act", matrixOutputs}},
       .scalars = {{"stride", resultStride0}},
       .axes = {blocks, blocks},
       .unit = fixed<32>},
      {.name = "linear_ple",
       .summary = "y[r, o] = round(gelu(x . W[o]) * ple[r, column + o]) to "
                  "act; unit = 16 outputs, of act q8 32",
       .constants = {c::k, c::format, c::act},
       .inputs = {{"x", any, "act", k}, {"ple", any, "f32"}},
       .matrix = MatrixUse::Product,
       .weights = {{"w", k}},
       .results = {{"y", "act", matrixOutputs}},
       .scalars = {{"stride", resultStride0},
                   {"ple_stride", [](S s) { return s.inputStride(1); }},
                   {"column", nullptr, matrixOutputs, 1}},
       .axes = {blocks, blocks},
       .unit = pleOutputs},

      //---- per-layer embeddings
      {.name = "ple_finish",
       .summary =
           "for each of `layers` slices of width p: y = (rms(context slice; "
           "eps) * w + token slice * token_scale) * scale. `token` rows are "
           "gathered table rows in rowsLayout(format), without gaps (layers * "
           "p elements apart; quantised: p a multiple of 32); unit = one layer "
           "(few, all rows inside) or one row (many, all layers inside)",
       .constants = {c::p, c::eps, c::format, c::tokenScale, c::scale},
       .inputs = {{"context", any, "f32"},
                  {"token", any, "format", input0, false, Io::ple}},
       .weights = {{"w", p}},
       .results = {{"y", "f32", input0}},
       .scalars = {{"layers", [](S s) { return s.inputs[0] / s["p"]; }}},
       .axes = {blocks, rows},
       .unit = p},

      //---- attention
      {.name = "rope_q",
       .summary =
           "columns [column, column + heads*hd) of x (rows `stride` elements "
           "apart), per head: rms norm times w, rope over `pairs`, rounded to "
           "the cache format: q [heads][hd]; q8: activation blocks of which "
           "those of keyBlock(hd) lanes have one scale",
       .constants = {c::heads, c::hd, c::pairs, c::eps, c::cache},
       .inputs = {{"x", any, "f32"},
                  {"rope", own, "f32", pairs, false, Io::rope_local,
                   Io::rope_global}},
       .weights = {{"w", hd}},
       .results = {{"q", "cache", allHeads}},
       .scalars = {{"stride", inputStride0}, {"column", nullptr, allHeads, 0}},
       .axes = {all, rows}},
      {.name = "append",
       .summary = "for the rows of a tile and each K/V head: k = rope(rms(x at "
                  "k_column) * w), v = rms(x at v_column), rounded to the "
                  "cache format and stored at page `pages[slot * page_stride + "
                  "pos / 64]`, key pos % 64; unit = tile",
       .constants = {c::heads, c::hd, c::pairs, c::eps, c::cache},
       .inputs = {{"x", any, "f32"},
                  {"rope", any, "f32", pairs, false, Io::rope_local,
                   Io::rope_global},
                  {"tile", own, "i32", nullptr, false, Io::tile}},
       .weights = {{"w", hd}},
       .cache = true,
       .writesCache = true,
       .scalars = {{"stride", inputStride0},
                   {"k_column", nullptr, allHeads, 0},
                   {"v_column", nullptr, allHeads, 0}},
       .axes = {tiles, tiles}},
      {.name = "attend",
       .summary =
           "scores, softmax and weighted values over paged K/V; group = query "
           "heads per K/V head; row r at position p sees keys [max(0, "
           "p-window+1), p] (window 0: [0, p]). few: unit = (split, K/V head), "
           "split-major: one split of 256 keys, writes m, l, o of the rows of "
           "its tile to partials (row, part); many: unit = (tile, K/V head), "
           "tile-major, merges splits in ascending order: y [heads][hd] "
           "rounded to act. Same bits both ways. q8: scores = int32 sums of "
           "codes times both scales; weights times the values' scales are "
           "rounded to codes 0..255 per pair and page. `splits` is the split "
           "list (few) or absent (many)",
       .constants = {c::heads, c::hd, c::group, c::window, c::cache, c::act},
       .inputs = {{"q", any, "cache", allHeads},
                  {"tile", any, "i32", nullptr, false, Io::tile},
                  {"splits", any, "i32", nullptr, optional, Io::split_local,
                   Io::split_global}},
       .cache = true,
       .partials = true,
       .results = {{"y", "act", // few: partials in f32
                    [](S s) {
                      return s.axis == Axis::Splits ? partialColumns(s)
                                                    : allHeads(s);
                    }}},
       .axes = {splits, tiles},
       .heads = [](S s) { return s["heads"] / s["group"]; }},
      {.name = "merge",
       .summary = "y = sum of o exp(m - M) / sum of l exp(m - M) over the "
                  "`parts[r]` partials of row r in ascending order, rounded to "
                  "act; unit = 32 columns of y, all rows",
       .constants = {c::heads, c::hd, c::act},
       .inputs = {{"partials", any, "f32", partialColumns},
                  {"parts", any, "i32", nullptr, false, Io::parts_local,
                   Io::parts_global}},
       .partials = true,
       .results = {{"y", "act", allHeads}},
       .axes = {blocks, none},
       .unit = fixed<32>},

      //---- mixture of experts
      {.name = "norms3",
       .summary = "one sum of squares, three norms: dense = round(rms * "
                  "w_dense), router = rms * w_router * factor (f32), experts = "
                  "round(rms * w_experts)",
       .constants = {c::k, c::eps, c::act, c::factor},
       .inputs = {{"x", own, "f32", k}},
       .weights = {{"w_dense", k}, {"w_router", k}, {"w_experts", k}},
       .results = {{"dense", "act", k},
                   {"router", "f32", k},
                   {"experts", "act", k}},
       .axes = {all, rows}},
      {.name = "top_experts",
       .summary =
           "softmax over `experts` logits, the `top` largest (ties: lower id), "
           "weights = prob / their sum * per_expert[id]; results in ascending "
           "id",
       .constants = {c::experts, c::top},
       .inputs = {{"logits", any, "f32", experts}},
       .weights = {{"per_expert", experts}},
       .results = {{"weights", "f32", top}, {"ids", "i32", top}},
       .axes = {all, rows}},
      {.name = "moe_sort",
       .summary = "order = the pair numbers r * top + j of all rows, stably "
                  "sorted by ids[r, j]",
       .constants = {c::experts, c::top},
       .inputs = {{"ids", any, "i32", top}},
       .results = {{"order", "i32", top, any}},
       .axes = {{Axis::All, Axis::One}, {Axis::One}}},
      {.name = "experts_up",
       .summary =
           "linear_geglu of every pair q = order[i] with the stack member "
           "ids[q] and row q / top of x: y[q / top, (q % top) * stride32(f) + "
           "o]; unit = 32 outputs, all pairs inside; f = expert width",
       .constants = {c::k, c::f, c::experts, c::top, c::format, c::act},
       .inputs = {{"x", any, "act", k},
                  {"ids", any, "i32", top},
                  {"order", any, "i32", top}},
       .matrix = MatrixUse::Product,
       .interleaved = true,
       .stack = true,
       .weights = {{"w", k}},
       .results = {{"y", "act", slices<sizeF>}},
       .axes = {blocks, blocks},
       .unit = fixed<32>,
       .outputs = [](S s) { return s["f"]; }},
      {.name = "experts_down",
       .summary = "y[r, o] = sum over j ascending of weights[r, j] * (x[r, j] "
                  ". W[ids[r, j], o]); unit = 16 outputs; k = expert width, n "
                  "= all outputs, x rows hold top slices of rowStride(k)",
       .constants = {c::k, c::n, c::experts, c::top, c::format, c::act},
       .inputs = {{"x", any, "act", slices<sizeK>},
                  {"ids", any, "i32", top},
                  {"weights", any, "f32", top},
                  {"order", any, "i32", top}},
       .matrix = MatrixUse::Product,
       .stack = true,
       .weights = {{"w", k}},
       .results = {{"y", "f32", [](S s) { return s["n"]; }}},
       .scalars = {{"stride", resultStride0}},
       .axes = {blocks, blocks},
       .unit = blockOutputs},
      {.name = "add_norm3",
       .summary =
           "h' = (h + rms(rms(dense) * w_dense + rms(experts) * w_experts) * "
           "w) * s, in place; scaled as in add_norm",
       .constants = {c::k, c::eps, c::scaled},
       .inputs = {{"h", own, "f32", k},
                  {"dense", own, "f32", k},
                  {"experts", own, "f32", k}},
       .weights = {{"w_dense", k},
                   {"w_experts", k},
                   {"w", k},
                   {"scale", fixed<1>, isScaled}},
       .results = {{"out", "f32", k, own, 0}},
       .axes = {all, rows}},

      //---- sampling
      {.name = "top",
       .summary =
           "the 64 largest logits per row in descending order, ties by lower "
           "id, ids with a 0 bit in `mask` (absent: all ones) left out; "
           "missing "
           "ones are id -1, value -1e30. Unit u = vocabulary part (ids [u V / "
           "parts, (u+1) V / parts)); the parts of a call may leave them all "
           "in "
           "its "
           "first. values, ids: [r][parts][64]",
       .constants = {},
       .inputs = {{"logits", any, "f32"},
                  {"mask", any, "i32", nullptr, optional, Io::mask}},
       .results = {{"values", "f32", partColumns}, {"ids", "i32", partColumns}},
       .scalars = {{"vocab", input0}, {"stride", inputStride0}, {"parts"}},
       .axes = {blocks, blocks},
       .unit = fixed<GM_TOP>},
      {.name = "top_scan",
       .summary = "logits and top together, of format q8_0_split and act q8 "
                  "alone: all rows of W by their first five bits, then exactly "
                  "those whose logit can be among the `best[0]` <= 64 that are "
                  "wanted, by a bound that is stored with each. Same results "
                  "as of q8_0 in those places; unit = part, but the parts of a "
                  "call leave them all in its first",
       .constants = {c::k, c::scanFormat, c::scanAct, c::cap},
       .inputs = {{"x", any, "act", k},
                  {"mask", any, "i32", nullptr, optional, Io::mask},
                  {"best", any, "i32", nullptr, false, Io::best}},
       .matrix = MatrixUse::Scan,
       .weights = {{"w", k}, {"low", k}},
       .results = {{"values", "f32", partColumns}, {"ids", "i32", partColumns}},
       .scalars = {{"vocab", matrixOutputs}, {"parts"}},
       .axes = {blocks, none},
       .fewRows = 2, // a group of rows is entered for each of them
       .unit = fixed<GM_TOP>},
      {.name = "top_merge",
       .summary = "the 64 best of all parts, in the order of `top`: [r][64]",
       .constants = {},
       .inputs = {{"values", any, "f32"}, {"ids", any, "i32", input0}},
       .results = {{"top_ids", "i32", fixed<GM_TOP>, any},
                   {"top_values", "f32", fixed<GM_TOP>, any}},
       .scalars = {{"parts", [](S s) { return s.inputs[0] / GM_TOP; }}},
       .axes = {one, rows}},
  };
  families.push_back(withBlocks(*find(families, "attend")));
  return families;
}

const std::vector<Family> &kernelFamilies() {
  static const std::vector<Family> families = [] {
    std::vector<Family> all = makeFamilies();
    for (Family &family : towerFamilies())
      all.push_back(std::move(family));
    for (Family &family : deviceFamilies(all))
      all.push_back(std::move(family));
    return all;
  }();
  return families;
}

const Family *findFamily(const std::string &name) {
  return find(kernelFamilies(), name);
}

//===-- answers -----------------------------------------------------------===//

const std::string &operandEncoding(const std::string &declared,
                                   const Constants &constants) {
  return constants.has(declared) ? constants.text(declared) : declared;
}

static std::string textOf(const Constants &constants, const char *name) {
  return constants.has(name) ? constants.text(name) : "";
}

// Quantised rows meet quantised matrices, but for the head's product, which
// rounds f32 rows to 8 bits itself.
static std::string checkFormats(const KernelSpec &spec) {
  std::string format = textOf(spec.constants, "format"),
              act = textOf(spec.constants, "act");
  if (!format.empty() && !act.empty() &&
      isQuantized(format) != isQuantized(act) &&
      !(spec.family == "logits" &&
        isWideProduct(formatOf(format), formatOf(act))))
    return "expects act q8 with quantised formats only, got " + format +
           " and " + act;
  // Of a second matrix that the same rows' encoding multiplies.
  std::string other = textOf(spec.constants, "dense_format");
  if (!other.empty() && isQuantized(other) != isQuantized(act))
    return "expects act q8 with quantised formats only, got " + other +
           " and " + act;
  int block = 1; // at least that of one of them
  for (const std::string &word : {format, act})
    block = std::max(block, word.empty() ? 1 : formatOf(word).block);
  for (const char *name : {"k", "p", "hd", "dense_k"})
    if (spec.constants.has(name) && spec.constants.integer(name) % block)
      return "expects " + std::string(name) + " to be a multiple of " +
             std::to_string(block) + ", got " +
             std::to_string(spec.constants.integer(name));
  return "";
}

bool isWidened(const KernelSpec &spec) {
  const Format *format = findFormat(textOf(spec.constants, "format")),
               *act = findFormat(textOf(spec.constants, "act"));
  return format && act && format->code == Format::Code::BF16 &&
         act->code == Format::Code::F32;
}

std::string checkSpec(const KernelSpec &spec) {
  const Family *family = findFamily(spec.family);
  if (!family)
    return "expects a kernel family, got \"" + spec.family + "\"";
  if (family->axesOf(spec.rows).empty())
    return "expects a row class of family " + spec.family + ", got \"" +
           rowClassName(spec.rows) + "\"";
  for (const auto &[name, value] : spec.constants.all())
    if (!find(family->constants, name))
      return "family " + spec.family + " has no constant " + name;
  for (const KernelConstant &constant : family->constants) {
    auto value = spec.constants.all().find(constant.name);
    if (value == spec.constants.all().end())
      return "expects constant " + constant.name;
    if (!constant.holds(value->second))
      return "expects constant " + constant.name + " " +
             constant.expectation() + ", got " + textOf(value->second);
  }
  return checkFormats(spec);
}

std::vector<WeightOperand> kernelWeights(const KernelSpec &spec) {
  std::vector<WeightOperand> weights;
  for (const WeightOperand &weight : findFamily(spec.family)->weights)
    if (!weight.present || weight.present(spec.constants))
      weights.push_back(weight);
  return weights;
}

const Layout &weightLayout(const KernelSpec &spec, const WeightOperand &weight,
                           DotKind dot) {
  if (findFamily(spec.family)->matrix == MatrixUse::None || weight.isVector)
    return rowsLayout("f32");
  const Format &format =
      formatOf(operandEncoding(weight.encoding, spec.constants));
  return matrixLayout(weight.name == "low" ? format.low : format.name, dot);
}

int64_t outputsOf(const CallShape &call) {
  return call.family.outputs ? call.family.outputs(call) : call.results[0];
}

int64_t unitsOf(const CallShape &call) {
  if (call.axis == Axis::Blocks) {
    int64_t unit = call.family.unit(call);
    return roundUp(outputsOf(call), unit) / unit;
  }
  bool perHead = call.axis == Axis::Tiles || call.axis == Axis::Splits;
  return perHead && call.family.heads ? call.family.heads(call) : 1;
}

int64_t matrixRowsOf(const CallShape &call, const WeightOperand &weight) {
  if (weight.rows)
    return weight.rows(call);
  return outputsOf(call) * (call.family.interleaved ? 2 : 1);
}

int64_t matrixRowsOf(const CallShape &call) {
  return matrixRowsOf(call, call.family.weights.front());
}

void complete(CallShape &call, const std::vector<int64_t> &chosen) {
  size_t next = 0;
  for (const Scalar &scalar : call.family.scalars)
    call.scalars.push_back(scalar.value ? 0 : chosen[next++]);
  for (const ResultOperand &result : call.family.results)
    call.results.push_back(result.columns(call));
  for (size_t i = 0; i < call.scalars.size(); ++i)
    if (Rule value = call.family.scalars[i].value)
      call.scalars[i] = value(call);
}

static constexpr const char *rowsParameter = "rows";

std::vector<Parameter> kernelParameters(const KernelSpec &spec) {
  const Family &family = *findFamily(spec.family);
  std::vector<Parameter> parameters;
  for (const Operand &input : family.inputs)
    parameters.push_back({input.name, true});
  for (const WeightOperand &weight : kernelWeights(spec))
    parameters.push_back({weight.name, true});
  if (family.cache)
    for (const char *name : {"k_pool", "v_pool", "pages", "page_stride"})
      parameters.push_back({name, std::string(name) != "page_stride"});
  for (const ResultOperand &result : family.results)
    parameters.push_back({result.name, true});
  parameters.push_back({rowsParameter, false});
  if (family.partials)
    parameters.push_back({"max_splits", false});
  for (const Scalar &scalar : family.scalars)
    parameters.push_back({scalar.name, false});
  parameters.push_back({"begin", false});
  parameters.push_back({"end", false});
  return parameters;
}

std::vector<Parameter> deviceParameters(const KernelSpec &spec) {
  std::vector<Parameter> parameters = kernelParameters(spec);
  for (Parameter &parameter : parameters)
    if (parameter.name == rowsParameter)
      parameter = {"step", true};
  return parameters;
}

} // namespace gemmac
