#include "targets/Target.h"

namespace gemmac {

const std::vector<Target> &targets() {
  static const std::vector<Target> all = {x86Avx512(), x86Avx2(), armNeon()};
  return all;
}

bool runsHere(const Target &target) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (target.name == "x86-avx512")
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512bf16");
  return target.name == "x86-avx2" && __builtin_cpu_supports("x86-64-v3");
#elif defined(__aarch64__)
  return target.name == "arm-neon";
#else
  (void)target;
  return false;
#endif
}

const Target *findTarget(const std::string &name) {
  for (const Target &target : targets())
    if (name == "host" ? runsHere(target) : target.name == name)
      return &target;
  return nullptr;
}

} // namespace gemmac
