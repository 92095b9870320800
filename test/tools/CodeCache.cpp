// gemmac-cached: gemmac with a memory for machine code, for tests that compile
// thousands of checkpoints of few shapes. Everything but the making of code is
// gemmac's own; what it makes is kept in the folder of the environment's
// GEMMAC_CODE_CACHE (unset: nothing is kept) under a hash of all that it
// depends on besides the compiler itself, so a folder is for one build. The
// linker puts the functions wrap* in the place of those that they are named
// after (--wrap, CMakeLists.txt).
#include "codegen/ContentHash.h"
#include "codegen/KernelCompiler.h"
#include "codegen/NativeModule.h"
#include "codegen/Optimize.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <unistd.h>

namespace gemmac {

using KernelModule = Result<std::unique_ptr<llvm::Module>>;

Result<std::string>
realNative(mlir::ModuleOp, const std::vector<KernelSpec> &, const Target &,
           Emit, int, const std::string &, const KernelProgress &,
           const MakeImages &) asm("__real_" GEMMAC_COMPILE_NATIVE);
Result<std::string>
wrapNative(mlir::ModuleOp, const std::vector<KernelSpec> &, const Target &,
           Emit, int, const std::string &, const KernelProgress &,
           const MakeImages &) asm("__wrap_" GEMMAC_COMPILE_NATIVE);
KernelModule
realKernel(const KernelSpec &, const Target &,
           llvm::LLVMContext &) asm("__real_" GEMMAC_COMPILE_KERNEL);
KernelModule
wrapKernel(const KernelSpec &, const Target &,
           llvm::LLVMContext &) asm("__wrap_" GEMMAC_COMPILE_KERNEL);
void realOptimize(llvm::Module &,
                  const Target &) asm("__real_" GEMMAC_OPTIMIZE_MODULE);
void wrapOptimize(llvm::Module &,
                  const Target &) asm("__wrap_" GEMMAC_OPTIMIZE_MODULE);

// Where `name` is kept; empty: nowhere.
static std::string placeOf(const std::string &name) {
  const char *folder = getenv("GEMMAC_CODE_CACHE");
  return folder && *folder ? std::string(folder) + "/" + name : "";
}

static std::unique_ptr<llvm::MemoryBuffer> kept(const std::string &place) {
  if (place.empty())
    return nullptr;
  auto file = llvm::MemoryBuffer::getFile(place);
  return file ? std::move(*file) : nullptr;
}

// Whole or not at all, whoever else keeps the same.
static void keep(const std::string &place, llvm::StringRef bytes) {
  if (place.empty())
    return;
  std::string part = place + "." + std::to_string(getpid());
  std::error_code error;
  {
    llvm::raw_fd_ostream file(part, error);
    if (!error) {
      file << bytes;
      file.flush();
      error = file.error();
      file.clear_error();
    }
  }
  if (error || llvm::sys::fs::rename(part, place))
    llvm::sys::fs::remove(part);
}

Result<std::string> wrapNative(mlir::ModuleOp native,
                               const std::vector<KernelSpec> &kernels,
                               const Target &target, Emit emit, int threads,
                               const std::string &dumpFolder,
                               const KernelProgress &progress,
                               const MakeImages &images) {
  if (emit != Emit::Obj || !dumpFolder.empty() || images)
    return realNative(native, kernels, target, emit, threads, dumpFolder,
                      progress, images);
  std::string text = target.name + "\n";
  for (const KernelSpec &kernel : kernels)
    text += kernelSymbol(kernel) + "\n";
  llvm::raw_string_ostream(text) << native;
  ContentHash hash;
  hash.update(text.data(), text.size());
  std::string place = placeOf(std::to_string(hash.digest()) + ".o");
  if (auto file = kept(place))
    return file->getBuffer().str();
  Result<std::string> made = realNative(native, kernels, target, emit, threads,
                                        dumpFolder, progress, images);
  if (made)
    keep(place, *made);
  return made;
}

// A kernel between wrapKernel, which makes or finds it, and wrapOptimize, which
// its thread calls next: still to be optimised and kept, or done.
struct Pending {
  const llvm::Module *module = nullptr;
  std::string place; // empty: it is as optimised already
};
static thread_local Pending pending;

KernelModule wrapKernel(const KernelSpec &spec, const Target &target,
                        llvm::LLVMContext &context) {
  std::string place = placeOf(target.name + "-" + kernelSymbol(spec) + ".bc");
  if (auto file = kept(place)) {
    auto module = llvm::cantFail(llvm::parseBitcodeFile(*file, context));
    pending = {module.get(), ""};
    return module;
  }
  KernelModule made = realKernel(spec, target, context);
  if (made && !place.empty())
    pending = {made->get(), place};
  return made;
}

void wrapOptimize(llvm::Module &module, const Target &target) {
  Pending kernel = std::exchange(pending, {});
  if (kernel.module != &module)
    return realOptimize(module, target);
  if (kernel.place.empty())
    return;
  realOptimize(module, target);
  std::string bitcode;
  llvm::raw_string_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(module, stream);
  keep(kernel.place, bitcode);
}

} // namespace gemmac
