// The command line of gemmac. Knows options; must not know MLIR.
#include "compiler/CommandLine.h"
#include "compiler/Doctor.h"
#include "compiler/Driver.h"
#include "compiler/StandardStreams.h"
#include "compiler/Version.h"
#include "passes/QuantMap.h"
#include "targets/Target.h"

#include <fmt/format.h>

#include <csignal>
#include <cstring>
#include <unistd.h>

using namespace gemmac;

namespace {

const char *const examples = R"(
examples:
  gemmac gemma-4-E2B-it/ -o gemma && ./gemma "Why is the sky blue?"
  gemmac gemma-4-E2B-it-Q4_0.gguf -o gemma
  gemmac gemma-4-E2B-it/ --target=arm-neon -o gemma-arm
  gemmac gemma-4-E2B-it/ --emit=lib -o libgemma
  gemmac --inspect gemma-4-E2B-it/
  gemmac doctor
  gemmac gemma-4-E2B-it/ --compile-to=plan -o x.mlir
  gemmac gemma-4-E2B-it/ --compile-from=x.mlir -o gemma

'gemmac doctor' says what this machine can make and run, and what is missing.
@FILE stands for the arguments in a file. Of a flag given twice the last counts.

exit codes: 0 ok, 2 usage, 3 broken input file, 4 unsupported model or feature,
5 not enough memory, disk or permission, 6 this machine lacks what is needed)";

// Checkpoints are mapped; one that shrinks while it is read ends here. Files
// under a temporary name have been removed by then.
void onBusError(int) {
  const char text[] = "gemmac: error: a file of the checkpoint became shorter "
                      "while it was read; compile again\n";
  [[maybe_unused]] ssize_t n = write(STDERR_FILENO, text, strlen(text));
  _exit(int(ExitCode::BadInput));
}

// A signal that the parent ignores (nohup, a shell's background job) stays
// ignored: blocked, so that nobody's handler for removing files sees it.
void blockIgnoredSignals() {
  sigset_t ignored;
  sigemptyset(&ignored);
  for (int number : {SIGINT, SIGHUP, SIGTERM, SIGPIPE}) {
    struct sigaction action;
    if (sigaction(number, nullptr, &action) == 0 &&
        action.sa_handler == SIG_IGN)
      sigaddset(&ignored, number);
  }
  sigprocmask(SIG_BLOCK, &ignored, nullptr);
}

std::string targetList() {
  std::string text;
  const Target *host = findTarget("host");
  for (const Target &target : targets())
    text += fmt::format("{:<14} {}{}\n", target.name, target.summary,
                        host == &target    ? "  [host]"
                        : runsHere(target) ? "  [runs here]"
                                           : "");
  return text;
}

void addOptions(CommandLine &line, DriverOptions &o) {
  line.app.add_option(
      "checkpoint", o.input,
      "Hugging Face folder (config.json, *.safetensors, tokenizer.json) or "
      "GGUF file");
  line.option("-o,--output", o.output, "FILE",
              "program, or folder of a library, to write (default: the "
              "checkpoint's name, here); with "
              "--compile-to '-', the default, is standard output");
  std::vector<std::string> names = {"host"};
  for (const Target &target : targets())
    names.push_back(target.name);
  line.option("--target", o.target, fmt::format("{}", fmt::join(names, "|")),
              "hardware, see --list-targets (default: host, this machine's)");
  line.choice("--quant", o.quant, quantWords(),
              "format of the matrices: auto keeps the checkpoint's (GGUF types "
              "that are no Q4_0 or Q8_0 become q8_0, with a warning), none "
              "does too but rounds quantised ones to bf16, bf16 rounds all to "
              "that, f32 is exact, q8 and q4 have 8 and 4 bits (a Q4_0 tensor "
              "stays)");
  line.option("--quant-map", o.quantMap, "FILE",
              "formats by name, before --quant: lines PATTERN FORMAT, glob "
              "over names of tensors (layers.*.mlp.down_proj.weight) or of "
              "weights (l*.down), a format of matrices or a word of --quant; # "
              "comments; the last match decides");
  line.app.add_flag("--requantize", o.requantize,
                    "with --quant=auto: GGUF types of 4 bits that are not Q4_0 "
                    "become q4_0 instead of q8_0");
  line.choice("--cache-type", o.cacheType, cacheWords(),
              "format of keys and values; auto: f32 with --quant=f32, else "
              "bf16; q8: half of bf16, multiplied as 8-bit integers");
  line.choice("--weights", o.weights, {"embedded", "external", "none"},
              "embedded in the program, or external: FILE.weights beside it, "
              "reused untouched while the checkpoint and formats stay the "
              "same; none: of a program that only 'bench --synthetic' runs, "
              "for which a folder with config.json is enough");
  line.app.add_flag("--rehash", o.rehash,
                    "with --weights=external: read all tensors before such a "
                    "file is reused, and reuse it only if none has changed "
                    "(default: compare files' sizes and times and the ends of "
                    "tensors)");
  line.option("--name", o.name, "NAME",
              "what the program says the model is called (default: "
              "general.name of a GGUF file, else the folder's name)");
  line.choice("--chat-template", o.chatTemplate,
              {"auto", "small", "large", "none"},
              "chat format that the program speaks: auto is that of the "
              "checkpoint's template, or without one that of models of its "
              "kind; small: E2B, E4B; large: 12B, 26B-A4B, 31B; none: 'run' "
              "only continues text");
  line.option("--mmproj", o.mmproj, "FILE",
              "vision and audio towers of a GGUF model (default: the only "
              "*mmproj*.gguf beside it); a folder has its own");
  line.app.add_flag("--no-vision", o.noVision,
                    "leave the vision tower out: the program sees nothing");
  line.app.add_flag("--no-audio", o.noAudio,
                    "leave the audio tower out: the program hears nothing");
  line.choice("--compile-to", o.compileTo,
              {"import", "optimize", "select", "plan", "native"},
              "stop after a stage and print it; needs no weights");
  line.option("--compile-from", o.compileFrom, "FILE.mlir",
              "go on from the text of a stage, as --compile-to and --dump-to "
              "write it for this checkpoint and target, perhaps edited");
  line.choice("--emit", o.emit, {"llvm", "asm", "obj", "lib", "static-lib"},
              "write the code alone instead of a program, which needs no "
              "weights; or lib, static-lib: a library with a C header, -o is "
              "its folder (static-lib: weights in a file beside it)");
  line.option("--ptxas", o.ptxas, "FILE",
              "CUDA targets: NVIDIA's assembler, with which a program gets "
              "machine code for the common cards beside its PTX (which drivers "
              "translate at each start); default: one found in $CUDA_HOME/bin, "
              "PATH or /usr/local/cuda/bin is used, so that the program has "
              "PTX alone where there is none; none: PTX alone everywhere");
  line.option("--dump-to", o.dumpTo, "FOLDER",
              "folder for every stage (<stage>.mlir) and kernel (<symbol>.ll "
              "and .s)");
  line.app.add_flag("--inspect", o.inspect,
                    "print what the checkpoint is, what was odd and how it was "
                    "taken, what becomes of it with the other flags, and "
                    "whether it can be compiled (else exit code 3 or 4); write "
                    "nothing");
  line.app.add_flag("--json", o.json, "--inspect as one JSON object");
  line.app.add_flag("--symbols", o.symbols,
                    "keep the names of kernels, for perf and gdb");
  line.option("--verify", o.verify, "FILE",
              "run the program beside exact math (--quant=f32, made in a "
              "temporary file beside -o) on the text in a file and store how "
              "far its predictions are off: see PROGRAM info --card");
  line.option("-j,--threads", o.threads, 0, 1024,
              "threads of the compiler (default: one per usable core)");
  line.app.add_flag(
      "--remarks", o.remarks,
      "say what was fused, which formats were chosen, and why not");
  line.app.add_flag("-v,--verbose", o.verbose,
                    "say what is being done, and when");
  line.app.add_flag("--time-report", o.timeReport,
                    "say where the time went, at the end");
  line.app.add_flag("-q,--quiet", o.quiet, "no progress");
}

// What is wrong with the options together; null: nothing.
const char *conflict(const DriverOptions &o) {
  if (o.input.empty())
    return "a checkpoint is expected: a folder or a GGUF file";
  if (!o.compileTo.empty() && !o.emit.empty())
    return "--compile-to and --emit exclude each other";
  if (o.json && !o.inspect)
    return "--json expects --inspect";
  if (o.inspect &&
      !(o.compileTo.empty() && o.emit.empty() && o.compileFrom.empty() &&
        o.output.empty() && o.dumpTo.empty() && o.verify.empty()))
    return "--inspect writes nothing: it excludes -o, --compile-to, "
           "--compile-from, --emit, --dump-to and --verify";
  if (!o.mmproj.empty() && o.noVision && o.noAudio)
    return "--mmproj and --no-vision with --no-audio exclude each other";
  if (o.rehash && o.weights != "external")
    return "--rehash expects --weights=external";
  if (!o.verify.empty() && o.weights == "none")
    return "--verify runs the program, which --weights=none leaves without "
           "weights";
  if ((o.emit == "lib" || o.emit == "static-lib") && o.weights == "none")
    return "--emit=lib and --emit=static-lib expect weights: --weights=none "
           "makes what only bench runs";
  if (!o.verify.empty() && !(o.compileTo.empty() && o.emit.empty()))
    return "--verify runs the program, which --compile-to and --emit do not "
           "make";
  if (!o.verify.empty() && !o.compileFrom.empty())
    return "--verify and --compile-from exclude each other: the exact program "
           "would not have the edits";
  return nullptr;
}

const char *const doctorFooter = R"(
exit codes: 0 gemmac can make programs for this machine, 2 usage, 6 it cannot)";

// `gemmac doctor`.
class DoctorCommand {
public:
  DoctorCommand() {
    line.option("-o,--output", o.output, "FILE",
                "a program that shall be made: asks whether there is room for "
                "it (default: one here)");
    line.app.add_flag("--json", o.json, "print one JSON object");
  }
  ExitCode run(int argc, char **argv) {
    if (std::optional<ExitCode> done = line.parse(argc, argv))
      return *done;
    const Diagnosis found = examine(o);
    const ExitCode printed =
        line.print(o.json ? diagnosisJson(found) : diagnosisText(found));
    return printed != ExitCode::Ok ? printed
           : found.works()         ? ExitCode::Ok
                                   : ExitCode::Machine;
  }

  CommandLine line{"gemmac doctor",
                   "gemmac doctor: says what this machine compiles for and "
                   "runs, what is missing and how to get it",
                   doctorFooter};

private:
  DoctorOptions o;
};

} // namespace

int main(int argc, char **argv) {
  prepareStandardStreams("gemmac");
  blockIgnoredSignals();
  signal(SIGBUS, onBusError);
  DoctorCommand doctor;
  if (argc > 1 && strcmp(argv[1], "doctor") == 0)
    return int(doctor.run(argc - 1, argv + 1));
  CommandLine line("gemmac",
                   "gemmac: compiles a Gemma 4 checkpoint into one standalone "
                   "program",
                   examples);
  DriverOptions o;
  addOptions(line, o);
  bool list = false;
  line.app.add_flag("--list-targets", list, "list the targets");
  line.app.set_version_flag("--version", [] { return versionText("gemmac"); });
  line.addPages({&doctor.line});
  if (std::optional<ExitCode> done = line.parse(argc, argv))
    return int(*done);
  if (list)
    return int(line.print(targetList()));
  if (const char *problem = conflict(o))
    return int(line.fail(ExitCode::Usage, "{}; see gemmac --help", problem));
  return int(runDriver(o));
}
