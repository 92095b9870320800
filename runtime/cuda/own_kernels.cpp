// See own_kernels.h.
#include "runtime/cuda/own_kernels.h"

namespace gm {

OwnKernels::~OwnKernels() {
  if (module)
    card->driver->cuModuleUnload(module);
}

Status OwnKernels::load(const Card &on, const char *ptx) {
  card = &on;
  CUresult error =
      card->driver->cuModuleLoadDataEx(&module, ptx, 0, nullptr, nullptr);
  if (error)
    module = nullptr;
  return card->check(error, "load the runtime's kernels");
}

Status OwnKernels::find(const char *name, CUfunction &function) const {
  const Driver &driver = *card->driver;
  CUresult error = driver.cuModuleGetFunction(&function, module, name);
  int local = 0; // asked so that it is loaded now, not when it is launched
  if (!error)
    error = driver.cuFuncGetAttribute(
        &local, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, function);
  return card->check(error, "find a kernel of the runtime");
}

} // namespace gm
