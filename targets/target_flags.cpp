// target_flags TARGET: prints the flags with which the build's clang compiles
// C++ bodies for a target, one a line. For the build only.
#include "targets/Target.h"

#include <cstdio>

int main(int argc, char **argv) {
  const gemmac::Target *target =
      argc == 2 ? gemmac::findTarget(argv[1]) : nullptr;
  if (!target) {
    fprintf(stderr, "usage: target_flags TARGET\n");
    return 2;
  }
  printf("--target=%s\n", target->triple.c_str());
  printf("'-DGM_MACHINE=\"codegen/kernels/machines/%s.h\"'\n",
         target->machine.c_str());
  if (target->device == gemmac::Device::Cuda)
    printf("-Xclang\n-target-cpu\n-Xclang\n%s\n-DGM_SM=%d\n",
           target->cpu.c_str(), target->sm);
  for (const std::string &feature : target->features)
    printf("-Xclang\n-target-feature\n-Xclang\n+%s\n", feature.c_str());
}
