// Command lines: a table of flags per command, parsed, checked and printed as
// help. Every mistake is a Status with code USAGE that names the flag and what
// is allowed. Knows nothing of models.
#pragma once

#include "runtime/app/commands.h"
#include "runtime/app/output.h"
#include "runtime/app/pages.h"
#include "runtime/app/signals.h"
#include "runtime/gemma.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace gm {

// Where a flag's value goes; bool: a switch without a value; a vector takes the
// values of a flag that may be given again.
using Target =
    std::variant<bool *, int64_t *, uint64_t *, double *, std::string *,
                 std::optional<std::string> *, std::optional<uint64_t> *,
                 std::vector<std::string> *, Load *>;

struct Flag {
  std::string name;  // "--ctx-size"
  std::string alias; // "-c", or empty
  std::string value; // metavariable, empty for switches
  std::string help;
  Target target;
  double low = 0, high = 0; // limits of numbers, both included; none if equal
  bool hidden = false;      // for tests: not in the help
};

struct Positional {
  std::string value; // metavariable
  std::string help;
  std::vector<std::string> *target = nullptr;
  size_t most = 1;
};

struct Syntax {
  std::string command; // "run"
  std::string summary;
  std::vector<Flag> flags;
  Positional positional; // target null: none
};

// `wants_help` is set by --help and -h in front of "--"; then nothing else is
// checked. A flag's value is its own argument, or follows "=" (--flag=value) or
// a short name (-n5).
Status parse(const Syntax &syntax, const std::vector<std::string> &arguments,
             bool &wants_help);
void print_help(const std::string &program, const Syntax &syntax);
// What print_help shows, for pages.
PageCommand page_of(const Syntax &syntax);

// Prints "error: ..." and gives its exit code.
int report(const Status &status);

// The name that `word` was most likely meant to be: at most two letters (added,
// left out, replaced or swapped) away; empty if none is.
std::string closest(const std::string &word,
                    const std::vector<std::string> &names);

// Parses the command line of a command into its Request, whose `syntax()` is
// the table of flags, and `explain()`, if it has one, what help knows besides;
// prints help, gives it for a page or runs the command. Gives the exit code, or
// dies of the signal that ended the command.
template <typename Request>
int run_command(const Invocation &call, Status (*command)(Request &)) {
  Request request;
  Syntax syntax = request.syntax();
  bool help;
  if (Status s = parse(syntax, call.arguments, help); !s.ok())
    return report(s);
  if (help || call.page)
    if constexpr (requires { request.explain(syntax); })
      request.explain(syntax);
  if (call.page)
    return *call.page = page_of(syntax), OK;
  if (help)
    return print_help(call.program, syntax), report(finish_output());
  int code = report(command(request)); // whose files and memory are gone by now
  die_of_signal();
  return code;
}

// A number as JSON and for people to read back exactly: the shortest that does.
std::string exact(double x);
std::string exact(float x);
// "1 token", "2 tokens"; `many` if that is another word than `one` with an s.
std::string count_of(uint64_t n, const std::string &one,
                     const std::string &many = "");
// With quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_string(const std::string &text);

} // namespace gm
