// See Installed.h.
#include "compiler/Installed.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <link.h>

namespace gemmac {

std::string runtimeFolder() {
  std::string executable = llvm::sys::fs::getMainExecutable(
      nullptr, reinterpret_cast<void *>(&runtimeFolder));
  llvm::StringRef prefix =
      llvm::sys::path::parent_path(llvm::sys::path::parent_path(executable));
  return (prefix + "/lib/gemmac").str();
}

std::vector<LoadedLibrary> compilerLibraries() {
  std::vector<LoadedLibrary> libraries;
  auto add = [](dl_phdr_info *info, size_t, void *to) {
    llvm::StringRef name = llvm::sys::path::filename(info->dlpi_name);
    if (name.starts_with("libLLVM") || name.starts_with("libMLIR") ||
        name.starts_with("libHalide"))
      static_cast<std::vector<LoadedLibrary> *>(to)->push_back(
          {name.str(), info->dlpi_name});
    return 0;
  };
  dl_iterate_phdr(add, &libraries);
  return libraries;
}

} // namespace gemmac
