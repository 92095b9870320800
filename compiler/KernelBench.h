// Times one kernel body alone, on one thread, beside what this machine gives at
// that moment (runtime/host/probe.h). Must not know the IR.
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
}

namespace gemmac {

// Units of matrix products without experts, whose size no constant says.
inline constexpr int64_t mostBenchUnits = 65536;
inline constexpr int64_t mostBenchRows = 4096; // of the row class `many`
inline constexpr int64_t mostBenchTop = 128;   // experts of a row

// `spec` is one of a MatrixUse::Product. Prints a line per number of rows. The
// weights come from memory: each call reads other ones, as a step does.
Status benchKernel(const KernelSpec &spec, const Target &target,
                   const std::vector<int64_t> &rows, int64_t units,
                   llvm::raw_ostream &out);

} // namespace gemmac
