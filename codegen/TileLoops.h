// From a TileKernel to the function that runs it. Must not know Halide or where
// tiles come from.
#pragma once

#include "codegen/kernels/Tile.h"

namespace llvm {
class Module;
} // namespace llvm

namespace gemmac {

// Defines kernelSymbol(spec) in `module`, with the C signature of its family:
// the loops over units and rows that call the tiles, all of whose functions
// `module` holds.
void emitTileLoops(llvm::Module &module, const KernelSpec &spec,
                   const TileKernel &kernel);

} // namespace gemmac
