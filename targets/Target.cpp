#include "targets/Target.h"

namespace gemmac {

const std::vector<Target> &targets() {
  static const std::vector<Target> all = {x86Avx512(), armNeon()};
  return all;
}

const Target *findTarget(const std::string &name) {
  if (name == "host") {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool runs = __builtin_cpu_supports("avx512f") &&
                __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512vnni") &&
                __builtin_cpu_supports("avx512bf16");
    return runs ? findTarget("x86-avx512") : nullptr;
#elif defined(__aarch64__)
    return findTarget("arm-neon");
#else
    return nullptr;
#endif
  }
  for (const Target &target : targets())
    if (target.name == name)
      return &target;
  return nullptr;
}

} // namespace gemmac
