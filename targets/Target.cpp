#include "targets/Target.h"

#include "runtime/host/features.h"

namespace gemmac {

const std::vector<Target> &targets() {
  static const std::vector<Target> all = {
#define GM_TARGET(function) function(),
#include "targets/registered.inc"
#undef GM_TARGET
  };
  return all;
}

bool runsHere(const Target &target) {
  return target.arch == gm::this_arch && missingFeatures(target).empty();
}

std::vector<std::string> missingFeatures(const Target &target) {
  std::vector<std::string> missing;
  for (const std::string &feature : target.features)
    if (!gm::has_feature(feature.c_str()))
      missing.push_back(feature);
  return missing;
}

Target hostOf(const Target &target) {
  if (target.device == Device::Cpu)
    return target;
  Target host;
  host.name = target.name;
  host.triple = "x86_64-unknown-linux-gnu";
  host.arch = target.arch;
  host.cpu = "x86-64";
  host.tune = "x86-64-v3";
  return host;
}

std::string llvmFeatures(const Target &target) {
  std::string text;
  for (const std::string &feature : target.features)
    text += (text.empty() ? "+" : ",+") + feature;
  return text;
}

const Target *findTarget(const std::string &name) {
  for (const Target &target : targets())
    if (name == "host" ? runsHere(target) : target.name == name)
      return &target;
  return nullptr;
}

} // namespace gemmac
