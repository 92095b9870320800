// The weights of a program on a card: read from the file in pieces, through
// pinned memory, or made there, all but the PLE table. Must not know layouts or
// the program's kernels.
#pragma once

#include "runtime/cuda/addresses.h"
#include "runtime/cuda/card.h"

namespace gm {

class Weights {
public:
  Weights() = default;
  Weights(const Weights &) = delete;
  Weights &operator=(const Weights &) = delete;
  ~Weights();

  // Bytes of device memory that they take.
  static uint64_t bytes(const File &file);
  // Pinned bytes while they are read.
  static uint64_t staging(const File &file);

  // Adds their names to `addresses`: an empty range as long as the section,
  // which begins at `loaded.weights`. `card` must outlive this. Synthetic ones
  // are made on the card.
  Status load(const Card &card, CUstream stream, const File &file,
              bool synthetic, Addresses &addresses, Loaded &loaded);

private:
  Status reserve_names(const File &file);
  Status read(const File &file, CUstream stream);
  Status make(const File &file, CUstream stream);

  const Card *card = nullptr;
  CUdeviceptr memory = 0;
  Span names;
};

} // namespace gm
