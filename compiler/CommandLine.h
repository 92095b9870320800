// What the command lines of gemmac and gemma-kernels have in common: errors of
// one form with a hint at the flag that was meant, the last of two equal flags
// wins, @FILE for arguments in a file, help in 80 columns, completions and
// manual pages of the same flags, and lost output is an error. Must not know
// what the flags mean.
#pragma once

#include "runtime/app/pages.h"
#include "support/Result.h"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace gemmac {

class CommandLine {
public:
  // `footer`: what --help prints last.
  CommandLine(std::string name, const std::string &summary,
              const std::string &footer);

  CLI::App app; // where flags are added
  CLI::Option *option(const std::string &flags, std::string &value,
                      const std::string &type, const std::string &help);
  CLI::Option *choice(const std::string &flags, std::string &value,
                      const std::vector<std::string> &words,
                      const std::string &help);
  CLI::Option *option(const std::string &flags, int &value, int low, int high,
                      const std::string &help);

  // --completions and --man: of the flags so far, of these two, and of
  // `commands`, named "NAME COMMAND", which must live as long.
  void addPages(std::vector<const CommandLine *> commands = {});

  static CLI::Validator integer(int64_t low, int64_t high);

  // An exit code if the program is done: help was asked for, or an error told.
  std::optional<ExitCode> parse(int argc, char **argv);
  // Prints "NAME: error: MESSAGE".
  ExitCode fail(const Error &error) const;
  template <typename... T>
  ExitCode fail(ExitCode code, fmt::format_string<T...> text,
                T &&...arguments) const {
    return fail(makeError(code, text, std::forward<T>(arguments)...));
  }
  // Writes `text` to standard output; Resources if it does not arrive there.
  ExitCode print(const std::string &text) const;

private:
  Status checkFlags(const std::vector<std::string> &arguments) const;
  gm::PageCommand page() const;
  gm::Pages pages() const;

  const std::string name;
  std::string shell; // of --completions
  bool manual = false;
  std::vector<const CommandLine *> commands;
};

} // namespace gemmac
