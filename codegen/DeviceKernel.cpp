// See DeviceKernel.h.
#include "codegen/DeviceKernel.h"

#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"

using namespace llvm;

namespace gemmac {

static constexpr const char *factNames[] = {"_threads", "_shared", "_units",
                                            "_rows"};
// GM_RESIDENT, which not every entry says.
static constexpr const char *residentName = "_resident";

void keepLaunchFacts(Function &entry, const std::string &symbol) {
  auto keep = [&](const char *fact) {
    Function *function =
        entry.getParent()->getFunction((entry.getName() + fact).str());
    if (function) {
      function->setName(symbol + fact);
      function->setLinkage(GlobalValue::ExternalLinkage);
    }
    return function != nullptr;
  };
  for (const char *fact : factNames)
    if (!keep(fact))
      assert(false && "a kernel is not declared by GM_ENTRY");
  keep(residentName);
}

// The constant that the function returns, once it is optimised.
static int32_t takeFact(Module &module, const std::string &name) {
  Function *function = module.getFunction(name);
  assert(function && !function->empty() && "a launch fact is lost");
  auto *end = dyn_cast<ReturnInst>(function->getEntryBlock().getTerminator());
  auto *value = end ? dyn_cast<ConstantInt>(end->getReturnValue()) : nullptr;
  assert(value && "a launch fact depends on more than constants");
  const int32_t fact = int32_t(value->getSExtValue());
  function->eraseFromParent();
  return fact;
}

LaunchFacts takeLaunchFacts(Module &module, const std::string &symbol) {
  LaunchFacts facts;
  int32_t *const fields[] = {&facts.threads, &facts.shared, &facts.units,
                             &facts.rows};
  for (size_t i = 0; i < std::size(fields); ++i)
    *fields[i] = takeFact(module, symbol + factNames[i]);
  Function *entry = module.getFunction(symbol);
  assert(entry && "the module lacks its kernel");
  entry->addFnAttr("nvvm.maxntid", std::to_string(facts.threads));
  if (module.getFunction(symbol + residentName))
    entry->addFnAttr("nvvm.minctasm",
                     std::to_string(takeFact(module, symbol + residentName)));
  for (GlobalValue &value : module.global_values())
    if (value.hasLocalLinkage())
      value.setName(symbol + "_" + value.getName());
  return facts;
}

// Splits a text of LLVM's NVPTX back end behind its header, which ends with the
// size of addresses.
static std::pair<StringRef, StringRef> splitHeader(StringRef text) {
  constexpr StringRef last = ".address_size 64\n";
  const size_t at = text.find(last);
  assert(at != StringRef::npos && "PTX without a header");
  return {text.take_front(at + last.size()), text.drop_front(at + last.size())};
}

std::string joinTexts(const std::vector<std::string> &texts) {
  std::string joined;
  std::vector<StringRef> declared;
  for (const std::string &text : texts) {
    auto [header, rest] = splitHeader(text);
    if (joined.empty())
      joined = header;
    assert(StringRef(joined).starts_with(header) && "kernels of two targets");
    while (!rest.empty()) {
      auto [line, after] = rest.split('\n');
      rest = after;
      if (line.starts_with(".extern")) {
        if (is_contained(declared, line))
          continue;
        declared.push_back(line);
      }
      joined += line;
      joined += '\n';
    }
  }
  return joined;
}

Result<DeviceCode> compileDeviceKernel(const KernelSpec &spec,
                                       const Target &target) {
  LLVMContext context;
  auto module = compileKernel(spec, target, context);
  if (!module)
    return module.error();
  optimizeModule(**module, target);
  DeviceCode code;
  code.launch = takeLaunchFacts(**module, kernelSymbol(spec));
  Result<std::string> text = emitAssembly(**module, target);
  if (!text)
    return text.error();
  code.ptx = *text;
  return code;
}

} // namespace gemmac
