// Tables of flags as what shells and `man` read: completions for bash, zsh and
// fish, and a manual page. Programs make theirs of the tables that their help
// is printed from (cli.h), gemmac and gemma-kernels too, so nobody writes a
// flag down twice. Knows neither tables of flags nor models; compiled into
// gemmac as well.
#pragma once

#include <string>
#include <vector>

namespace gm {

struct PageFlag {
  std::vector<std::string> names; // "-c", "--ctx-size"
  // Metavariable, empty for switches. Words between bars are all there are
  // ("auto|map"); FILE, FOLDER and OUT (and what begins so) are paths.
  std::string value;
  std::string help;
};

// A command, or what a program does without one (name empty).
struct PageCommand {
  std::string name;
  std::string summary; // a few words, for lists of commands
  std::string text;    // what the page says of it in front of its flags
  std::vector<PageFlag> flags;
  // What may follow without a flag; empty: nothing.
  std::string argument, argument_help;
};

struct Pages {
  std::string program; // its name, or a path that ends in it
  std::string summary; // one line
  // Without a command first; a word that is no command's name completes so.
  std::vector<PageCommand> commands;
  std::string footer; // lines, shown as they are
};

// The page in roff; the file's name would be PROGRAM.1.
std::string manual_page(const Pages &pages);
// "bash", "zsh" or "fish"; empty for other shells.
std::string completions(const Pages &pages, const std::string &shell);

} // namespace gm
