// The kernels of a program on a card: which image the driver takes, and what
// its functions need. Must not know steps, nor what kernels compute.
#pragma once

#include "runtime/abi.h"
#include "runtime/cuda/own_kernels.h"

#include <vector>

namespace gm {

class Kernels {
public:
  enum { MOST_PARAMETERS = 64 }; // as gm_kernel::addresses has bits

  Kernels() = default;
  Kernels(const Kernels &) = delete;
  Kernels &operator=(const Kernels &) = delete;
  ~Kernels();

  // The machine code for the card, if there is some and the driver takes it,
  // else PTX. `card` must outlive this.
  Status load(const Card &card, const gm_program &program);

  CUfunction function(int32_t kernel) const {
    return functions[size_t(kernel)];
  }
  // Of our own: copies.h.
  CUfunction copy() const { return copies; }

private:
  Status load_image(const void *image, CUmodule &module, char *log) const;
  Status load_program(const gm_program &program);
  Status find(const gm_program &program, int32_t kernel);

  const Card *card = nullptr;
  OwnKernels own;
  CUmodule programs = nullptr;
  std::vector<CUfunction> functions;
  CUfunction copies = nullptr;
};

} // namespace gm
