// gemma-kernels: kernel bodies alone. Lists the families, prints one body as
// LLVM IR, assembly or an object, and times one. Knows codegen, not the IR.
#include "codegen/DeviceKernel.h"
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "codegen/OutputFile.h"
#include "compiler/CommandLine.h"
#include "compiler/KernelBench.h"
#include "compiler/StandardStreams.h"
#include "compiler/Version.h"
#include "targets/Layouts.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"

using namespace gemmac;

static std::string command, familyName, constantList,
    rowsName = "few", targetName = "host", emitKind = "asm", output = "-";
static std::vector<int> benchRows;
static int benchBlocks = 1024;
static CommandLine line("gemma-kernels",
                        "gemma-kernels: kernel bodies of gemmac, alone", "");

static void addOptions(bool &list) {
  line.app.add_option("command", command,
                      "bench: time a kernel; list: as --list");
  line.app.add_flag("--list", list, "list the families and targets");
  line.option("--family", familyName, "NAME", "kernel family");
  line.option("--constants", constantList, "NAME=VALUE,...",
              "--list names those of a family");
  line.choice("--rows", rowsName, {"few", "many"}, "row class");
  line.option("--target", targetName, "TARGET",
              "a target of --list (default: this machine's)");
  line.choice("--emit", emitKind, {"llvm", "asm", "obj"}, "what to write");
  line.option("-o,--output", output, "FILE",
              "where to, - for standard output (default)");
  line.app.add_option("-n", benchRows, "bench: rows (default: 1)")
      ->delimiter(',')
      ->take_all()
      ->check(CommandLine::integer(1, mostBenchRows))
      ->type_name("N,...");
  line.option("--blocks", benchBlocks, 1, int(mostBenchUnits),
              "bench: units of a product without experts (default: 1024)");
  line.app.set_version_flag("--version",
                            [] { return versionText("gemma-kernels"); });
  line.addPages();
}

static ExitCode listFamilies() {
  std::string text;
  llvm::raw_string_ostream out(text);
  for (const Family &family : kernelFamilies()) {
    out << family.name << (family.axesOf(RowClass::Few).empty() ? "" : " few")
        << (family.axesOf(RowClass::Many).empty() ? "" : " many") << "\n    "
        << family.summary << '\n';
    const char *before = "    --constants=";
    for (const KernelConstant &constant : family.constants) {
      out << before << constant.name << '=' << constant.example;
      before = ",";
    }
    out << (family.constants.empty() ? "" : "\n");
  }
  for (const Target &target : targets())
    out << "target " << target.name << ": " << target.summary << '\n';
  return line.print(text);
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
      return makeError(
          ExitCode::Usage,
          "family '{}' has no constant '{}'; --list shows what it has",
          family.name, name.str());
    auto parsed = constant->parse(value.str());
    if (!parsed)
      return makeError(ExitCode::Usage, "--constants expects {} {}, got '{}'",
                       constant->name, constant->expectation(), value.str());
    constants.set(constant->name, *parsed);
  }
  return constants;
}

static Result<KernelSpec> parseSpec(const Family &family) {
  Result<Constants> constants = parseConstants(family, constantList);
  if (!constants)
    return constants.error();
  KernelSpec spec = {family.name,
                     rowsName == "few" ? RowClass::Few : RowClass::Many,
                     *constants};
  if (std::string wrong = checkSpec(spec); !wrong.empty())
    return makeError(ExitCode::Usage, "family '{}' {}", family.name, wrong);
  return spec;
}

static ExitCode emitKernel(const KernelSpec &spec, const Target &target) {
  llvm::LLVMContext context;
  auto module = compileKernel(spec, target, context);
  if (!module)
    return line.fail(module.error());
  optimizeModule(**module, target);
  if (target.device != Device::Cpu)
    takeLaunchFacts(**module, kernelSymbol(spec));
  std::string text;
  if (emitKind == "llvm") {
    llvm::raw_string_ostream(text) << **module;
  } else {
    Result<std::string> code = emitKind == "asm"
                                   ? emitAssembly(**module, target)
                                   : emitObject(**module, target);
    if (!code)
      return line.fail(code.error());
    text = std::move(*code);
  }
  Status written =
      writeText(output, [&](llvm::raw_ostream &stream) { stream << text; });
  return written ? ExitCode::Ok : line.fail(written.error());
}

static ExitCode bench(const KernelSpec &spec, const Target &target) {
  const Family &family = *findFamily(spec.family);
  if (family.matrix != MatrixUse::Product || family.inputs.empty())
    return line.fail(ExitCode::Usage, "bench times matrix products, got '{}'",
                     spec.family);
  int64_t mostRows = spec.rows == RowClass::Few ? fewRows : mostBenchRows;
  std::vector<int64_t> rows(benchRows.begin(), benchRows.end());
  if (rows.empty())
    rows = {1};
  for (int64_t n : rows)
    if (n < 1 || n > mostRows)
      return line.fail(ExitCode::Usage,
                       "bench expects -n of 1 to {} rows, got {}", mostRows, n);
  if (family.stack) {
    int64_t most = std::min(mostBenchTop, spec.constants.integer("experts"));
    if (int64_t top = spec.constants.integer("top"); top > most)
      return line.fail(ExitCode::Usage,
                       "bench expects top of 1 to {} experts, got {}", most,
                       top);
  }
  if (!runsHere(target))
    return line.fail(ExitCode::Machine,
                     "this machine cannot run code for target {}", target.name);
  if (Status s = benchKernel(spec, target, rows, benchBlocks, llvm::outs()); !s)
    return line.fail(s.error());
  return ExitCode::Ok;
}

static ExitCode run(int argc, char **argv) {
  bool list = false;
  addOptions(list);
  if (std::optional<ExitCode> done = line.parse(argc, argv))
    return *done;
  if (!command.empty() && command != "bench" && command != "list")
    return line.fail(ExitCode::Usage,
                     "unknown command '{}', expected bench or list", command);
  if (list || command == "list")
    return listFamilies();
  const Family *family = findFamily(familyName);
  if (familyName.empty())
    return line.fail(ExitCode::Usage, "--family is missing; --list shows all");
  if (!family)
    return line.fail(ExitCode::Usage, "no kernel family '{}'; --list shows all",
                     familyName);
  const Target *target = findTarget(targetName);
  if (!target)
    return line.fail(targetName == "host" ? ExitCode::Machine : ExitCode::Usage,
                     "no target '{}' here; --list shows all", targetName);
  Result<KernelSpec> spec = parseSpec(*family);
  if (!spec)
    return line.fail(spec.error());
  if (command == "bench")
    return bench(*spec, *target);
  return emitKernel(*spec, *target);
}

int main(int argc, char **argv) {
  gemmac::prepareStandardStreams("gemma-kernels");
  return int(run(argc, argv));
}
