// gemma-kernels: kernel bodies alone. Lists the families, prints one body as
// LLVM IR, assembly or an object, and times one. Knows codegen, not the IR.
#include "codegen/KernelCompiler.h"
#include "codegen/Optimize.h"
#include "compiler/CommandLine.h"
#include "compiler/KernelBench.h"
#include "compiler/Version.h"
#include "targets/Layouts.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace gemmac;

static std::string command, familyName, constantList,
    rowsName = "few", targetName = "host", emitKind = "asm", output = "-";
static std::vector<int> benchRows;
static int benchBlocks = 1024;
static CommandLine line("gemma-kernels",
                        "gemma-kernels: kernel bodies of gemmac, alone", "");

static int fail(ExitCode code, const std::string &message) {
  return int(line.fail(code, message));
}

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
}

static int listFamilies() {
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
  return int(line.print(text));
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
  KernelSpec spec = {family.name,
                     rowsName == "few" ? RowClass::Few : RowClass::Many,
                     *constants};
  if (std::string wrong = checkSpec(spec); !wrong.empty())
    return Error{ExitCode::Usage, "family '" + family.name + "' " + wrong};
  return spec;
}

static int emitKernel(const KernelSpec &spec, const Target &target) {
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
    Result<std::string> code = emitKind == "asm"
                                   ? emitAssembly(**module, target)
                                   : emitObject(**module, target);
    if (!code)
      return fail(code.error().code, code.error().message);
    text = std::move(*code);
  }
  std::error_code error;
  llvm::raw_fd_ostream file(output, error);
  if (error)
    return fail(ExitCode::Resources,
                "cannot write '" + output + "': " + error.message());
  file << text;
  file.close();
  error = file.error();
  file.clear_error();
  if (error)
    return fail(ExitCode::Resources,
                "cannot write '" + output + "': " + error.message());
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
  bool list = false;
  addOptions(list);
  if (std::optional<ExitCode> done = line.parse(argc, argv))
    return int(*done);
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
