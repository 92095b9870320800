// What the tables of kernel families share (Kernels.cpp, TowerKernels.cpp,
// DeviceKernels.cpp):
// constants, and rules of more than one of them. Private to targets; must not
// know which families there are.
#pragma once

#include "targets/Kernels.h"
#include "targets/Layouts.h"

namespace gemmac {

// The families of the vision and audio towers (TowerKernels.cpp).
std::vector<Family> towerFamilies();
// Those of devices alone (DeviceKernels.cpp), made of some of `families`.
std::vector<Family> deviceFamilies(const std::vector<Family> &families);

// Letters differ, so that symbols say which constant is which.
namespace constants {
inline const KernelConstant
    k = {"k", KernelConstant::Integer, "k", "96"},
    n = {"n", KernelConstant::Integer, "n", "96"},
    experts = {"experts", KernelConstant::Integer, "e", "16"},
    heads = {"heads", KernelConstant::Integer, "h", "4"},
    hd = {"hd", KernelConstant::Integer, "d", "32"},
    window = {"window", KernelConstant::Integer, "w", "64", 0, INT32_MAX},
    eps = {"eps", KernelConstant::Real, "", "1e-6"},
    factor = {"factor", KernelConstant::Real, "", "0.5"},
    cap = {"cap", KernelConstant::Real, "", "30"},
    pairs = {"pairs", KernelConstant::Integer, "r", "16"},
    scaled = {"scaled", KernelConstant::Integer, "s", "1", 0, 1};

// A format of `uses`; of those, with `codes`, only quantised ones.
inline KernelConstant words(const char *name, const char *example,
                            unsigned uses, bool codes = false) {
  KernelConstant constant = {name, KernelConstant::Format, "", example};
  for (const std::string &word : formatNames(uses))
    if (!codes || isQuantized(word))
      constant.words.push_back(word);
  return constant;
}
inline const KernelConstant act = words("act", "bf16", Format::Activation),
                            cache = words("cache", "bf16", Format::Cache),
                            format = words("format", "bf16", Format::Weight);
} // namespace constants

namespace rules {

using S = const CallShape &;

template <int64_t number>
int64_t fixed(S) {
  return number;
}
inline int64_t k(S s) { return s["k"]; }
inline int64_t hd(S s) { return s["hd"]; }
inline int64_t experts(S s) { return s["experts"]; }
inline int64_t allHeads(S s) { return s["heads"] * s["hd"]; }
inline int64_t pairs(S s) { return s["pairs"]; }
// Heads of keys and values.
inline int64_t keyHeads(S s) { return s["heads"] / s["group"] * s["hd"]; }
inline int64_t partialColumns(S s) { return s["heads"] * (s["hd"] + 2); }
// Columns that a unit of a product computes.
inline int64_t blockOutputs(S) { return groupRows; }
inline bool isScaled(const Constants &constants) {
  return constants.integer("scaled");
}

} // namespace rules

} // namespace gemmac
