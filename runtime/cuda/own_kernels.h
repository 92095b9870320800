// Kernels that are part of the runtime, as text of PTX: a module on a card and
// the functions in it. Must not know what they compute.
#pragma once

#include "runtime/cuda/card.h"

namespace gm {

class OwnKernels {
public:
  OwnKernels() = default;
  OwnKernels(const OwnKernels &) = delete;
  OwnKernels &operator=(const OwnKernels &) = delete;
  ~OwnKernels();

  // `card` must outlive this.
  Status load(const Card &card, const char *ptx);
  // Ready to be launched, also while a stream is recorded.
  Status find(const char *name, CUfunction &function) const;

private:
  const Card *card = nullptr;
  CUmodule module = nullptr;
};

} // namespace gm
