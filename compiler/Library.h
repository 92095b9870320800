// The folder that --emit=lib and --emit=static-lib write: the library, its
// header, and what CMake and pkg-config find it by. Must not know MLIR, nor
// what is in the library.
#pragma once

#include "codegen/Linker.h"

#include <optional>

namespace gemmac {

// The form that a word of --emit names; nothing: it is code alone.
std::optional<Form> formOf(const std::string &emit);

class LibraryFolder {
public:
  // `output`: the folder of -o, whose name without "lib" is the library's.
  // Usage if it holds something else than an earlier library.
  static Result<LibraryFolder> of(const std::string &output, Form form);

  // lib/libNAME.so.VERSION or lib/libNAME.a.
  std::string library() const;
  std::string soname() const;
  Status makeFolders() const;
  // All but the library; the header is that of the runtime's folder.
  Status complete(const std::string &runtime) const;
  // After a failure: the folders, if they are empty.
  void removeFolders() const;

private:
  std::string pkgConfig() const;
  std::string cmakeConfig() const;
  std::string cmakeVersion() const;
  Status link(const std::string &from, const std::string &to) const;

  Form form = Form::SharedLibrary;
  std::string folder, name;
};

} // namespace gemmac
