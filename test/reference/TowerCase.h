// Compares towers with the recorded results of an outside implementation:
// pictures and sounds of the golden files through @image (after optimize
// @patches and @image) and @audio. Must not
// know how ops are evaluated.
#pragma once

#include "test/reference/Golden.h"

namespace gemmac::reference {

// Pixels of the side of what becomes a soft row.
int64_t cellOf(mlir::func::FuncOp image);

// The arguments of the function for one picture, uint8 (height, width, 3), and
// for one sound at 16 kHz.
using Arguments = std::map<std::string, Tensor>;
Arguments pictureArguments(mlir::func::FuncOp image,
                           const std::vector<double> &pixels, int64_t height,
                           int64_t width, double theta);
Arguments soundArguments(mlir::func::FuncOp audio,
                         const std::vector<double> &samples);

// A case is a picture (NAME.image), a sound (NAME.features or NAME.samples), or
// a prompt whose pictures, films and sounds become the soft rows among
// NAME.embeds. Prints one line with the largest differences, and one more per
// value beyond its tolerance. True if none is.
bool runTowerCase(mlir::ModuleOp module, const WeightSource &weights,
                  const GoldenFile &golden, const std::string &name,
                  double theta, double tolerance, double softTolerance);

} // namespace gemmac::reference
