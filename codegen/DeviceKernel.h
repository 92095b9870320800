// Kernels of devices: what a launch must know of one, and the text of its code.
// Must not know MLIR, nor any driver.
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"

#include <string>
#include <vector>

namespace llvm {
class Function;
class Module;
} // namespace llvm

namespace gemmac {

// As in gm_kernel (runtime/abi.h).
struct LaunchFacts {
  int32_t threads = 0, shared = 0, units = 0, rows = 0;
};

// Lets the functions that say an entry's facts (GM_ENTRY of
// codegen/kernels/cuda/device.h) pass the optimiser under the name `symbol`.
void keepLaunchFacts(llvm::Function &entry, const std::string &symbol);
// Takes them out of the optimised module of one kernel, whose entry learns how
// many threads it is launched with. What else the module defines gets names
// that no module of another kernel has.
LaunchFacts takeLaunchFacts(llvm::Module &module, const std::string &symbol);

// Texts of modules of takeLaunchFacts as one: one header, one declaration of
// the memory that CTAs share, the functions in their order.
std::string joinTexts(const std::vector<std::string> &texts);

// One kernel alone, for tests: PTX with the entry kernelSymbol(spec).
struct DeviceCode {
  std::string ptx;
  LaunchFacts launch;
};
Result<DeviceCode> compileDeviceKernel(const KernelSpec &spec,
                                       const Target &target);

} // namespace gemmac
