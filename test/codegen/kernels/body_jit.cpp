#include "test/codegen/kernels/body_jit.h"

#include "test/codegen/kernels/device_body.h"

#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"

#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MemoryBuffer.h"

#include <map>

using namespace llvm;

namespace gemmac::test {

static std::unique_ptr<Module>
optimised(const KernelSpec &spec, const Target &target, LLVMContext &context) {
  auto module = compileBodyKernel(spec, target, context);
  if (!module) {
    fprintf(stderr, "%s\n", module.error().message.c_str());
    abort();
  }
  optimizeModule(**module, target);
  return std::move(*module);
}

std::string bodyAssembly(const KernelSpec &spec, const std::string &target) {
  LLVMContext context;
  const Target &t = *findTarget(target);
  return *emitAssembly(*optimised(spec, t, context), t);
}

std::string bodyObject(const KernelSpec &spec, const std::string &target) {
  LLVMContext context;
  const Target &t = *findTarget(target);
  return *emitObject(*optimised(spec, t, context), t);
}

static std::unique_ptr<orc::LLJIT> makeJit() {
  ExitOnError check;
  auto jit = check(orc::LLJITBuilder().create());
  jit->getMainJITDylib().addGenerator(
      check(orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
          jit->getDataLayout().getGlobalPrefix())));
  return jit;
}

void *jitBody(const KernelSpec &spec, const std::string &target) {
  if (const Target &t = *findTarget(target); t.device == Device::Cuda)
    return deviceBody(spec, t);
  struct Jit {
    std::map<std::string, void *> made;
    std::unique_ptr<orc::LLJIT> jit;
  };
  static std::map<std::string, Jit> jits; // symbols are the same for all
  Jit &jit = jits[target];
  std::string symbol = kernelSymbol(spec);
  if (auto it = jit.made.find(symbol); it != jit.made.end())
    return it->second;
  std::string object = bodyObject(spec, target); // makes LLVM know its targets
  if (!jit.jit)
    jit.jit = makeJit();
  ExitOnError check;
  check(jit.jit->addObjectFile(MemoryBuffer::getMemBufferCopy(object, symbol)));
  return jit.made[symbol] = check(jit.jit->lookup(symbol)).toPtr<void *>();
}

} // namespace gemmac::test
