// The kernel families that devices alone have, in the notation of Kernels.cpp:
// a launch costs more than a short computation that every block of threads
// repeats, so what stands in front of a product (a prologue) is in its kernel.
// All are of row class `few`; class many has the kernels of Kernels.cpp, with
// the same bits.
#include "targets/FamilyRules.h"

namespace gemmac {

namespace {

using namespace rules;

// Of heads that are all k columns.
int64_t partialsOfK(S s) { return s["k"] / s["hd"] * (s["hd"] + 2); }

int64_t unitsOfColumns(int64_t columns, int64_t unit) {
  return roundUp(columns, unit) / unit;
}

// Of gate and up, and of the router.
int64_t gatedUnits(S s) { return unitsOfColumns(s.results[0], 32); }
int64_t routerUnits(S s) { return unitsOfColumns(s["experts"], groupRows); }

} // namespace

namespace constants {
static const KernelConstant denseK = {"dense_k", KernelConstant::Integer, "m",
                                      "96"},
                            denseFormat =
                                words("dense_format", "bf16", Format::Weight);
} // namespace constants

enum class Sum { Of2, Of3 };

// The product `family` behind the end of the block before it: h' = add_norm(h,
// y) or add_norm3(h, dense, experts), and x = norm(h') or h' itself.
static Family behindAdd(Family family, std::string name, Sum sum,
                        bool isNormed) {
  const bool isOf3 = sum == Sum::Of3;
  family.name = std::move(name);
  family.summary =
      std::string(isOf3 ? "h' = add_norm3(h, dense, experts) with the weights "
                          "w_dense, w_experts, post and scale, "
                        : "h' = add_norm(h, y) with the weights post and "
                          "scale, ") +
      (isNormed ? "x = norm(h') with the weight norm" : "x = quant(h')") +
      ", z: " + family.summary + "; out = h'";
  family.constants.push_back(constants::eps);
  family.constants.push_back(constants::scaled);
  family.inputs.erase(family.inputs.begin());
  if (isOf3)
    family.inputs.insert(family.inputs.begin(),
                         {{"h", Access::Any, "f32", k},
                          {"dense", Access::Any, "f32", k},
                          {"experts", Access::Any, "f32", k}});
  else
    family.inputs.insert(family.inputs.begin(), {{"h", Access::Any, "f32", k},
                                                 {"y", Access::Any, "f32", k}});
  // Of add_norm an operand more stands in front; add_norm3 is in front of no
  // family with such scalars.
  for (Scalar &scalar : family.scalars) {
    scalar.of += scalar.of >= 0;
    if (scalar.name == "ple_stride")
      scalar.value = [](S s) { return s.inputStride(2); };
  }
  if (isOf3)
    for (const char *name : {"w_dense", "w_experts"})
      family.weights.push_back({.name = name, .columns = k, .isVector = true});
  family.weights.push_back({.name = "post", .columns = k, .isVector = true});
  if (isNormed)
    family.weights.push_back({.name = "norm", .columns = k, .isVector = true});
  family.weights.push_back({.name = "scale",
                            .columns = fixed<1>,
                            .present = isScaled,
                            .isVector = true});
  family.results[0].name = "z";
  family.results.push_back({"out", "f32", k, Access::Any});
  return family;
}

// The gated product, and the router's beside it.
static Family withRouter(Family family, std::string name) {
  family = behindAdd(std::move(family), std::move(name), Sum::Of2, false);
  family.summary =
      "h' = add_norm(h, y) with the weights post and scale; dense, router and "
      "experts = norms3(h'); z = linear_geglu(dense); logits = "
      "linear(router), a unit 16 of them, which stand behind those of z; out "
      "= h'";
  family.constants.push_back(constants::factor);
  family.constants.push_back(constants::experts);
  family.weights.front().rows = [](S s) { return 2 * s.results[0]; };
  WeightOperand router = {.name = "router",
                          .columns = k,
                          .encoding = "f32",
                          .rows = experts,
                          .isPlain = true};
  std::vector<WeightOperand> norms;
  for (const char *norm : {"w_dense", "w_router", "w_experts"})
    norms.push_back({.name = norm, .columns = k, .isVector = true});
  family.weights.insert(family.weights.begin() + 1, router);
  family.weights.insert(family.weights.end() - 1, norms.begin(), norms.end());
  family.results.insert(
      family.results.begin() + 1,
      {{"logits", "f32", experts}, {"experts", "act", k, Access::Any}});
  family.scalars.push_back({"units", gatedUnits});
  family.outputs = [](S s) { return 32 * (gatedUnits(s) + routerUnits(s)); };
  return family;
}

// `experts_up` of the experts that every block chooses for its row.
static Family behindChoice(Family family, std::string name) {
  family.name = std::move(name);
  family.summary =
      "weights, ids = top_experts(logits) with the weight per_expert; "
      "linear_geglu of every pair q of a row and one of its `top` experts with "
      "the stack member ids[q] and row q / top of x: y[q / top, (q % top) * "
      "stride32(f) + o]; unit = 32 outputs, all pairs inside; f = expert "
      "width";
  family.inputs = {family.inputs[0], {"logits", Access::Any, "f32", experts}};
  family.weights.push_back(
      {.name = "per_expert", .columns = experts, .isVector = true});
  const Rule top = [](S s) { return s["top"]; };
  family.results.push_back({"weights", "f32", top, Access::Any});
  family.results.push_back({"ids", "i32", top, Access::Any});
  return family;
}

// `experts_down`, and the dense product beside it.
static Family withDense(Family family, std::string name) {
  family.name = std::move(name);
  family.summary =
      "y[r, o] = sum over j ascending of weights[r, j] * (x[r, j] . W[ids[r, "
      "j], o]), k = expert width, x rows hold top slices of rowStride(k); z = "
      "linear(g) with the weight dense of dense_k columns; unit = 16 outputs "
      "of y, then 16 of z; n = the outputs of each";
  family.constants.push_back(constants::denseK);
  family.constants.push_back(constants::denseFormat);
  const Rule n = [](S s) { return s["n"]; },
             denseK = [](S s) { return s["dense_k"]; };
  family.inputs.back() = {"g", Access::Any, "act", denseK}; // was the order
  family.weights.front().rows = n;
  family.weights.push_back({.name = "dense",
                            .columns = denseK,
                            .encoding = "dense_format",
                            .rows = n,
                            .isPlain = true});
  family.results.push_back({"z", "f32", n});
  family.outputs = [](S s) { return 2 * roundUp(s["n"], groupRows); };
  return family;
}

static Family behindNorm(Family family, std::string name) {
  family.name = std::move(name);
  family.summary = "x = norm(h) with the weight norm; " + family.summary;
  family.constants.push_back(constants::eps);
  family.inputs[0] = {"h", Access::Any, "f32", k};
  family.weights.push_back({.name = "norm", .columns = k, .isVector = true});
  return family;
}

static Family behindMerge(Family family, std::string name) {
  family.name = std::move(name);
  family.summary =
      "x = merge(partials) of heads of hd columns; " + family.summary;
  family.constants.push_back(constants::hd);
  family.inputs = {{"partials", Access::Any, "f32", partialsOfK},
                   {"parts", Access::Any, "i32", nullptr, false,
                    Io::parts_local, Io::parts_global}};
  family.partials = true;
  return family;
}

// `attend` on queries as they come out of their product.
static Family behindRope(Family family, std::string name) {
  family.name = std::move(name);
  family.summary = "q = rope_q(x) with the weight w; " + family.summary;
  family.constants.pop_back(); // act: partials are f32
  family.constants.push_back(constants::pairs);
  family.constants.push_back(constants::eps);
  family.inputs[0] = {"x", Access::Any, "f32"};
  family.inputs.insert(family.inputs.begin() + 1,
                       {"rope", Access::Any, "f32", pairs, false,
                        Io::rope_local, Io::rope_global});
  family.weights = {{"w", hd}};
  family.results = {{"y", "f32", partialColumns}};
  family.scalars = {{"stride", [](S s) { return s.inputStride(0); }},
                    {"column", nullptr, allHeads, 0}};
  return family;
}

// The same, and the keys and values of the rows, which it stores first.
static Family withAppend(Family family, std::string name) {
  family.name = std::move(name);
  family.summary = "append(x) with the weight k_w, by every block of threads "
                   "for the rows that it sees; then " +
                   family.summary;
  family.weights.push_back({"k_w", hd});
  family.writesCache = true;
  family.scalars.push_back({"k_column", nullptr, keyHeads, 0});
  family.scalars.push_back({"v_column", nullptr, keyHeads, 0});
  return family;
}

bool fitsPrologue(const std::string &act, int64_t k) {
  const int64_t own = (formatOf(act).code == Format::Code::F32 ? 64 : 32) << 10,
                most = 92 << 10;
  return fewRows * rowBytes(act, k) <= most - own;
}

std::vector<Family> deviceFamilies(const std::vector<Family> &families) {
  auto of = [&](const char *name) {
    for (const Family &family : families)
      if (family.name == name) {
        Family few = family;
        few.deviceOnly = true;
        few.axes[int(RowClass::Many)].clear();
        return few;
      }
    return Family();
  };
  Family rope = behindRope(of("attend"), "rope_attend");
  return {behindNorm(of("linear"), "norm_linear"),
          behindAdd(of("linear"), "add_norm_linear", Sum::Of2, true),
          behindAdd(of("linear"), "add_norm3_linear", Sum::Of3, true),
          behindAdd(of("linear_geglu"), "add_norm_geglu", Sum::Of2, true),
          behindAdd(of("linear_ple"), "add_linear_ple", Sum::Of2, false),
          behindMerge(of("linear"), "merge_linear"),
          rope,
          withAppend(rope, "append_attend"),
          withRouter(of("linear_geglu"), "add_norms3_geglu"),
          behindChoice(of("experts_up"), "top_experts_up"),
          withDense(of("experts_down"), "experts_down_linear")};
}

} // namespace gemmac
