// `gemmac --verify TEXT`: runs a program beside the exact one (f32 weights,
// activations and caches) on a text and says how far its predictions are off.
// Must not know MLIR, or how programs are made.
#pragma once

#include "codegen/ManifestWriter.h"
#include "support/Result.h"

#include <string>

namespace gemmac {

// A file that is removed at the end, also when a signal ends the process.
struct RemovedFile {
  explicit RemovedFile(std::string path);
  ~RemovedFile();
  RemovedFile(const RemovedFile &) = delete;
  const std::string path;
};

struct VerifyRequest {
  std::string program, exact; // paths of executable files
  std::string text;           // file
  int64_t window = 0;         // tokens of a sequence, at most
  int threads = 0;            // of each program; 0: their default
  bool quiet = false;
};

// Before anything is compiled: whether `text` can be read and is a text, and
// whether this machine can run `target`.
Status checkVerify(const std::string &text, const Target &target);

// Whether the folder of `output` has room for the weights of the program and of
// the exact one.
Status checkSpace(const std::string &output, uint64_t own, uint64_t exact);

// Runs both programs at the same time: the exact one sends its logits through a
// pipe, the other compares (`eval --kl`), so memory is that of both programs
// and no logits reach the disk. Errors: Resources if the two memory plans do
// not fit together, else the class of the program that failed, which has said
// why on standard error. No process outlives the call, or this process.
Result<FidelityFacts> compareWithExact(const VerifyRequest &request);

// The result in one line.
std::string describe(const FidelityFacts &facts);

} // namespace gemmac
