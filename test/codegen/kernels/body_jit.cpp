#include "test/codegen/kernels/body_jit.h"

#include "codegen/BodyKernels.h"
#include "codegen/Optimize.h"

#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MemoryBuffer.h"

#include <map>

using namespace llvm;

namespace gemmac::test {

bool canRunBodies(std::string &why) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16") &&
      __builtin_cpu_supports("avx512vnni"))
    return true;
  why = "this machine has no AVX-512 VNNI and BF16";
#else
  why = "this machine is no x86-64";
#endif
  return false;
}

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
  return emitAssembly(*optimised(spec, t, context), t);
}

std::string bodyObject(const KernelSpec &spec, const std::string &target) {
  LLVMContext context;
  const Target &t = *findTarget(target);
  return emitObject(*optimised(spec, t, context), t);
}

static std::unique_ptr<orc::LLJIT> makeJit() {
  ExitOnError check;
  auto jit = check(orc::LLJITBuilder().create());
  jit->getMainJITDylib().addGenerator(
      check(orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
          jit->getDataLayout().getGlobalPrefix())));
  return jit;
}

void *jitBody(const KernelSpec &spec) {
  static std::map<std::string, void *> made;
  std::string symbol = kernelSymbol(spec);
  if (auto it = made.find(symbol); it != made.end())
    return it->second;
  std::string object = bodyObject(spec, "x86-avx512");
  static std::unique_ptr<orc::LLJIT> jit = makeJit();
  ExitOnError check;
  check(jit->addObjectFile(MemoryBuffer::getMemBufferCopy(object, symbol)));
  return made[symbol] = check(jit->lookup(symbol)).toPtr<void *>();
}

} // namespace gemmac::test
