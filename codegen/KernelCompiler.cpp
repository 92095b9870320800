#include "codegen/KernelCompiler.h"

#include "codegen/BodyBitcode.h"
#include "codegen/DeviceKernel.h"
#include "codegen/Optimize.h"
#include "codegen/Sanitize.h"
#include "codegen/kernels/Tile.h"
#include "targets/Formats.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <sys/resource.h>

using namespace llvm;

namespace gemmac {

//===-- C++ bodies: the model's constants are filled in -------------------===//

static const BodyBitcode *findBitcode(const std::string &family,
                                      const Target &target) {
  for (const BodyBitcode *b = bodyBitcode(); b->family; ++b)
    if (family == b->family && target.name == b->target)
      return b;
  return nullptr;
}

std::string_view bodyBytes(const std::string &family, const Target &target) {
  const BodyBitcode *bitcode = findBitcode(family, target);
  assert(bitcode && "no body of that name");
  return {reinterpret_cast<const char *>(bitcode->data), bitcode->size};
}

bool hasBodyKernel(const std::string &family, const Target &target) {
  return findBitcode(family, target);
}

// Names and values of the symbols that stand for a constant in a body.
static std::vector<std::pair<std::string, Constant *>>
symbolsOf(const std::string &name, const Constants::Value &value,
          LLVMContext &context) {
  Type *i32 = Type::getInt32Ty(context);
  if (auto *integer = std::get_if<int64_t>(&value))
    return {{"gm_" + name, ConstantInt::getSigned(i32, *integer)}};
  if (auto *real = std::get_if<double>(&value))
    return {{"gm_" + name,
             ConstantFP::get(Type::getFloatTy(context), float(*real))}};
  std::vector<std::pair<std::string, Constant *>> symbols;
  for (const Format &format : formats())
    symbols.emplace_back(
        "gm_" + name + "_" + format.name,
        ConstantInt::get(i32, std::get<std::string>(value) == format.name));
  return symbols;
}

static void fillConstant(GlobalVariable &variable, Constant *constant) {
  assert(variable.getValueType() == constant->getType() &&
         "a body's constant has another type");
  variable.setInitializer(constant);
  variable.setConstant(true);
  variable.setLinkage(GlobalValue::InternalLinkage);
  for (User *user : make_early_inc_range(variable.users()))
    if (auto *load = dyn_cast<LoadInst>(user)) {
      load->replaceAllUsesWith(constant);
      load->eraseFromParent();
    }
}

// Of a device: its size is said at the launch.
[[maybe_unused]] static bool isSharedMemory(const GlobalVariable &variable) {
  return variable.getAddressSpace() == 3;
}

// Replaces every load of a constant by its value.
static void fillConstants(Module &module, const Constants &constants) {
  for (const auto &[name, value] : constants.all())
    for (const auto &[symbol, constant] :
         symbolsOf(name, value, module.getContext()))
      if (GlobalVariable *variable = module.getNamedGlobal(symbol))
        fillConstant(*variable, constant);
#ifndef NDEBUG
  for (GlobalVariable &variable : module.globals())
    assert((!variable.isDeclaration() || isSharedMemory(variable)) &&
           "a body uses a constant that its family lacks");
#endif
}

// Leaves one external function, the body of the row class; its signature is
// another one where the constants switch weights off.
static void chooseEntry(Module &module, const KernelSpec &spec) {
  const bool isBare =
      kernelWeights(spec).size() < findFamily(spec.family)->weights.size();
  const std::string name = isBare ? "gm_bare" : "gm";
  Function *entry = module.getFunction(
      name + (spec.rows == RowClass::Few ? "_few" : "_many"));
  if (!entry)
    entry = module.getFunction(isBare ? "gm_bare" : "gm_body");
  assert(entry && "the family has no body for the row class");
  for (Function &function : module)
    if (&function != entry && !function.isDeclaration())
      function.setLinkage(GlobalValue::InternalLinkage);
  if (entry->getCallingConv() == CallingConv::PTX_Kernel)
    keepLaunchFacts(*entry, kernelSymbol(spec));
  entry->setName(kernelSymbol(spec));
  entry->setLinkage(GlobalValue::ExternalLinkage);
  entry->setDSOLocal(true);
  entry->addFnAttr(Attribute::NoInline);
  entry->addFnAttr(Attribute::NoUnwind);
}

// Bodies take formats as they come.
static Status checkProduct(const KernelSpec &spec) {
  const Family &family = *findFamily(spec.family);
  if (family.matrix != MatrixUse::Product || !spec.constants.has("act"))
    return Done{};
  const Format &format = formatOf(spec.constants.text("format")),
               &act = formatOf(spec.constants.text("act"));
  if (act.name == std::string_view(format.act) || isWideProduct(format, act))
    return Done{};
  return makeError(ExitCode::Unsupported,
                   "{}: no product of {} activations with {} weights",
                   kernelSymbol(spec), act.name, format.name);
}

// Products of devices hold the code of all formats and activations, one
// function for each step, which constants choose through several calls: nine of
// ten instructions are for others. The rest of the bodies branch where they
// stand.
static bool choosesThroughCalls(const KernelSpec &spec, const Target &target) {
  return target.device != Device::Cpu &&
         findFamily(spec.family)->matrix == MatrixUse::Product;
}

Result<std::unique_ptr<Module>> compileBodyKernel(const KernelSpec &spec,
                                                  const Target &target,
                                                  LLVMContext &context) {
  if (Status s = checkProduct(spec); !s)
    return s.error();
  // Embedded by the build: it can be read.
  std::unique_ptr<Module> module = cantFail(parseBitcodeFile(
      MemoryBufferRef(bodyBytes(spec.family, target), spec.family), context));
  chooseEntry(*module, spec);
  fillConstants(*module, spec.constants);
  sanitizeModule(*module, target);
  // The code for the other cache format, say.
  dropDeadCode(*module, choosesThroughCalls(spec, target));
  if (NamedMDNode *ident = module->getNamedMetadata("llvm.ident"))
    module->eraseNamedMetadata(ident);
  return module;
}

//===-- either ------------------------------------------------------------===//

// Devices have C++ bodies alone.
static bool isTileKernel(const std::string &family, const Target &target) {
  return target.device == Device::Cpu && hasTileKernel(family);
}

bool hasKernel(const std::string &family, const Target &target) {
  return isTileKernel(family, target) || hasBodyKernel(family, target);
}

// Halide writes a body to an anonymous file, and ends the program where a limit
// of the size of files, which counts these too, does not let it.
static Status needFileSizes() {
  constexpr rlim_t most = 1 << 20;
  rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= most)
    return Done{};
  return makeError(ExitCode::Resources,
                   "the limit of the size of files is {} bytes, kernels need "
                   "{}: raise it with 'ulimit -f'",
                   uint64_t(limit.rlim_cur), uint64_t(most));
}

Result<std::unique_ptr<Module>> compileKernel(const KernelSpec &spec,
                                              const Target &target,
                                              LLVMContext &context) {
  if (!hasKernel(spec.family, target))
    return Error{ExitCode::Unsupported, "no body of kernel family '" +
                                            spec.family + "' for target " +
                                            target.name};
  if (isTileKernel(spec.family, target))
    if (Status s = needFileSizes(); !s)
      return s.error();
  auto module = isTileKernel(spec.family, target)
                    ? compileHalideKernel(spec, target, context)
                    : compileBodyKernel(spec, target, context);
  assert((!module || !verifyModule(**module, &errs())) &&
         "a kernel is broken IR");
  return module;
}

} // namespace gemmac
