// The program's entry: finds the command. Text without a command is a prompt.
#include "runtime/abi.h"
#include "runtime/app/commands.h"
#include "runtime/app/pages.h"
#include "runtime/app/program.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <malloc.h>
#include <new>
#include <sys/resource.h>
#include <unistd.h>

namespace gm {
namespace {

const Command commands[] = {
    {"run", "generate what follows a prompt", run_main},
    {"chat", "hold a conversation", chat_main},
    {"serve", "answer HTTP requests as OpenAI's API has them", serve_main},
    {"eval", "score a text", eval_main},
    {"bench", "measure tokens per second", bench_main},
    {"tokenize", "print the token ids of a text", tokenize_main},
    {"detokenize", "print the text of token ids", detokenize_main},
    {"info", "show model, target and memory plan", info_main},
};

// Commands of later versions: no prompt may come to mean something else.
const char *const later[] = {"embed"};
// What other programs have as commands.
const char *const foreign[] = {"help", "version", "server"};

// What to say to a first word that looks like a mistaken command; empty for
// others, which are prompts.
std::string mistaken(const std::string &word) {
  if (word.empty() || word[0] == '-' ||
      word.find_first_of(" \t\n\v\f\r") != word.npos)
    return "";
  const std::string low = lower(word);
  std::vector<std::string> names(std::begin(later), std::end(later));
  if (std::count(std::begin(foreign), std::end(foreign), low) ||
      std::count(names.begin(), names.end(), low))
    return "--help lists the commands;";
  for (const Command &command : commands)
    names.push_back(command.name);
  const std::string meant = closest(low, names);
  return meant.empty() ? "" : "did you mean '" + meant + "'?";
}

const char *const exit_codes =
    "exit codes: 0 ok, 1 run error, 2 usage, 3 broken input file, 4 "
    "unsupported,\n5 not enough memory, disk or permission, 6 this machine "
    "lacks what is needed;\nended by a signal: that signal's (130 for Ctrl-C, "
    "143 for SIGTERM)\n";

// What is no command, and stands first.
const PageFlag own_flags[] = {
    {{"--help"}, "", "print this"},
    {{"--version"}, "", "print versions and the model's name"},
    {{"--completions"}, "bash|zsh|fish", "print completions for a shell"},
    {{"--man"}, "", "print a manual page"},
};

void usage(FILE *to, const char *program) {
  fprintf(to,
          "usage: %s \"text\" [flags of run]\n"
          "       %s COMMAND [flags]\n"
          "       ... | %s            text in a pipe: run\n"
          "       %s                  on a terminal: chat\n\n"
          "A language model compiled by gemmac.\n\n"
          "commands (each has --help):\n",
          program, program, program, program);
  for (const Command &command : commands)
    fprintf(to, "  %-12s %s\n", command.name, command.summary);
  for (const PageFlag &flag : own_flags) {
    const std::string name =
        flag.names[0] + (flag.value.empty() ? "" : "=" + flag.value);
    fprintf(to, "  %-12s %s\n", name.c_str(), flag.help.c_str());
  }
  fprintf(to, "\n%s", exit_codes);
}

// Completions for `shell`, or with null the manual page.
int print_pages(const char *program, const char *shell) {
  Pages pages = {
      program, "a language model compiled by gemmac", {{}}, exit_codes};
  for (const Command &command : commands) {
    PageCommand page;
    if (int code = command.main({program, {}, &page}); code != OK)
      return code;
    page.summary = command.summary;
    if (command.main == run_main) { // what is done without a command
      pages.commands[0] = page;
      pages.commands[0].name = "";
    }
    pages.commands.push_back(page);
  }
  std::vector<PageFlag> &flags = pages.commands[0].flags;
  flags.insert(flags.end(), std::begin(own_flags) + 1, std::end(own_flags));
  const std::string text =
      shell ? completions(pages, shell) : manual_page(pages);
  if (text.empty())
    return report(failure(
        USAGE, "--completions expects bash, zsh or fish, got '%.100s'", shell));
  fwrite(text.data(), 1, text.size(), stdout);
  return report(finish_output());
}

int version() {
  Program program;
  if (Status s = program.open(false); !s.ok())
    return report(s);
  const gemmac::manifest::Program &p = program.manifest();
  auto text = [](const flatbuffers::String *s) { return s ? s->c_str() : ""; };
  printf("%s for %s, made by gemmac %s, file version %d\n",
         text(p.model()->name()), text(p.target()->name()), text(p.compiler()),
         p.abi());
  return report(finish_output());
}

// Without arguments: text in a pipe is a prompt, on a terminal begins a chat.
int without_arguments(const char *program) {
  if (!isatty(0))
    return run_main({program, {}});
  Program self;
  if (Status s = self.open(false); !s.ok())
    return report(s);
  if (self.has_tokenizer() &&
      self.manifest().chat() != gemmac::manifest::Chat_None)
    return chat_main({program, {}});
  usage(stderr, program);
  return USAGE;
}

// A file that is opened next must not become what somebody reads or writes as
// a standard stream.
void open_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
      (void)!open("/", O_RDONLY); // a bare chroot: any file that is no input
}

// A limit of the size of files is an error of the write.
void survive_file_limits() { signal(SIGXFSZ, SIG_IGN); }

// Large blocks go back to the machine when they are freed. By itself glibc
// keeps up to 64 MiB once there were any, beside what the plan has.
void give_memory_back() { mallopt(M_MMAP_THRESHOLD, 1 << 18); }

// The main thread computes too, with frames of kernels as large as a worker's.
Status need_stack() {
  const rlim_t least = 2 * GM_STACK_BYTES;
  rlimit limit;
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= least)
    return {};
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, least);
  if (limit.rlim_cur == least && setrlimit(RLIMIT_STACK, &limit) == 0)
    return {};
  return failure(
      RESOURCES,
      "the limit of the stack is %llu KiB, needed are %llu: raise it "
      "with 'ulimit -s'",
      (unsigned long long)limit.rlim_cur / 1024,
      (unsigned long long)least / 1024);
}

int dispatch(int argc, char **argv) {
  const char *program = argc > 0 ? argv[0] : "program";
  open_standard_streams();
  survive_file_limits();
  give_memory_back();
  if (Status s = need_stack(); !s.ok())
    return report(s);
  if (argc < 2)
    return without_arguments(program);
  std::string first = argv[1];
  if (first == "--help" || first == "-h")
    return usage(stdout, program), report(finish_output());
  if (first == "--version")
    return version();
  if (first == "--man")
    return print_pages(program, nullptr);
  if (first == "--completions")
    return print_pages(program, argc > 2 ? argv[2] : "");
  if (const std::string flag = "--completions="; first.starts_with(flag))
    return print_pages(program, argv[1] + flag.size());
  for (const Command &command : commands)
    if (first == command.name)
      return command.main({program, {argv + 2, argv + argc}});
  if (std::string hint = mistaken(first); !hint.empty())
    return report(failure(
        USAGE, "unknown command '%.100s'; %s for a prompt: run '%.100s'",
        first.c_str(), hint.c_str(), first.c_str()));
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
