// See NativeModule.h. Kernels are compiled and optimised in parallel, each in a
// context of its own, and travel to the segments' context as bitcode.
#include "codegen/NativeModule.h"

#include "codegen/DeviceKernel.h"
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "dialects/kernel/Kernel.h"
#include "runtime/abi.h"
#include "support/Threads.h"
#include "targets/Layouts.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <atomic>
#include <mutex>

using namespace mlir;

namespace gemmac {

//===-- the plan as data --------------------------------------------------===//

static std::vector<Piece> readPieces(kernel::WeightOp weight) {
  std::vector<Piece> pieces;
  if (ArrayAttr list = weight.getPiecesAttr())
    for (auto piece : list.getAsRange<kernel::PieceAttr>())
      pieces.push_back({piece.getTensor().str(), piece.getRow0(),
                        piece.getRow1(), piece.getCol0(), piece.getCol1()});
  return pieces;
}

static PlannedFunction readFunction(func::FuncOp function) {
  auto memory = function->getAttrOfType<kernel::MemoryAttr>(kernel::memoryAttr);
  auto ple = function->getAttrOfType<DenseI64ArrayAttr>(kernel::pleAttr);
  return {.segment =
              function->getAttrOfType<StringAttr>(kernel::segmentAttr).str(),
          .many = function->getAttrOfType<StringAttr>(kernel::rowsAttr) ==
                  rowClassName(RowClass::Many),
          .worker = memory.getWorker(),
          .row = memory.getRow(),
          .key = memory.getKey(),
          .pleColumn0 = ple ? ple[0] : 0,
          .pleColumn1 = ple ? ple[1] : 0};
}

static PackedWeight readWeight(kernel::WeightOp weight) {
  PackedWeight w = {.name = weight.getSymName().str(),
                    .format = weight.getFormat().str(),
                    .layout = weight.getLayout().str(),
                    .rows = weight.getRows(),
                    .cols = weight.getCols(),
                    .stack = weight.getStack(),
                    .interleave = weight.getInterleave(),
                    .bytes = weight.getBytes(),
                    .offset = weight.getOffset().value_or(0),
                    .pieces = readPieces(weight),
                    .ple = weight->hasAttr(kernel::pleMark)};
  // Interleaved pieces are padded to whole blocks, each on its own.
  if (w.interleave) {
    w.rows = 0;
    for (const Piece &piece : w.pieces)
      w.rows += roundUp(piece.row1 - piece.row0, w.interleave);
  }
  return w;
}

ProgramPlan readPlan(ModuleOp planned) {
  ProgramPlan plan;
  for (Operation &op : planned.getOps()) {
    if (auto weight = dyn_cast<kernel::WeightOp>(op)) {
      if (!weight.getViewOf())
        plan.weights.push_back(readWeight(weight));
    } else if (auto cache = dyn_cast<kernel::CacheOp>(op)) {
      plan.caches.push_back({cache.getSymName().str(), cache.getFormat().str(),
                             !cache.isLocal(), cache.getHeads(), cache.getDim(),
                             cache.getKPage(), cache.getVPage(),
                             cache.getOffset().value_or(0)});
    } else if (auto function = dyn_cast<func::FuncOp>(op);
               function && function->hasAttr(kernel::memoryAttr)) {
      plan.functions.push_back(readFunction(function));
    }
  }
  llvm::sort(plan.weights,
             [](auto &a, auto &b) { return a.offset < b.offset; });
  return plan;
}

std::vector<KernelSpec> kernelSpecs(ModuleOp planned) {
  std::vector<KernelSpec> specs;
  for (auto def : planned.getOps<kernel::DefOp>())
    specs.push_back(kernel::specOf(def));
  return specs;
}

//===-- code --------------------------------------------------------------===//

namespace {
// One kernel after O3.
struct CompiledKernel {
  std::string code;   // bitcode, of a device PTX
  LaunchFacts launch; // of a device
  std::optional<Error> error;
};
} // namespace

// `text` as FOLDER/<symbol>KIND.
static Status dump(const std::string &folder, const KernelSpec &spec,
                   const char *kind, llvm::StringRef text) {
  std::string path = folder + "/" + kernelSymbol(spec) + kind;
  std::error_code error;
  llvm::raw_fd_ostream file(path, error);
  if (!error) {
    file << text;
    file.flush();
    error = file.error();
    file.clear_error();
  }
  if (!error)
    return Done{};
  return Error{ExitCode::Resources,
               "cannot write '" + path + "' of --dump-to: " + error.message()};
}

static CompiledKernel compileOne(const KernelSpec &spec, const Target &target,
                                 const std::string &dumpFolder) {
  CompiledKernel result;
  llvm::LLVMContext context;
  Result<std::unique_ptr<llvm::Module>> module =
      compileKernel(spec, target, context);
  if (!module) {
    result.error = module.error();
    return result;
  }
  optimizeModule(**module, target);
  const bool isDevice = target.device != Device::Cpu;
  if (isDevice)
    result.launch = takeLaunchFacts(**module, kernelSymbol(spec));
  if (!isDevice) {
    llvm::raw_string_ostream stream(result.code);
    llvm::WriteBitcodeToFile(**module, stream);
  }
  if (!dumpFolder.empty()) {
    std::string text;
    llvm::raw_string_ostream(text) << **module;
    if (Status dumped = dump(dumpFolder, spec, ".ll", text); !dumped) {
      result.error = dumped.error();
      return result;
    }
  }
  if (!isDevice && dumpFolder.empty())
    return result;
  Result<std::string> assembly = emitAssembly(**module, target);
  Status done = assembly ? Status(Done{}) : Status(assembly.error());
  if (done && !dumpFolder.empty())
    done = dump(dumpFolder, spec, ".s", *assembly);
  if (!done)
    result.error = done.error();
  else if (isDevice)
    result.code = std::move(*assembly);
  return result;
}

static std::vector<CompiledKernel>
compileAll(const std::vector<KernelSpec> &kernels, const Target &target,
           int threads, const std::string &dumpFolder,
           const KernelProgress &progress) {
  std::vector<CompiledKernel> results(kernels.size());
  std::atomic<size_t> next = 0;
  std::mutex mutex; // of `done` and the calls of progress
  size_t done = 0;
  auto work = [&] {
    for (size_t i = next++; i < kernels.size(); i = next++) {
      results[i] = compileOne(kernels[i], target, dumpFolder);
      std::lock_guard lock(mutex);
      if (progress)
        progress(++done, kernels.size());
    }
  };
  runOnThreads(threads, work);
  return results;
}

static std::unique_ptr<llvm::Module>
translate(ModuleOp native, llvm::LLVMContext &context, const Target &target) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  native.getContext()->appendDialectRegistry(registry);
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(native, context, "gemmac");
  if (module)
    setTarget(*module, target);
  return module;
}

// Moves the kernels into `module`.
static Status linkKernels(llvm::Module &module,
                          std::vector<CompiledKernel> &bodies,
                          const std::vector<KernelSpec> &kernels) {
  llvm::Linker linker(module);
  for (size_t i = 0; i < bodies.size(); ++i) {
    if (bodies[i].error)
      return *bodies[i].error;
    auto buffer = llvm::MemoryBuffer::getMemBuffer(
        bodies[i].code, kernelSymbol(kernels[i]), false);
    auto body = llvm::parseBitcodeFile(*buffer, module.getContext());
    assert(body && "bitcode that was just written is readable");
    [[maybe_unused]] bool failed = linker.linkInModule(std::move(*body));
    assert(!failed && "kernels have distinct symbols and one target");
    bodies[i].code = {};
  }
  return Done{};
}

//===-- devices -----------------------------------------------------------===//

// Defines the constant `name`, which gm_model names.
static void define(llvm::Module &module, llvm::StringRef name,
                   llvm::Constant *value) {
  llvm::GlobalVariable *declared = module.getNamedGlobal(name);
  assert(declared && "gm_model names it");
  auto *global =
      new llvm::GlobalVariable(module, value->getType(), true,
                               llvm::GlobalValue::InternalLinkage, value, "");
  global->setAlignment(llvm::Align(8));
  declared->replaceAllUsesWith(global);
  declared->eraseFromParent();
  global->setName(name);
}

static void defineKernels(llvm::Module &module,
                          const std::vector<CompiledKernel> &bodies,
                          const std::vector<KernelSpec> &kernels) {
  llvm::LLVMContext &context = module.getContext();
  std::string names, table;
  for (size_t i = 0; i < kernels.size(); ++i) {
    const LaunchFacts &launch = bodies[i].launch;
    gm_kernel kernel = {};
    kernel.name = int32_t(names.size());
    kernel.threads = launch.threads;
    kernel.shared = launch.shared;
    kernel.units = launch.units;
    kernel.rows = launch.rows;
    for (const Parameter &parameter : deviceParameters(kernels[i]))
      kernel.addresses |= uint64_t(parameter.pointer) << kernel.parameters++;
    names += kernelSymbol(kernels[i]) + '\0';
    table.append(reinterpret_cast<const char *>(&kernel), sizeof kernel);
  }
  define(module, "gm_kernels",
         llvm::ConstantDataArray::getString(context, table, false));
  define(module, "gm_kernel_names",
         llvm::ConstantDataArray::getString(context, names, false));
}

// Bytes that a gm_image points to, as what loads them may want them aligned.
static llvm::Constant *imageData(llvm::Module &module, const std::string &data,
                                 bool isText, const llvm::Twine &name) {
  auto *bytes = llvm::ConstantDataArray::getString(module.getContext(), data,
                                                   /*AddNull=*/isText);
  auto *global =
      new llvm::GlobalVariable(module, bytes->getType(), true,
                               llvm::GlobalValue::InternalLinkage, bytes, name);
  global->setAlignment(llvm::Align(64));
  return global;
}

// The last entry is empty.
static void defineImages(llvm::Module &module, const std::string &ptx,
                         const std::vector<DeviceImage> &machineCode) {
  llvm::LLVMContext &context = module.getContext();
  llvm::Type *i32 = llvm::Type::getInt32Ty(context),
             *i64 = llvm::Type::getInt64Ty(context),
             *ptr = llvm::PointerType::getUnqual(context);
  auto *type = llvm::StructType::get(context, {i32, i64, ptr});
  std::vector<llvm::Constant *> images;
  auto add = [&](int32_t sm, uint64_t bytes, llvm::Constant *data) {
    images.push_back(llvm::ConstantStruct::get(
        type, {llvm::ConstantInt::get(i32, uint64_t(sm)),
               llvm::ConstantInt::get(i64, bytes), data}));
  };
  add(0, ptx.size(), imageData(module, ptx, true, "gm_ptx"));
  for (const auto &[sm, data] : machineCode)
    add(sm, data.size(),
        imageData(module, data, false, "gm_cubin" + llvm::Twine(sm)));
  images.push_back(llvm::ConstantAggregateZero::get(type));
  define(module, "gm_images",
         llvm::ConstantArray::get(llvm::ArrayType::get(type, images.size()),
                                  images));
}

// The texts of all kernels as one, in their order.
static Result<std::string> joinImage(std::vector<CompiledKernel> &bodies) {
  std::vector<std::string> texts;
  for (CompiledKernel &body : bodies) {
    if (body.error)
      return *body.error;
    texts.push_back(std::move(body.code));
  }
  return joinTexts(texts);
}

Result<std::string> compileNative(ModuleOp native,
                                  const std::vector<KernelSpec> &kernels,
                                  const Target &target, Emit emit, int threads,
                                  const std::string &dumpFolder,
                                  const KernelProgress &progress,
                                  const MakeImages &images) {
  std::vector<CompiledKernel> bodies =
      compileAll(kernels, target, threads, dumpFolder, progress);
  const bool isDevice = target.device != Device::Cpu;
  const Target host = hostOf(target);
  std::string text;
  std::vector<DeviceImage> machineCode;
  if (isDevice) {
    Result<std::string> joined = joinImage(bodies);
    if (!joined || emit == Emit::Asm)
      return joined;
    text = std::move(*joined);
    if (images)
      machineCode = images(text);
  }
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module = translate(native, context, host);
  assert(module && "the LLVM dialect of kernel-to-llvm translates");
  if (isDevice) {
    // Launches in a row have nothing to optimise, and superword vectorisation
    // looks for minutes at the stores of their parameters.
    defineKernels(*module, bodies, kernels);
    defineImages(*module, text, machineCode);
  } else {
    optimizeModule(*module, host);
    if (Status linked = linkKernels(*module, bodies, kernels); !linked)
      return linked.error();
  }
  for (llvm::GlobalValue &value : module->global_values())
    if (!value.isDeclaration() && value.getName() != "gm_model")
      value.setLinkage(llvm::GlobalValue::InternalLinkage);
  if (emit == Emit::Asm)
    return emitAssembly(*module, host);
  if (emit == Emit::Obj)
    return emitObject(*module, host);
  std::string ir;
  llvm::raw_string_ostream(ir) << *module;
  return ir;
}

} // namespace gemmac
