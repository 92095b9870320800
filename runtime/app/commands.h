// The commands of a program. To add one: a function here, a line in the table
// of main.cpp.
#pragma once

#include <string>
#include <vector>

namespace gm {

struct PageCommand;

struct Invocation {
  std::string program;                // as it was called, for messages
  std::vector<std::string> arguments; // after the command
  // Not null: the command is not run but described here.
  PageCommand *page = nullptr;
};

// Each returns the exit code.
int bench_main(const Invocation &call);
int chat_main(const Invocation &call);
int detokenize_main(const Invocation &call);
int eval_main(const Invocation &call);
int info_main(const Invocation &call);
int run_main(const Invocation &call);
int serve_main(const Invocation &call);
int tokenize_main(const Invocation &call);

struct Command {
  const char *name, *summary;
  int (*main)(const Invocation &call);
};

} // namespace gm
