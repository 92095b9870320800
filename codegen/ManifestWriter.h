// Writes the manifest (runtime/manifest.fbs) of a program. Must not know MLIR.
#pragma once

#include "codegen/Packer.h"
#include "targets/Target.h"

#include <optional>

namespace gemmac {

// What the program says about its model (manifest tables Model and Sampling).
struct RopeFacts {
  double theta = 0;
  int64_t dim = 0, pairs = 0;
};
struct ModelFacts {
  std::string type, variant, name;
  int64_t layers = 0, hidden = 0, vocab = 0, window = 0, maxContext = 0,
          pleWidth = 0;
  RopeFacts localRope, globalRope;
  bool softRows = false, imageBlocks = false;
  int chat = 0;             // manifest::Chat
  std::string chatTemplate; // what was found of one
};
struct SamplingFacts {
  double temperature = 1, topP = 1;
  int64_t topK = 0;
  std::vector<int64_t> stop, suppress;
  double minP = 0;
  int64_t limit = 0;
};

// What the program takes beside text (manifest table Medium).
struct MediumFacts {
  std::string kind;
  bool tower = false;
  int64_t begin = -1, soft = -1, end = -1;
  int64_t budget = 0, patch = 0, pool = 0;
  double theta = 0;
  int64_t pairs = 0, positions = 0, columns = 0, width = 0;
  bool bidirectional = false;
};

// What `gemmac --verify` has measured (manifest table Fidelity).
struct FidelityFacts {
  std::string text;
  uint64_t textHash = 0, tokens = 0;
  int64_t window = 0;
  double klMean = 0, klMedian = 0, klP99 = 0, klMax = 0, sameTop = 0, ppl = 0,
         pplRatio = 0;
};

// A part of the program file (manifest table Section).
struct SectionFacts {
  std::string name;
  uint64_t offset = 0, bytes = 0, hash = 0;
};

struct ManifestInput {
  ModelFacts model;
  SamplingFacts sampling;
  std::vector<MediumFacts> media;
  const Target &target;
  const ProgramPlan &plan;
  const TensorSource &source;
  const std::vector<IgnoredTensor> &ignored;
  std::string weightFormat; // of the embedding
  std::string cacheFormat;
  std::string weightsId;
  std::string externalName;           // empty: weights are embedded
  PackHashes hashes;                  // filled in when the weights are packed
  std::vector<SectionFacts> sections; // filled in when they are written
  std::optional<FidelityFacts> fidelity; // filled in by --verify
};

std::vector<uint8_t> writeManifest(const ManifestInput &input);

// Content hashes and errors in the manifest of an earlier weight file, for a
// weight section that is reused; nothing if `bytes` is no valid manifest for
// the same plan and tensors.
std::optional<PackHashes> readHashes(const std::vector<uint8_t> &bytes,
                                     const ProgramPlan &plan,
                                     const TensorSource &source);

} // namespace gemmac
