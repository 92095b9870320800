// The program's entry: finds the command. Text without a command is a prompt.
#include "runtime/app/commands.h"
#include "runtime/app/program.h"
#include "runtime/manifest_generated.h"

#include <cstdio>
#include <cstring>
#include <new>

namespace gm {
namespace {

const Command commands[] = {
    {"run", "generate what follows a prompt", run_main},
    {"chat", "hold a conversation", chat_main},
    {"eval", "score a text", eval_main},
    {"bench", "measure tokens per second", bench_main},
    {"tokenize", "print the token ids of a text", tokenize_main},
    {"detokenize", "print the text of token ids", detokenize_main},
    {"info", "show model, target and memory plan", info_main},
};

void usage(FILE *to, const char *program) {
  fprintf(to,
          "usage: %s \"text\" [flags of run]\n"
          "       %s COMMAND [flags]\n\n"
          "A language model compiled by gemmac.\n\n"
          "commands (each has --help):\n",
          program, program);
  for (const Command &command : commands)
    fprintf(to, "  %-12s %s\n", command.name, command.summary);
  fprintf(to, "  %-12s %s\n  %-12s %s\n", "--help", "print this", "--version",
          "print versions and the model's name");
  fprintf(to, "\nexit codes: 0 ok, 1 run error, 2 usage, 3 broken input file, "
              "4 unsupported,\n5 not enough memory, disk or permission, 6 this "
              "machine lacks what is needed;\nended by a signal: that signal's "
              "(130 for Ctrl-C, 143 for SIGTERM)\n");
}

int version() {
  Program program;
  if (Status s = program.open(); !s.ok())
    return report(s);
  const gemmac::manifest::Program &p = program.manifest();
  auto text = [](const flatbuffers::String *s) { return s ? s->c_str() : ""; };
  printf("%s for %s, made by gemmac %s, file version %d\n",
         text(p.model()->name()), text(p.target()->name()), text(p.compiler()),
         p.abi());
  return report(finish_output());
}

int dispatch(int argc, char **argv) {
  const char *program = argc > 0 ? argv[0] : "program";
  if (argc < 2) {
    usage(stderr, program);
    return USAGE;
  }
  std::string first = argv[1];
  if (first == "--help" || first == "-h")
    return usage(stdout, program), report(finish_output());
  if (first == "--version")
    return version();
  for (const Command &command : commands)
    if (first == command.name)
      return command.main({program, {argv + 2, argv + argc}});
  return run_main({program, {argv + 1, argv + argc}});
}

} // namespace
} // namespace gm

int main(int argc, char **argv) {
  try {
    return gm::dispatch(argc, argv);
  } catch (const std::bad_alloc &) {
    fprintf(stderr, "error: no memory left\n");
    return gm::RESOURCES;
  }
}
