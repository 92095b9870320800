// See Library.h.
#include "compiler/Library.h"

#include "codegen/OutputFile.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cerrno>
#include <fmt/format.h>
#include <unistd.h>

using llvm::StringRef;

namespace gemmac {

// Where version and, in front of 1.0, its second number stand for what programs
// can go on to use.
static StringRef version() { return GEMMAC_VERSION; }
static std::string soversion() {
  auto [major, rest] = version().split('.');
  return major == "0" ? "0." + rest.split('.').first.str() : major.str();
}

std::optional<Form> formOf(const std::string &emit) {
  if (emit.empty())
    return Form::Program;
  if (emit == "lib")
    return Form::SharedLibrary;
  if (emit == "static-lib")
    return Form::StaticLibrary;
  return std::nullopt;
}

Result<LibraryFolder> LibraryFolder::of(const std::string &output, Form form) {
  LibraryFolder made;
  made.form = form;
  made.folder = StringRef(output).rtrim('/').str();
  StringRef name = llvm::sys::path::filename(made.folder);
  name.consume_front("lib");
  auto isPlain = [](char c) {
    return llvm::isAlnum(c) || StringRef("-_+.").contains(c);
  };
  if (name.empty() || !llvm::isAlnum(name[0]) || !llvm::all_of(name, isPlain))
    return makeError(ExitCode::Usage,
                     "-o names the folder of the library, and the library: "
                     "expects letters, digits, '-', '_', '+' and '.', got '{}'",
                     output);
  made.name = name;
  namespace fs = llvm::sys::fs;
  std::error_code ignored;
  const bool empty = !fs::exists(made.folder) ||
                     (fs::is_directory(made.folder) &&
                      fs::directory_iterator(made.folder, ignored) ==
                          fs::directory_iterator());
  if (!empty && !fs::exists(made.folder + "/include/gemma.h"))
    return makeError(ExitCode::Usage,
                     "-o expects a new folder or one of an earlier library, "
                     "got '{}', which is something else",
                     output);
  return made;
}

std::string LibraryFolder::library() const {
  return form == Form::StaticLibrary
             ? fmt::format("{}/lib/lib{}.a", folder, name)
             : fmt::format("{}/lib/lib{}.so.{}", folder, name, version().str());
}

std::string LibraryFolder::soname() const {
  return fmt::format("lib{}.so.{}", name, soversion());
}

static const char *const folders[] = {"/include", "/lib/cmake",
                                      "/lib/pkgconfig"};

Status LibraryFolder::makeFolders() const {
  std::vector<std::string> all(std::begin(folders), std::end(folders));
  all.push_back("/lib/cmake/" + name);
  for (const std::string &each : all)
    if (std::error_code e = llvm::sys::fs::create_directories(
            folder + each, true, llvm::sys::fs::all_all))
      return makeError(ExitCode::Resources, "cannot create the folder '{}': {}",
                       folder + each, e.message());
  return Done{};
}

void LibraryFolder::removeFolders() const {
  for (const std::string &each :
       {"/lib/cmake/" + name, std::string("/lib/cmake"),
        std::string("/lib/pkgconfig"), std::string("/lib"),
        std::string("/include"), std::string()})
    rmdir((folder + each).c_str()); // fails on what is not empty
}

Status LibraryFolder::link(const std::string &from,
                           const std::string &to) const {
  const std::string path = folder + "/lib/" + from;
  unlink(path.c_str());
  if (symlink(to.c_str(), path.c_str()))
    return cannotWrite("create", path, errno);
  return Done{};
}

//===-- what finds it -----------------------------------------------------===//

// The folders are found from the file's own place, so the whole can be moved.
std::string LibraryFolder::pkgConfig() const {
  const bool isStatic = form == Form::StaticLibrary;
  return fmt::format("prefix=${{pcfiledir}}/../..\n"
                     "libdir=${{prefix}}/lib\n"
                     "includedir=${{prefix}}/include\n"
                     "{}"
                     "\nName: {}\n"
                     "Description: a language model compiled by gemmac\n"
                     "Version: {}\n"
                     "Cflags: -I${{includedir}}\n"
                     "Libs: -L${{libdir}} -l{}{}\n",
                     isStatic ? "weights=${libdir}/lib" + name + ".weights\n"
                              : "",
                     name, version().str(), name, isStatic ? " -lm" : "");
}

std::string LibraryFolder::cmakeConfig() const {
  const bool isStatic = form == Form::StaticLibrary;
  const std::string file = llvm::sys::path::filename(library()).str();
  std::string text = fmt::format(
      "# The target {0}::{0}, a language model compiled by gemmac.\n"
      "get_filename_component({0}_PREFIX "
      "\"${{CMAKE_CURRENT_LIST_DIR}}/../../..\" ABSOLUTE)\n"
      "if(NOT TARGET {0}::{0})\n"
      "  add_library({0}::{0} {1} IMPORTED)\n"
      "  set_target_properties({0}::{0} PROPERTIES\n"
      "    IMPORTED_LOCATION \"${{{0}_PREFIX}}/lib/{2}\"\n"
      "    {3}\n"
      "    INTERFACE_INCLUDE_DIRECTORIES \"${{{0}_PREFIX}}/include\")\n"
      "endif()\n",
      name, isStatic ? "STATIC" : "SHARED", file,
      isStatic ? "INTERFACE_LINK_LIBRARIES m" : "IMPORTED_SONAME " + soname());
  if (isStatic)
    text +=
        fmt::format("# The file that gemma_options.path names.\n"
                    "set({0}_WEIGHTS \"${{{0}_PREFIX}}/lib/lib{0}.weights\")\n",
                    name);
  return text;
}

// Compatible where the SOVERSION is the same and the version is not newer.
std::string LibraryFolder::cmakeVersion() const {
  return fmt::format(
      "set(PACKAGE_VERSION {0})\n"
      "if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)\n"
      "  set(PACKAGE_VERSION_EXACT TRUE)\n"
      "endif()\n"
      "if(PACKAGE_FIND_VERSION VERSION_LESS_EQUAL PACKAGE_VERSION AND\n"
      "   \"${{PACKAGE_FIND_VERSION}}.\" MATCHES \"^{1}[.]\")\n"
      "  set(PACKAGE_VERSION_COMPATIBLE TRUE)\n"
      "endif()\n",
      version().str(), StringRef(soversion()).str());
}

Status LibraryFolder::complete(const std::string &runtime) const {
  auto header = llvm::MemoryBuffer::getFile(runtime + "/gemma.h");
  if (!header)
    return makeError(ExitCode::Unsupported,
                     "cannot read '{}/gemma.h': {}; reinstall gemmac", runtime,
                     header.getError().message());
  const std::string cmake = folder + "/lib/cmake/" + name + "/" + name;
  const std::pair<std::string, std::string> files[] = {
      {folder + "/include/gemma.h", (*header)->getBuffer().str()},
      {folder + "/lib/pkgconfig/" + name + ".pc", pkgConfig()},
      {cmake + "Config.cmake", cmakeConfig()},
      {cmake + "ConfigVersion.cmake", cmakeVersion()}};
  for (const auto &[path, text] : files)
    if (Status s = writeText(
            path, [&text = text](llvm::raw_ostream &out) { out << text; });
        !s)
      return s;
  if (form == Form::StaticLibrary)
    return Done{};
  const std::string file = llvm::sys::path::filename(library()).str();
  if (Status s = link(soname(), file); !s)
    return s;
  return link("lib" + name + ".so", soname());
}

} // namespace gemmac
