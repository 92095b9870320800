// The command line of gemmac. Knows options; must not know MLIR.
#include "compiler/Driver.h"
#include "targets/Target.h"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <unistd.h>

using namespace gemmac;

namespace {

const char *const examples = R"(
examples:
  gemmac gemma-4-E2B-it/ -o gemma && ./gemma "Why is the sky blue?"
  gemmac gemma-4-E2B-it-Q4_0.gguf -o gemma
  gemmac gemma-4-E2B-it/ --target=arm-neon -o gemma-arm
  gemmac gemma-4-E2B-it/ --compile-to=plan -o -

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

int listTargets() {
  const Target *host = findTarget("host");
  for (const Target &target : targets())
    printf("%-14s %s%s\n", target.name.c_str(), target.summary.c_str(),
           host == &target ? "  [host]" : "");
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  blockIgnoredSignals();
  signal(SIGBUS, onBusError);
  CLI::App app{
      "gemmac: compiles a Gemma 4 checkpoint into one standalone program"};
  app.name("gemmac");
  app.footer(examples);
  app.set_version_flag("--version", "gemmac " GEMMAC_VERSION);
  DriverOptions o;
  bool list = false;
  app.add_option(
         "checkpoint", o.input,
         "Hugging Face folder (config.json, *.safetensors, tokenizer.json) or "
         "GGUF file")
      ->type_name("FOLDER|FILE.gguf");
  app.add_option("-o,--output", o.output,
                 "program to write; '-' prints text stages")
      ->type_name("FILE");
  app.add_option("--target", o.target, "hardware, see --list-targets")
      ->capture_default_str();
  app.add_option("--quant", o.quant,
                 "format of the matrices: auto keeps the checkpoint's (GGUF "
                 "types that are no Q4_0 or Q8_0 become q8_0, with a warning), "
                 "none does too but rounds quantised ones to bf16, f32 is "
                 "exact, q8 and q4 have 8 and 4 bits (a Q4_0 tensor stays)")
      ->check(CLI::IsMember({"auto", "none", "bf16", "f32", "q8", "q4"}))
      ->capture_default_str();
  app.add_option("--quant-map", o.quantMap,
                 "formats by name, before --quant: lines PATTERN FORMAT, glob "
                 "over names of tensors (layers.*.mlp.down_proj.weight) or of "
                 "weights (l*.down), f32 bf16 q8_0 q4_0 q4_bf q8 or q4; # "
                 "comments; the last match decides")
      ->type_name("FILE");
  app.add_flag("--requantize", o.requantize,
               "with --quant=auto: GGUF types of 4 bits that are not Q4_0 "
               "become q4_0 instead of q8_0");
  app.add_option("--cache-type", o.cacheType,
                 "format of keys and values; auto: f32 with --quant=f32, else "
                 "bf16; q8: "
                 "half of bf16, multiplied as 8-bit integers")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "q8"}))
      ->capture_default_str();
  app.add_option(
         "--weights", o.weights,
         "embedded in the program, or external: FILE.weights beside it, reused "
         "untouched while the checkpoint and formats stay the same")
      ->check(CLI::IsMember({"embedded", "external"}))
      ->capture_default_str();
  app.add_option("--compile-to", o.compileTo,
                 "stop after a stage and print it; needs no weights")
      ->check(CLI::IsMember({"import", "optimize", "select", "plan", "native"}))
      ->type_name("STAGE");
  app.add_option("--emit", o.emit,
                 "write the code alone instead of a program; needs no weights")
      ->check(CLI::IsMember({"llvm", "asm", "obj"}));
  app.add_option(
         "--dump-to", o.dumpTo,
         "folder for every stage (<stage>.mlir) and kernel (<symbol>.s)")
      ->type_name("FOLDER");
  app.add_option("--verify", o.verify,
                 "run the program beside exact math (--quant=f32, made in a "
                 "temporary file beside -o) on a text and store how far its "
                 "predictions are off: see PROGRAM info --card")
      ->type_name("TEXT");
  app.add_option("-j,--threads", o.threads,
                 "threads of the compiler; 0: one per usable core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_flag("--remarks", o.remarks,
               "say what was fused, which formats were chosen, and why not");
  app.add_flag("-q,--quiet", o.quiet, "no progress");
  app.add_flag("--list-targets", list, "list the targets");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &e) {
    return app.exit(e) == 0 ? 0 : int(ExitCode::Usage);
  }
  if (list)
    return listTargets();
  const char *missing = o.input.empty() ? "the checkpoint is missing"
                        : o.output.empty() && o.compileTo.empty()
                            ? "-o is missing: name the program to write"
                            : nullptr;
  if (!o.compileTo.empty() && !o.emit.empty())
    missing = "--compile-to and --emit exclude each other";
  if (!o.verify.empty() && !(o.compileTo.empty() && o.emit.empty()))
    missing = "--verify runs the program, which --compile-to and --emit do not "
              "make";
  if (missing) {
    fprintf(stderr, "gemmac: %s; see gemmac --help\n", missing);
    return int(ExitCode::Usage);
  }
  return int(runDriver(o));
}
