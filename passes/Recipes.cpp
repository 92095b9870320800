// Which recipe a target has.
#include "passes/Recipes.h"

namespace gemmac {

const Recipe &recipeFor(const Target &target) {
  switch (target.device) {
  case Device::Cpu:
    return cpuRecipe;
  }
  llvm_unreachable("all devices handled");
}

} // namespace gemmac
