// plan-identity CONFIGS RECORD [TARGET]: plans every real configuration for
// every target and set of formats, and compares two hashes of each plan with
// those of the file RECORD:
//   data  what the plan says, free of spelling: kernels with their constants,
//         operands, weights, scalars, units, places, barriers, offsets. It
//         changes only with the program that comes out.
//   text  the plan as --compile-to=plan prints it. It may change in commits
//         that change nothing but spelling.
// With --record, prints what RECORD should hold; with --print NAME, the data of
// one plan (a line's first three words, joined by '/').
#include "compiler/importer/Config.h"
#include "compiler/importer/Gemma4.h"
#include "dialects/kernel/Kernel.h"
#include "passes/Pipelines.h"

#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace gemmac;

namespace {

struct Variant {
  const char *name, *quant, *cacheType;
};
constexpr Variant variants[] = {{"auto", "auto", "auto"},
                                {"f32", "f32", "auto"},
                                {"q8", "q8", "auto"},
                                {"q4", "q4", "auto"},
                                {"q4-cache-q8", "q4", "q8"}};
constexpr const char *sizes[] = {"E2B", "E4B", "12B", "26B-A4B", "31B"};

//===-- the plan as data --------------------------------------------------===//

class PlanData {
public:
  explicit PlanData(ModuleOp module) : module(module), symbols(module) {}
  std::string write();

private:
  void weight(kernel::WeightOp op);
  void cache(kernel::CacheOp op);
  void function(func::FuncOp func);
  void call(func::FuncOp func, kernel::CallOp op);
  std::string operand(func::FuncOp func, Value value);

  ModuleOp module;
  kernel::Symbols symbols;
  llvm::StringMap<int> weights, caches; // numbers, by symbol
  llvm::DenseMap<Operation *, int> calls;
  std::string text;
  llvm::raw_string_ostream out{text};
};

void PlanData::weight(kernel::WeightOp op) {
  int number = int(weights.size());
  weights[op.getSymName()] = number;
  out << "weight " << op.getFormat() << ' ' << op.getLayout() << ' '
      << op.getRows() << ' ' << op.getCols() << ' ' << op.getStack() << ' '
      << op.getInterleave() << ' ' << op.getBytes() << " at "
      << op.getOffset().value();
  if (op->hasAttr(kernel::pleMark))
    out << " ple";
  if (op.getViewOf())
    out << " view " << weights.at(*op.getViewOf()) << ' ' << *op.getViewRow()
        << ' ' << *op.getViewRow() + op.getRows();
  else
    for (auto piece : op.getPiecesAttr().getAsRange<kernel::PieceAttr>())
      out << " (" << piece.getTensor() << ' ' << piece.getRow0() << ' '
          << piece.getRow1() << ' ' << piece.getCol0() << ' ' << piece.getCol1()
          << ')';
  out << '\n';
}

void PlanData::cache(kernel::CacheOp op) {
  int number = int(caches.size());
  caches[op.getSymName()] = number;
  out << "cache " << (op.getWindow() ? "local " : "global ") << op.getWindow()
      << ' ' << op.getHeads() << ' ' << op.getDim() << ' ' << op.getFormat()
      << ' ' << op.getKPage() << ' ' << op.getVPage() << " at "
      << op.getOffset().value() << '\n';
}

std::string PlanData::operand(func::FuncOp func, Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return "io:" + func.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                     kernel::ioAttr)
                       .getValue()
                       .str();
  auto result = cast<OpResult>(value);
  return llvm::formatv("{0}.{1}", calls.at(result.getOwner()),
                       result.getResultNumber());
}

void PlanData::call(func::FuncOp func, kernel::CallOp op) {
  int number = int(calls.size());
  calls[op] = number;
  KernelSpec spec = kernel::specOf(symbols.def(op));
  out << number << ' ' << spec.family
      << (spec.rows == RowClass::Few ? " few" : " many");
  for (const auto &[name, value] : spec.constants.all()) {
    out << ' ' << name << '=';
    if (auto *integer = std::get_if<int64_t>(&value))
      out << *integer;
    else if (auto *real = std::get_if<double>(&value))
      out << llvm::formatv("{0:e17}", *real);
    else
      out << std::get<std::string>(value);
  }
  out << " (";
  for (Value input : op.getInputs())
    out << ' ' << operand(func, input);
  out << " ) w(";
  if (ArrayAttr names = op.getWeightsAttr())
    for (Attribute name : names)
      out << ' ' << weights.at(cast<FlatSymbolRefAttr>(name).getValue());
  out << " )";
  if (op.getCache())
    out << " cache " << caches.at(*op.getCache());
  for (int64_t scalar : kernel::scalarsOf(op, *findFamily(spec.family)))
    out << ' ' << scalar;
  out << " over " << stringifyAxis(op.getAxis()) << ' ' << op.getUnits();
  for (OpResult result : op->getResults()) {
    auto type = cast<RankedTensorType>(result.getType());
    out << " -> " << kernel::encodingOf(type);
    for (int64_t dim : type.getShape())
      out << ' ' << dim;
    kernel::PlaceAttr place = kernel::placeOf(result);
    out << " at " << wordOf(place.getSpace());
    if (place.getSpace() == kernel::Space::Io)
      out << ' ' << arrayOf(place.getIo()).name;
    else
      out << '+' << place.getOffset();
  }
  out << '\n';
}

void PlanData::function(func::FuncOp func) {
  auto memory = func->getAttrOfType<kernel::MemoryAttr>(kernel::memoryAttr);
  out << "segment "
      << func->getAttrOfType<StringAttr>(kernel::segmentAttr).getValue() << ' '
      << func->getAttrOfType<StringAttr>(kernel::rowsAttr).getValue();
  for (int64_t bytes : {memory.getWorker(), memory.getRow(), memory.getKey()})
    out << ' ' << bytes;
  if (auto ple = func->getAttrOfType<DenseI64ArrayAttr>(kernel::pleAttr))
    out << " ple " << ple[0] << ' ' << ple[1];
  out << '\n';
  for (BlockArgument argument : func.getArguments()) {
    auto type = cast<RankedTensorType>(argument.getType());
    out << operand(func, argument) << ' ' << kernel::encodingOf(type);
    for (int64_t dim : type.getShape())
      out << ' ' << dim;
    out << '\n';
  }
  for (Operation &op : func.front()) {
    if (auto called = dyn_cast<kernel::CallOp>(op))
      call(func, called);
    else if (isa<kernel::BarrierOp>(op))
      out << "barrier\n";
    else
      for (auto [index, value] : llvm::enumerate(op.getOperands()))
        out << "return "
            << func.getResultAttrOfType<StringAttr>(index, kernel::ioAttr)
                   .getValue()
            << ' ' << operand(func, value) << '\n';
  }
}

std::string PlanData::write() {
  out << "target "
      << module->getAttrOfType<StringAttr>(kernel::targetAttr).getValue()
      << '\n';
  for (auto op : module.getOps<kernel::WeightOp>())
    if (!op.getViewOf())
      weight(op);
  for (auto op : module.getOps<kernel::WeightOp>())
    if (op.getViewOf())
      weight(op);
  for (auto op : module.getOps<kernel::CacheOp>())
    cache(op);
  for (auto func : module.getOps<func::FuncOp>())
    function(func);
  return text;
}

//===-- one plan ----------------------------------------------------------===//

std::string hash(const std::string &text) {
  return llvm::formatv("{0:x-16}", llvm::xxh3_64bits(StringRef(text)));
}

struct Plan {
  std::string name, text, data;
};

// Ends the program where a plan cannot be made.
Plan makePlan(const std::string &configs, StringRef size, const Target &target,
              const Variant &variant) {
  std::string folder = configs + "/" + size.str();
  std::vector<std::string> warnings;
  Result<ModelConfig> config = readModelConfig(folder, warnings);
  if (!config) {
    llvm::errs() << config.error().message << "\n";
    exit(1);
  }
  MLIRContext context(MLIRContext::Threading::DISABLED);
  OwningOpRef<ModuleOp> module = importGemma4(context, *config);
  PassManager pm(&context);
  PipelineOptions options;
  options.quant = std::string(variant.quant);
  options.cacheType = std::string(variant.cacheType);
  options.target = target.name;
  buildOptimizePipeline(pm, options);
  buildSelectPipeline(pm, options);
  buildPlanPipeline(pm, options);
  if (failed(pm.run(*module)))
    exit(1);
  Plan plan{size.str() + "/" + target.name + "/" + variant.name, "",
            PlanData(*module).write()};
  llvm::raw_string_ostream stream(plan.text);
  module->print(stream, OpPrintingFlags().printNameLocAsPrefix(true));
  return plan;
}

} // namespace

int main(int argc, char **argv) {
  SmallVector<StringRef> words(argv + 1, argv + argc);
  StringRef mode;
  if (!words.empty() && words[0].starts_with("--")) {
    mode = words[0];
    words.erase(words.begin());
  }
  StringRef wanted;
  if (mode == "--print" && !words.empty()) {
    wanted = words[0];
    words.erase(words.begin());
  }
  if (words.size() < 2 || words.size() > 3) {
    llvm::errs() << "usage: plan-identity [--record | --print SIZE/TARGET/"
                    "FORMATS] CONFIGS RECORD [TARGET]\n";
    return 2;
  }
  llvm::StringMap<std::string> recorded;
  if (mode.empty()) {
    auto file = llvm::MemoryBuffer::getFile(words[1]);
    if (!file) {
      llvm::errs() << "cannot read " << words[1] << "\n";
      return 1;
    }
    SmallVector<StringRef> lines;
    (*file)->getBuffer().split(lines, '\n', -1, false);
    for (StringRef line : lines)
      if (!line.starts_with("#"))
        recorded[line.split(' ').first] = line.split(' ').second.str();
  }
  int plans = 0, wrong = 0;
  for (const Target &target : targets()) {
    if (words.size() == 3 && words[2] != target.name)
      continue;
    for (const char *size : sizes)
      for (const Variant &variant : variants) {
        if (mode == "--print" &&
            wanted !=
                (Twine(size) + "/" + target.name + "/" + variant.name).str())
          continue;
        Plan plan = makePlan(words[0].str(), size, target, variant);
        std::string hashes =
            "data " + hash(plan.data) + " text " + hash(plan.text);
        ++plans;
        if (mode == "--record") {
          llvm::outs() << plan.name << ' ' << hashes << '\n';
        } else if (mode == "--print") {
          llvm::outs() << plan.data;
        } else if (recorded[plan.name] != hashes) {
          llvm::errs() << plan.name << ": expected " << recorded[plan.name]
                       << ", got " << hashes << '\n';
          ++wrong;
        }
      }
  }
  if (mode.empty())
    llvm::outs() << plans << " plans, " << wrong << " changed\n";
  return plans == 0 || wrong != 0;
}
