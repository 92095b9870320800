// Compares a model with the recorded results of an outside implementation: the
// cases, names and shapes of the golden files. Must not know how the model is
// evaluated beyond Runner.
#pragma once

#include "compiler/importer/File.h"
#include "compiler/importer/Safetensors.h"
#include "support/Result.h"
#include "test/reference/Runner.h"

#include <string>

namespace gemmac::reference {

class GoldenFile {
public:
  static Result<GoldenFile> open(const std::string &path);
  const SafetensorsEntry *find(const std::string &name) const;
  // All elements in order; null if there is no tensor of the name in
  // f32, i32, i16 or u8.
  std::optional<std::vector<double>> read(const std::string &name) const;
  const std::vector<SafetensorsEntry> &entries() const {
    return header.entries;
  }

private:
  MappedFile file;
  SafetensorsHeader header;
};

struct Tolerance {
  double logits = 1e-3;
  double values = 2e-4;
  // Allow recorded intermediates that the module does not compute (any more).
  bool partial = false;
};

// Runs the case (short, mid, offset, long, far, decode, or a prompt with media
// that comes with its `embeds`) on fresh caches and prints one line with the
// largest differences, and one more per value beyond its tolerance. True if
// none is.
bool runCase(mlir::ModuleOp module, const WeightSource &weights,
             const GoldenFile &golden, const std::string &name,
             const Tolerance &tolerance);

} // namespace gemmac::reference
