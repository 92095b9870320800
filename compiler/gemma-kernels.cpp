// gemma-kernels: kernel bodies alone. Lists the families, prints one body as
// LLVM IR, assembly or an object, and times one. Knows codegen, not the IR.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "compiler/KernelBench.h"
#include "targets/Layouts.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace gemmac;
namespace cl = llvm::cl;

static cl::OptionCategory category("gemma-kernels options");
static cl::opt<std::string> command(cl::Positional, cl::desc("[bench | list]"),
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
                 << (family.many.empty() ? "" : " many") << "\n    "
                 << family.summary << '\n';
    const char *before = "    --constants=";
    for (const KernelConstant &constant : family.constants) {
      llvm::outs() << before << constant.name << '=' << constant.example;
      before = ",";
    }
    llvm::outs() << (family.constants.empty() ? "" : "\n");
  }
  for (const Target &target : targets())
    llvm::outs() << "target " << target.name << ": " << target.summary << '\n';
  return 0;
}

// "k=64,eps=1.0e-6,act=bf16", of one family.
static Result<Constants> parseConstants(const Family &family,
                                        const std::string &text) {
  Constants constants;
  llvm::SmallVector<llvm::StringRef> parts;
  llvm::StringRef(text).split(parts, ',', -1, false);
  for (llvm::StringRef part : parts) {
    auto [name, value] = part.split('=');
    auto constant =
        llvm::find_if(family.constants,
                      [&](const KernelConstant &c) { return c.name == name; });
    if (constant == family.constants.end())
      return Error{ExitCode::Usage, "family '" + family.name +
                                        "' has no constant '" + name.str() +
                                        "'; --list shows what it has"};
    auto parsed = constant->parse(value.str());
    if (!parsed)
      return Error{ExitCode::Usage, "--constants expects " + constant->name +
                                        " " + constant->expectation() +
                                        ", got '" + value.str() + "'"};
    constants.set(constant->name, *parsed);
  }
  return constants;
}

static Result<KernelSpec> parseSpec(const Family &family) {
  Result<Constants> constants = parseConstants(family, constantList);
  if (!constants)
    return constants.error();
  if (rowsName != "few" && rowsName != "many")
    return Error{ExitCode::Usage,
                 "--rows expects few or many, got '" + rowsName + "'"};
  KernelSpec spec = {family.name,
                     rowsName == "few" ? RowClass::Few : RowClass::Many,
                     *constants};
  if (std::string wrong = checkSpec(spec); !wrong.empty())
    return Error{ExitCode::Usage, "family '" + family.name + "' " + wrong};
  return spec;
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
  const Family &family = *findFamily(spec.family);
  if (family.matrix != MatrixUse::Product)
    return fail(ExitCode::Usage,
                "bench times matrix products, got '" + spec.family + "'");
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
  if (family.stack) {
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
  if (!command.empty() && command != "bench" && command != "list")
    return fail(ExitCode::Usage,
                "unknown command '" + command + "', expected bench or list");
  if (list || command == "list")
    return listFamilies();
  const Family *family = findFamily(familyName);
  if (!family)
    return fail(ExitCode::Usage, familyName.empty()
                                     ? "--family is missing; --list shows all"
                                     : "no kernel family '" + familyName +
                                           "'; --list shows all");
  const Target *target = findTarget(targetName);
  if (!target)
    return fail(targetName == "host" ? ExitCode::Machine : ExitCode::Usage,
                "no target '" + targetName + "' here; --list shows all");
  Result<KernelSpec> spec = parseSpec(*family);
  if (!spec)
    return fail(spec.error().code, spec.error().message);
  if (command == "bench")
    return bench(*spec, *target);
  return emitKernel(*spec, *target);
}
