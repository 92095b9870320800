// NVIDIA's assembler of PTX, a program of the CUDA toolkit that may or may not
// be there: it is found, asked for its version and run. gemmac needs nothing of
// it: programs have PTX, too. Must not know MLIR, or what is in the text.
#pragma once

#include "support/Result.h"

#include <cstdint>
#include <optional>
#include <string>

namespace gemmac {

struct Ptxas {
  std::string path, version; // "13.0.88"
};

// The one that `wanted` (--ptxas) names; nothing with "none". Empty: the first
// of $CUDA_HOME/bin, PATH and /usr/local/cuda/bin, nothing if none has it.
// Error: what is there is no ptxas.
Result<std::optional<Ptxas>> findPtxas(const std::string &wanted);

// Machine code (an ELF file) of `ptx` for compute capability sm / 10. Errors:
// Unsupported if this ptxas does not know it; Run with its first message if it
// fails, ends by a signal, takes minutes or makes code that needs memory of
// threads, which runtime/cuda/kernels.cpp refuses. Makes no files; thread safe.
Result<std::string> assemble(const Ptxas &ptxas, const std::string &ptx,
                             int32_t sm);

} // namespace gemmac
