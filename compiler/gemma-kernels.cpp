// gemma-kernels: kernel bodies alone. Lists the families, prints one body as
// LLVM IR, assembly or an object, and times one. Knows codegen, not the IR.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "compiler/KernelBench.h"
#include "targets/Layouts.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace gemmac;
namespace cl = llvm::cl;

static cl::OptionCategory category("gemma-kernels options");
static cl::opt<std::string> command(cl::Positional, cl::desc("[bench]"),
                                    cl::cat(category));
static cl::opt<bool> list("list", cl::desc("List the families and targets"),
                          cl::cat(category));
static cl::opt<std::string> familyName("family", cl::desc("Kernel family"),
                                       cl::cat(category));
static cl::opt<std::string>
    constantList("constants",
                 cl::desc("NAME=VALUE,...; --list names those of a family"),
                 cl::cat(category));
static cl::opt<std::string> rowsName("rows", cl::desc("Row class: few or many"),
                                     cl::init("few"), cl::cat(category));
static cl::opt<std::string> targetName("target",
                                       cl::desc("a target of --list, or host"),
                                       cl::init("host"), cl::cat(category));
static cl::opt<std::string> emitKind("emit", cl::desc("llvm, asm or obj"),
                                     cl::init("asm"), cl::cat(category));
static cl::opt<std::string> output("o", cl::desc("Output file, - for stdout"),
                                   cl::init("-"), cl::cat(category));
static cl::list<int> benchRows("n", cl::desc("bench: rows (default: 1)"),
                               cl::value_desc("N,..."), cl::CommaSeparated,
                               cl::cat(category));
static cl::opt<int> benchBlocks(
    "blocks",
    cl::desc("bench: units of a product without experts (default: 1024)"),
    cl::init(1024), cl::cat(category));

static int fail(ExitCode code, const std::string &message) {
  llvm::errs() << "gemma-kernels: error: " << message << '\n';
  return int(code);
}

static int listFamilies() {
  for (const Family &family : kernelFamilies()) {
    llvm::outs() << family.name << (family.few.empty() ? "" : " few")
                 << (family.many.empty() ? "" : " many") << " (";
    for (const std::string &name : family.constants)
      llvm::outs() << (&name == &family.constants[0] ? "" : ", ") << name;
    llvm::outs() << ")\n    " << family.summary << '\n';
  }
  for (const Target &target : targets())
    llvm::outs() << "target " << target.name << ": " << target.summary << '\n';
  return 0;
}

static bool isOneOf(llvm::StringRef name,
                    std::initializer_list<llvm::StringRef> names) {
  return llvm::is_contained(names, name);
}

// Sets one constant; its name says its type. False if the value is none.
static bool setConstant(Constants &constants, llvm::StringRef name,
                        llvm::StringRef value) {
  if (isOneOf(name, {"format", "act", "cache"})) {
    constants.set(name.str(), value.str());
    return isOneOf(value, {"f32", "bf16"}) ||
           (name == "format" &&
            isOneOf(value, {"q8_0", "q8_0_split", "q4_0", "q4_bf"})) ||
           (name != "format" && value == "q8");
  }
  if (isOneOf(name, {"eps", "scale", "factor", "cap", "token_scale"})) {
    double real;
    if (value.getAsDouble(real))
      return false;
    constants.set(name.str(), real);
    return true;
  }
  int64_t integer, least = isOneOf(name, {"scaled", "window"}) ? 0 : 1;
  if (value.getAsInteger(10, integer))
    return false;
  constants.set(name.str(), integer);
  return integer >= least && integer <= 1 << 20;
}

// "k=64,eps=1.0e-6,act=bf16"
static Result<Constants> parseConstants(const std::string &text) {
  Constants constants;
  llvm::SmallVector<llvm::StringRef> parts;
  llvm::StringRef(text).split(parts, ',', -1, false);
  for (llvm::StringRef part : parts) {
    auto [name, value] = part.split('=');
    if (name.empty() || value.empty() || !setConstant(constants, name, value))
      return Error{
          ExitCode::Usage,
          "--constants expects NAME=VALUE with an integer of 1 to 1048576, a "
          "real (eps, scale, factor, cap, token_scale) or a "
          "word (format: f32, bf16, q8_0, q8_0_split, q4_0, q4_bf; act: f32, "
          "bf16, q8; "
          "cache: f32, bf16, q8), got '" +
              part.str() + "'"};
  }
  return constants;
}

static Result<KernelSpec> parseSpec(const Family &family) {
  Result<Constants> constants = parseConstants(constantList);
  if (!constants)
    return constants.error();
  if (rowsName != "few" && rowsName != "many")
    return Error{ExitCode::Usage,
                 "--rows expects few or many, got '" + rowsName + "'"};
  RowClass rows = rowsName == "few" ? RowClass::Few : RowClass::Many;
  if ((rows == RowClass::Few ? family.few : family.many).empty())
    return Error{ExitCode::Usage,
                 "family '" + family.name + "' has no row class " + rowsName};
  for (const std::string &name : family.constants)
    if (!constants->has(name))
      return Error{ExitCode::Usage, "family '" + family.name +
                                        "' expects the constant '" + name +
                                        "' in --constants"};
  return KernelSpec{family.name, rows, *constants};
}

static int emitKernel(const KernelSpec &spec, const Target &target) {
  if (emitKind != "llvm" && emitKind != "asm" && emitKind != "obj")
    return fail(ExitCode::Usage,
                "--emit expects llvm, asm or obj, got '" + emitKind + "'");
  llvm::LLVMContext context;
  auto module = compileKernel(spec, target, context);
  if (!module)
    return fail(module.error().code, module.error().message);
  optimizeModule(**module, target);
  std::string text;
  if (emitKind == "llvm") {
    llvm::raw_string_ostream stream(text);
    (*module)->print(stream, nullptr);
  } else {
    text = emitKind == "asm" ? emitAssembly(**module, target)
                             : emitObject(**module, target);
  }
  std::error_code error;
  llvm::raw_fd_ostream file(output, error);
  if (error)
    return fail(ExitCode::Resources,
                "cannot write '" + output + "': " + error.message());
  file << text;
  file.close();
  if (file.has_error())
    return fail(ExitCode::Resources,
                "cannot write '" + output + "': " + file.error().message());
  return 0;
}

static int bench(const KernelSpec &spec, const Target &target) {
  if (!llvm::is_contained(benchFamilies(), spec.family))
    return fail(ExitCode::Usage, "bench times " +
                                     llvm::join(benchFamilies(), ", ") +
                                     ", got '" + spec.family + "'");
  int64_t mostRows = spec.rows == RowClass::Few ? fewRows : mostBenchRows;
  std::vector<int64_t> rows(benchRows.begin(), benchRows.end());
  if (rows.empty())
    rows = {1};
  for (int64_t n : rows)
    if (n < 1 || n > mostRows)
      return fail(ExitCode::Usage, "bench expects -n of 1 to " +
                                       std::to_string(mostRows) +
                                       " rows, got " + std::to_string(n));
  if (benchBlocks < 1 || benchBlocks > mostBenchUnits)
    return fail(ExitCode::Usage, "bench expects --blocks of 1 to " +
                                     std::to_string(mostBenchUnits) + ", got " +
                                     std::to_string(benchBlocks));
  if (spec.constants.has("top")) {
    int64_t most = std::min(mostBenchTop, spec.constants.integer("experts"));
    if (spec.constants.integer("top") > most)
      return fail(ExitCode::Usage,
                  "bench expects top of 1 to " + std::to_string(most) +
                      " experts, got " +
                      std::to_string(spec.constants.integer("top")));
  }
  if (!runsHere(target))
    return fail(ExitCode::Machine,
                "this machine cannot run code for target " + target.name);
  if (Status s = benchKernel(spec, target, rows, benchBlocks, llvm::outs()); !s)
    return fail(s.error().code, s.error().message);
  return 0;
}

int main(int argc, char **argv) {
  cl::HideUnrelatedOptions(category);
  if (!cl::ParseCommandLineOptions(
          argc, argv, "kernel bodies of gemmac, alone\n", &llvm::errs()))
    return int(ExitCode::Usage);
  if (list)
    return listFamilies();
  const Family *family = findFamily(familyName);
  if (!family)
    return fail(ExitCode::Usage,
                "no kernel family '" + familyName + "'; --list shows all");
  const Target *target = findTarget(targetName);
  if (!target)
    return fail(targetName == "host" ? ExitCode::Machine : ExitCode::Usage,
                "no target '" + targetName + "' here; --list shows all");
  Result<KernelSpec> spec = parseSpec(*family);
  if (!spec)
    return fail(spec.error().code, spec.error().message);
  if (command == "bench")
    return bench(*spec, *target);
  if (!command.empty())
    return fail(ExitCode::Usage,
                "unknown command '" + command + "', expected bench");
  return emitKernel(*spec, *target);
}
