#include "test/codegen/kernels/device_body.h"

#include "test/codegen/kernels/DeviceRunner.h"
#include "test/codegen/kernels/live_memory.h"

#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/TargetSelect.h"

#include <algorithm>
#include <map>

using namespace llvm;

namespace gemmac::test {

namespace {

std::string &problem() {
  static std::string text;
  return text;
}

struct DeviceBody {
  KernelSpec spec;
  std::vector<Parameter> parameters;
  std::unique_ptr<DeviceRunner> runner;

  std::string call(const uint64_t *values);
};

std::string DeviceBody::call(const uint64_t *values) {
  std::vector<DeviceRunner::Memory> memory;
  std::vector<int64_t> which;
  std::map<std::string, int32_t> integers;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter &parameter = parameters[i];
    if (!parameter.pointer) {
      integers[parameter.name] = int32_t(values[i]);
      continue;
    }
    void *pointer = reinterpret_cast<void *>(values[i]);
    if (!pointer) {
      which.push_back(-1);
      continue;
    }
    auto place = LiveMemory::instance().find(pointer);
    if (!place)
      return "operand " + parameter.name + " lies in no Array or Buffer";
    which.push_back(int64_t(memory.size()));
    memory.push_back({place->begin, place->bytes, place->offset});
  }
  return runner->run(memory, which, integers);
}

void callDevice(DeviceBody *body, const uint64_t *values) {
  std::string text = body->call(values);
  if (!text.empty() && problem().empty())
    problem() = kernelSymbol(body->spec) + ": " + text;
}

// void NAME(parameters): the values as 64 bits each in an array, and
// callDevice(body, array).
std::unique_ptr<Module> makeTrampoline(LLVMContext &context,
                                       const std::string &name,
                                       DeviceBody *body) {
  auto module = std::make_unique<Module>(name, context);
  IRBuilder<> builder(context);
  Type *pointer = builder.getPtrTy(), *word = builder.getInt64Ty();
  std::vector<Type *> types;
  for (const Parameter &parameter : body->parameters)
    types.push_back(parameter.pointer ? pointer : builder.getInt32Ty());
  auto *function =
      Function::Create(FunctionType::get(builder.getVoidTy(), types, false),
                       Function::ExternalLinkage, name, *module);
  builder.SetInsertPoint(BasicBlock::Create(context, "", function));
  Value *values = builder.CreateAlloca(word, builder.getInt64(types.size()));
  for (Argument &argument : function->args()) {
    Value *value = argument.getType() == pointer
                       ? builder.CreatePtrToInt(&argument, word)
                       : builder.CreateZExt(&argument, word);
    builder.CreateStore(
        value, builder.CreateConstGEP1_64(word, values, argument.getArgNo()));
  }
  auto address = [&](const void *p) {
    return builder.CreateIntToPtr(
        builder.getInt64(reinterpret_cast<uintptr_t>(p)), pointer);
  };
  builder.CreateCall(
      FunctionType::get(builder.getVoidTy(), {pointer, pointer}, false),
      address(reinterpret_cast<void *>(&callDevice)), {address(body), values});
  builder.CreateRetVoid();
  return module;
}

} // namespace

std::string takeDeviceProblem() { return std::exchange(problem(), ""); }

void *deviceBody(const KernelSpec &spec, const Target &target) {
  struct Made {
    DeviceBody body;
    void *address = nullptr;
  };
  static std::map<std::string, Made> all;
  const std::string name = kernelSymbol(spec) + "." + target.name;
  Made &made = all[name];
  if (made.address)
    return made.address;
  auto runner = DeviceRunner::create(spec, target);
  if (!runner) {
    fprintf(stderr, "%s\n", runner.error().message.c_str());
    abort();
  }
  made.body = {spec, kernelParameters(spec), std::move(*runner)};
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  ExitOnError check;
  static std::unique_ptr<orc::LLJIT> jit = check(orc::LLJITBuilder().create());
  auto context = std::make_unique<LLVMContext>();
  auto module = makeTrampoline(*context, name, &made.body);
  check(jit->addIRModule(
      orc::ThreadSafeModule(std::move(module), std::move(context))));
  return made.address = check(jit->lookup(name)).toPtr<void *>();
}

} // namespace gemmac::test
