// See pages.h. Every program carries this: text is put together by one
// function, since each + on strings would be code of its own.
#include "runtime/app/pages.h"

#include <cctype>
#include <initializer_list>
#include <string_view>

namespace gm {
namespace {

using std::string_view;

[[gnu::noinline]] void put(std::string &text,
                           std::initializer_list<string_view> parts) {
  for (string_view part : parts)
    text.append(part);
}

//===-- words -------------------------------------------------------------===//

string_view base_name(string_view path) {
  return path.substr(path.rfind('/') + 1); // npos + 1: from the start
}

// A name for a shell's function.
std::string identifier(string_view program) {
  std::string name = "_";
  for (char c : program)
    name.push_back(isalnum((unsigned char)c) ? c : '_');
  return name;
}

// Help in one line: tables break lines where a terminal is to.
std::string one_line(string_view text) {
  std::string line;
  for (char c : text) {
    const bool blank = c == ' ' || c == '\n';
    if (!blank || (!line.empty() && line.back() != ' '))
      line.push_back(blank ? ' ' : c);
  }
  return line;
}

// Help in a few words, for a list of flags: what stands in front of details.
std::string brief(string_view help) {
  std::string text = one_line(help);
  for (const char *end : {": ", "; ", " ("})
    if (const size_t at = text.find(end); at != std::string::npos && at)
      text.resize(at);
  return text;
}

// `text` with `escape` in front of each of the letters `special`.
std::string escaped(string_view text, string_view special,
                    string_view escape = "\\") {
  std::string out;
  for (char c : text) {
    if (special.find(c) != special.npos)
      out.append(escape);
    out.push_back(c);
  }
  return out;
}

// One word for bash and zsh, whatever is in it.
std::string quoted(string_view text) {
  std::string out = "'";
  for (char c : text)
    c == '\'' ? out.append("'\\''") : out.append(1, c);
  return out.append(1, '\'');
}

bool is_path(string_view value) {
  for (string_view kind : {"FILE", "FOLDER", "OUT"})
    if (value.substr(0, kind.size()) == kind)
      return true;
  return false;
}

// "a b c" of "a|b|c"; empty if the value is no choice.
std::string choices(string_view value) {
  std::string words(value.find('|') == value.npos ? "" : value);
  for (char &c : words)
    if (c == '|')
      c = ' ';
  return words;
}

bool is_long(string_view flag) { return flag.substr(0, 2) == "--"; }

void add(std::string &list, string_view word, string_view between) {
  put(list, {list.empty() ? "" : between, word});
}

// The names of a flag with `between` between them.
std::string names_of(const PageFlag &flag, string_view between) {
  std::string names;
  for (const std::string &name : flag.names)
    add(names, name, between);
  return names;
}

std::string names_of(const Pages &pages) {
  std::string names;
  for (const PageCommand &command : pages.commands)
    if (!command.name.empty())
      add(names, command.name, " ");
  return names;
}

// The one without a name last, as a `case` of a shell needs it: it takes every
// word.
const PageCommand &case_of(const Pages &pages, size_t i) {
  return pages.commands[(i + 1) % pages.commands.size()];
}

string_view pattern(const PageCommand &command) {
  return command.name.empty() ? "*" : string_view(command.name);
}

//===-- bash --------------------------------------------------------------===//

void bash_command(std::string &text, const Pages &pages,
                  const PageCommand &command) {
  std::string flags, values;
  for (const PageFlag &flag : command.flags) {
    add(flags, names_of(flag, " "), " ");
    if (flag.value.empty())
      continue;
    put(values, {"    ", names_of(flag, "|"), ") "});
    if (is_path(flag.value))
      put(values, {"files=1 ;;\n"});
    else
      put(values, {"words=", quoted(choices(flag.value)), " ;;\n"});
  }
  put(text, {"  ", pattern(command), ")\n    flags=", quoted(flags),
             "\n    case $prev in\n", values, "    *) words=$flags"});
  if (command.name.empty())
    put(text, {"; [[ $first ]] || words+=' '", quoted(names_of(pages))});
  put(text, {command.argument.empty() ? "" : "; [[ $cur == -* ]] || files=1",
             " ;;\n    esac ;;\n"});
}

std::string bash(const Pages &pages) {
  const string_view program = base_name(pages.program);
  const std::string name = identifier(program);
  std::string text;
  put(text, {"# bash completion of ", program, "\n", name,
             "() {\n"
             "  local cur=${COMP_WORDS[COMP_CWORD]} "
             "prev=${COMP_WORDS[COMP_CWORD-1]}\n"
             "  local first=${COMP_WORDS[1]} flags words files=\n"
             "  (( COMP_CWORD > 1 )) || first=\n"
             "  # --flag=value is three words\n"
             "  if [[ $cur == = ]]; then\n"
             "    cur=\n"
             "  elif [[ $prev == = ]]; then\n"
             "    prev=${COMP_WORDS[COMP_CWORD-2]}\n"
             "  fi\n"
             "  case $first in\n"});
  for (size_t i = 0; i < pages.commands.size(); ++i)
    bash_command(text, pages, case_of(pages, i));
  put(text, {"  esac\n"
             "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"\n"
             "    [[ $files ]] && compgen -f -- \"$cur\")\n"
             "}\n"
             "complete -o filenames -F ",
             name, " ", program, "\n"});
  return text;
}

//===-- zsh ---------------------------------------------------------------===//

void zsh_flag(std::string &text, const PageFlag &flag) {
  std::string what;
  if (!flag.value.empty()) {
    const std::string words = choices(flag.value);
    if (words.empty())
      put(what, {":", escaped(flag.value, ":\\"), ":",
                 is_path(flag.value) ? "_files" : " "});
    else
      put(what, {":value:(", words, ")"});
  }
  const std::string help = escaped(brief(flag.help), "[]:\\");
  for (const std::string &name : flag.names) {
    std::string word;
    put(word, {"*", name,
               what.empty()    ? ""
               : is_long(name) ? "="
                               : "+",
               "[", help, "]", what});
    put(text, {"    ", quoted(word), "\n"});
  }
}

void zsh_command(std::string &text, const PageCommand &command) {
  put(text, {"  ", pattern(command), ") flags=(\n"});
  for (const PageFlag &flag : command.flags)
    zsh_flag(text, flag);
  if (!command.name.empty())
    put(text, {"    '1: : '\n"}); // the command itself
  if (!command.argument.empty())
    put(text,
        {"    '*:", identifier(command.argument).substr(1), ":_files'\n"});
  put(text, {"    ) ;;\n"});
}

std::string zsh(const Pages &pages) {
  const string_view program = base_name(pages.program);
  const std::string name = identifier(program);
  std::string text, commands;
  put(text, {"#compdef ", program, "\n", name,
             "() {\n"
             "  local -a flags commands\n"
             "  local first=\n"
             "  (( CURRENT > 2 )) && first=$words[2]\n"
             "  case $first in\n"});
  for (size_t i = 0; i < pages.commands.size(); ++i)
    zsh_command(text, case_of(pages, i));
  for (const PageCommand &command : pages.commands) {
    std::string word;
    put(word, {command.name, ":", brief(command.summary)});
    if (!command.name.empty())
      put(commands, {"    ", quoted(word), "\n"});
  }
  if (!commands.empty())
    put(text, {"  esac\n"
               "  if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then\n"
               "    commands=(\n",
               commands, "    )\n    _describe command commands\n  fi\n"});
  else
    put(text, {"  esac\n"});
  put(text, {"  _arguments -s $flags\n}\n"
             "if [[ $funcstack[1] == ",
             name, " ]]; then\n  ", name, " \"$@\"\nelse\n  compdef ", name,
             " ", program, "\nfi\n"});
  return text;
}

//===-- fish --------------------------------------------------------------===//

std::string fish_quoted(string_view text) {
  std::string out = "'";
  put(out, {escaped(text, "\\'"), "'"});
  return out;
}

void fish_flag(std::string &text, const PageFlag &flag) {
  for (const std::string &name : flag.names)
    if (is_long(name))
      put(text, {" -l ", string_view(name).substr(2)});
    else // -np is of the old form
      put(text,
          {name.size() == 2 ? " -s " : " -o ", string_view(name).substr(1)});
  if (!flag.value.empty())
    put(text, {is_path(flag.value) ? " -r -F" : " -x"});
  if (const std::string words = choices(flag.value); !words.empty())
    put(text, {" -a ", fish_quoted(words)});
  put(text, {" -d ", fish_quoted(brief(flag.help)), "\n"});
}

std::string fish(const Pages &pages) {
  const std::string commands = names_of(pages);
  std::string text, start, when;
  put(start, {"complete -c ", base_name(pages.program)});
  put(text, {"# fish completion of ", base_name(pages.program), "\n"});
  for (const PageCommand &command : pages.commands) {
    when.clear();
    if (!command.name.empty()) {
      put(text, {start, " -n __fish_use_subcommand -a ", command.name, " -d ",
                 fish_quoted(brief(command.summary)), "\n"});
      put(when, {" -n '__fish_seen_subcommand_from ", command.name, "'"});
      if (command.argument.empty())
        put(text, {start, when, " -f\n"});
    } else if (!commands.empty()) {
      put(when, {" -n 'not __fish_seen_subcommand_from ", commands, "'"});
    }
    for (const PageFlag &flag : command.flags) {
      put(text, {start, when});
      fish_flag(text, flag);
    }
  }
  return text;
}

//===-- man ---------------------------------------------------------------===//

// Text that roff shows as it is: a dot or a quote at the start of a line would
// be a request, and a plain hyphen is none that can be copied to a shell.
std::string roff(string_view text) {
  std::string out;
  for (char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      out.append("\\&");
    if (c == '\\')
      out.append("\\e");
    else if (c == '-')
      out.append("\\-");
    else
      out.push_back(c);
  }
  return out;
}

void synopsis(std::string &text, string_view program,
              const PageCommand &command) {
  put(text, {"\\fB", roff(program), "\\fR"});
  if (!command.name.empty())
    put(text, {" \\fB", roff(command.name), "\\fR"});
  if (!command.flags.empty())
    put(text, {" [\\fIflags\\fR]"});
  if (!command.argument.empty())
    put(text, {" [\\fI", roff(command.argument), "\\fR]"});
  put(text, {"\n"});
}

void section(std::string &text, const PageCommand &command) {
  if (command.name.empty())
    put(text, {".SH OPTIONS\n"});
  else
    put(text, {".SH \"COMMAND ", roff(command.name), "\"\n"});
  if (!command.text.empty())
    put(text, {roff(one_line(command.text)), "\n"});
  if (!command.argument.empty())
    put(text, {".TP\n\\fI", roff(command.argument), "\\fR\n",
               roff(one_line(command.argument_help)), "\n"});
  for (const PageFlag &flag : command.flags) {
    put(text, {".TP\n"});
    for (const std::string &name : flag.names)
      put(text,
          {&name == flag.names.data() ? "" : ", ", "\\fB", roff(name), "\\fR"});
    if (!flag.value.empty())
      put(text, {" \\fI", roff(flag.value), "\\fR"});
    put(text, {"\n", roff(one_line(flag.help)), "\n"});
  }
}

} // namespace

std::string manual_page(const Pages &pages) {
  const string_view program = base_name(pages.program);
  std::string text, upper;
  for (char c : program)
    upper.push_back(char(toupper((unsigned char)c)));
  put(text, {".TH ", roff(upper), " 1\n.SH NAME\n", roff(program), " \\- ",
             roff(one_line(pages.summary)), "\n.SH SYNOPSIS\n"});
  for (const PageCommand &command : pages.commands) {
    put(text, {command.name.empty() ? "" : ".br\n"});
    synopsis(text, program, command);
  }
  for (const PageCommand &command : pages.commands)
    section(text, command);
  if (!pages.footer.empty())
    put(text, {".SH NOTES\n.nf\n", roff(pages.footer), "\n.fi\n"});
  return text;
}

std::string completions(const Pages &pages, const std::string &shell) {
  return shell == "bash"   ? bash(pages)
         : shell == "zsh"  ? zsh(pages)
         : shell == "fish" ? fish(pages)
                           : "";
}

} // namespace gm
