// Makes a program file, or a library of the same: links the generated object
// with the prelinked runtime of the target's architecture (in-process LLD,
// nothing else installed), then writes weights, tokenizer, manifest and trailer
// behind it (runtime/file.h).
// Everything is written under a temporary name and renamed when complete. Must
// not know MLIR.
#pragma once

#include "codegen/ManifestWriter.h"

namespace gemmac {

// What comes out. A shared library is a program file whose code others load; a
// static one is an archive, with weights in a file of their own.
enum class Form { Program, SharedLibrary, StaticLibrary };

struct ProgramInput {
  Form form = Form::Program;
  std::string soname;  // of a shared library
  std::string object;  // bytes of the generated object file
  std::string runtime; // folder of the prelinked runtimes
  std::string output;  // path of the program or library
  // Weights go to weightsPath(`form`, `output`), reused if its id fits; nowhere
  // if the manifest has no source.
  bool external = false;
  bool rehash = false;  // ... and the contents of all tensors do, too
  bool discard = false; // everything is made, nothing is left at `output`
  bool symbols = false; // the names of kernels stay
  std::vector<uint8_t> tokenizer; // empty: none
  int threads = 1;
  PackProgress progress;
  // Runs the complete program, still under the temporary name that it is given,
  // and says what the manifest then tells of its fidelity; may be empty.
  std::function<Result<FidelityFacts>(const std::string &program)> verify;
  // hashes, sections, fidelity and externalName are filled in by writeProgram
  ManifestInput manifest;
};

struct ProgramSizes {
  // weights: of the section, also if it is in no file
  uint64_t elf = 0, weights = 0, tokenizer = 0, manifest = 0;
  bool reused = false; // the external weights were left untouched
  // PackHashes::roundingError; 0 when reused.
  double roundingError = 0;
  std::string roundedTensor;
  std::vector<PackNote> notes; // PackHashes::notes; none when reused

  void take(const PackHashes &hashes) {
    roundingError = hashes.roundingError;
    roundedTensor = hashes.roundedTensor;
    notes = hashes.notes;
  }
};

// Whether `folder` has what programs for `target` are linked from.
Status checkRuntime(const std::string &folder, const Target &target,
                    Form form = Form::Program);
// The folder of `folder` that has them.
std::string runtimeOf(const std::string &folder, const Target &target,
                      Form form);
// Where external weights of `output` go: beside it.
std::string weightsPath(Form form, const std::string &output);

// Whether external weights may be written to `path`: there is nothing there, or
// a weight file.
Status checkWeightsPath(const std::string &path);

// Errors: Resources for anything that cannot be written, Unsupported if there
// is no runtime for the target's architecture.
Result<ProgramSizes> writeProgram(ProgramInput input);

} // namespace gemmac
