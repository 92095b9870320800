// What gemmac was installed with: the files that it carries, found beside the
// running program, and the shared libraries that it was loaded with. Must not
// know what they are used for.
#pragma once

#include <string>
#include <vector>

namespace gemmac {

// Where the prelinked runtimes are, a folder for each kind of programs:
// ../lib/gemmac of the running program, wherever that was moved.
std::string runtimeFolder();

struct LoadedLibrary {
  std::string name, path; // libLLVM.so.22.1, where it lies
};
// Those of LLVM, MLIR and Halide that this process was loaded with.
std::vector<LoadedLibrary> compilerLibraries();

} // namespace gemmac
