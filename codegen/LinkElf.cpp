// Code linked: the runtimes that gemmac carries, and LLD in this process. See
// Linker.h. Must not know what a program file has behind its code.
#include "codegen/LinkElf.h"

#include "lld/Common/CommonLinkerContext.h"
#include "lld/Common/Driver.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

namespace gemmac {

using Names = std::vector<const char *>;

namespace {

// How programs for a device, and shared libraries for any, are linked: flags,
// and files of the runtime's folder in order around the object.
struct Linking {
  Names flags, before, after;
};

} // namespace

static const char *const always[] = {
    "ld.lld", "-ztext", "-zrelro", "-znow", "-znoexecstack", "--build-id=none",
    "--gc-sections",
    // Or no exception would find its handler.
    "--eh-frame-hdr",
    // More may not be given, and one object needs no more.
    "--threads=1"};

static const Linking &linkingOf(const Target &target, Form form) {
  // Static, at an address that each start draws anew; nothing to load.
  static const Linking cpu = {{"-pie", "-static", "--no-dynamic-linker"},
                              {"rcrt1.o", "crti.o", "crtbeginS.o"},
                              {"runtime.o", "crtendS.o", "crtn.o"}};
  // The driver is loaded at run time and needs the machine's libc: a second
  // one in the program would crash. Nothing of the libraries named here
  // enters it.
  static const Linking cuda = {
      {"-pie", "--dynamic-linker=/lib64/ld-linux-x86-64.so.2", "--as-needed"},
      {"Scrt1.o", "crti.o", "crtbeginS.o"},
      {"runtime.o", "libc.so.6", "libm.so.6", "ld-linux.so", "crtendS.o",
       "crtn.o"}};
  // Shows the functions of exports.map alone.
  static const Linking library = {{"-shared", "-zdefs", "--as-needed"},
                                  {"crti.o", "crtbeginS.o"},
                                  {"runtime.o", "libc.so.6", "libm.so.6",
                                   "ld-linux.so", "crtendS.o", "crtn.o"}};
  return form != Form::Program           ? library
         : target.device == Device::Cuda ? cuda
                                         : cpu;
}

std::string runtimeOf(const std::string &folder, const Target &target,
                      Form form) {
  return folder + "/" + target.arch + (form == Form::Program ? "" : "-lib");
}

static std::vector<std::string> runtimeFiles(const Names &names,
                                             const std::string &folder) {
  std::vector<std::string> paths;
  for (const char *name : names)
    paths.push_back(folder + "/" + name);
  return paths;
}

Status checkRuntime(const std::string &folder, const Target &target,
                    Form form) {
  const Linking &linking = linkingOf(target, form);
  for (const Names *names : {&linking.before, &linking.after})
    for (const std::string &path :
         runtimeFiles(*names, runtimeOf(folder, target, form)))
      if (!llvm::sys::fs::exists(path))
        return makeError(ExitCode::Unsupported,
                         "no runtime for '{}': expected the file '{}', found "
                         "none; reinstall gemmac with that architecture",
                         target.arch, path);
  return Done{};
}

Status linkElf(const ProgramInput &in, const std::vector<std::string> &objects,
               const std::string &outputPath) {
  const Target &target = in.manifest.target;
  const Linking &linking = linkingOf(target, in.form);
  const std::string folder = runtimeOf(in.runtime, target, in.form);
  std::vector<std::string> args(std::begin(always), std::end(always));
  args.push_back(in.symbols ? "--strip-debug" : "--strip-all");
  args.insert(args.end(), {"-o", outputPath});
  if (in.form == Form::SharedLibrary)
    args.insert(args.end(), {"-soname=" + in.soname,
                             "--version-script=" + folder + "/exports.map"});
  llvm::append_range(args, linking.flags);
  llvm::append_range(args, runtimeFiles(linking.before, folder));
  llvm::append_range(args, objects);
  llvm::append_range(args, runtimeFiles(linking.after, folder));
  std::vector<const char *> argv;
  for (const std::string &arg : args)
    argv.push_back(arg.c_str());
  std::string text;
  llvm::raw_string_ostream stream(text);
  const lld::DriverDef drivers[] = {{lld::Gnu, &lld::elf::link}};
  lld::Result result = lld::lldMain(argv, stream, stream, drivers);
  lld::CommonLinkerContext::destroy();
  if (result.retCode != 0)
    return makeError(ExitCode::Resources, "linking '{}' failed: {}", in.output,
                     text);
  return Done{};
}

} // namespace gemmac
