#include "codegen/KernelJit.h"

#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"

#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;

namespace gemmac {

struct KernelJit::Session {
  std::unique_ptr<orc::LLJIT> jit;
};

KernelJit::KernelJit() : session(std::make_unique<Session>()) {}
KernelJit::~KernelJit() = default;

static void addCallAdapter(Module &module, const KernelSpec &spec) {
  IRBuilder<> builder(module.getContext());
  Type *pointer = builder.getPtrTy(), *integer = builder.getInt32Ty();
  auto *type =
      FunctionType::get(builder.getVoidTy(), {pointer, pointer}, false);
  auto *adapter =
      Function::Create(type, GlobalValue::ExternalLinkage, "gm_call", module);
  builder.SetInsertPoint(
      BasicBlock::Create(module.getContext(), "entry", adapter));
  unsigned next[2] = {0, 0};
  SmallVector<Value *> arguments;
  for (const Parameter &parameter : kernelParameters(spec)) {
    Type *element = parameter.pointer ? pointer : integer;
    Value *place =
        builder.CreateConstGEP1_32(element, adapter->getArg(!parameter.pointer),
                                   next[parameter.pointer]++);
    arguments.push_back(builder.CreateLoad(element, place));
  }
  Function *kernel = module.getFunction(kernelSymbol(spec));
  assert(kernel && "the module lacks its kernel");
  builder.CreateCall(kernel, arguments);
  builder.CreateRetVoid();
}

Result<std::string> compileCallable(const KernelSpec &spec,
                                    const Target &target) {
  LLVMContext context;
  auto module = compileKernel(spec, target, context);
  if (!module)
    return module.error();
  addCallAdapter(**module, spec);
  optimizeModule(**module, target);
  return emitObject(**module, target);
}

Result<std::unique_ptr<KernelJit>> KernelJit::create(const KernelSpec &spec,
                                                     const Target &target) {
  Result<std::string> object = compileCallable(spec, target);
  if (!object)
    return object.error();
  auto report = [](llvm::Error error) {
    return gemmac::Error{ExitCode::Unsupported,
                         "cannot run a kernel: " + toString(std::move(error))};
  };
  std::unique_ptr<KernelJit> result(new KernelJit);
  auto jit = orc::LLJITBuilder().create();
  if (!jit)
    return report(jit.takeError());
  result->session->jit = std::move(*jit);
  if (auto error = result->session->jit->addObjectFile(
          MemoryBuffer::getMemBufferCopy(*object)))
    return report(std::move(error));
  auto symbol = result->session->jit->lookup("gm_call");
  if (!symbol)
    return report(symbol.takeError());
  result->entry = symbol->toPtr<void(void **, int32_t *)>();
  return result;
}

} // namespace gemmac
