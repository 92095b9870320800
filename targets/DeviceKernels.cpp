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

bool isScaled(const Constants &constants) {
  return constants.integer("scaled");
}

} // namespace

// The product `family` behind the end of the block before it: h' = add_norm(h,
// y), and x = norm(h') or h' itself.
static Family behindAdd(Family family, std::string name, bool isNormed) {
  family.name = std::move(name);
  family.summary =
      std::string("h' = add_norm(h, y) with the weights post and "
                  "scale, ") +
      (isNormed ? "x = norm(h') with the weight norm" : "x = quant(h')") +
      ", z: " + family.summary + "; out = h'";
  family.constants.push_back(constants::eps);
  family.constants.push_back(constants::scaled);
  family.inputs.erase(family.inputs.begin());
  family.inputs.insert(family.inputs.begin(), {{"h", Access::Any, "f32", k},
                                               {"y", Access::Any, "f32", k}});
  for (Scalar &scalar : family.scalars) { // an operand more stands in front
    scalar.of += scalar.of >= 0;
    if (scalar.name == "ple_stride")
      scalar.value = [](S s) { return s.inputStride(2); };
  }
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
  return fewRows * rowBytes(act, k) <= 60 << 10;
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
          behindAdd(of("linear"), "add_norm_linear", true),
          behindAdd(of("linear_geglu"), "add_norm_geglu", true),
          behindAdd(of("linear_ple"), "add_linear_ple", false),
          behindMerge(of("linear"), "merge_linear"),
          rope,
          withAppend(rope, "append_attend")};
}

} // namespace gemmac
