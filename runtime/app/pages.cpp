// See pages.h.
#include "runtime/app/pages.h"

#include <cctype>

namespace gm {
namespace {

//===-- words -------------------------------------------------------------===//

std::string base_name(const std::string &path) {
  return path.substr(path.rfind('/') + 1); // npos + 1: from the start
}

// A name for a shell's function.
std::string identifier(const std::string &program) {
  std::string name = "_";
  for (char c : program)
    name += isalnum((unsigned char)c) ? c : '_';
  return name;
}

// Help in one line: tables break lines where a terminal is to.
std::string one_line(const std::string &text) {
  std::string line;
  for (char c : text) {
    const bool blank = c == ' ' || c == '\n';
    if (!blank)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  return line;
}

// Help in a few words, for a list of flags: what stands in front of details.
std::string brief(const std::string &help) {
  std::string text = one_line(help);
  for (const char *end : {": ", "; ", " ("})
    if (const size_t at = text.find(end); at != std::string::npos && at)
      text.resize(at);
  return text;
}

// `text` with `escape` in front of each of the letters `special`.
std::string escaped(const std::string &text, const char *special,
                    const char *escape = "\\") {
  std::string out;
  for (char c : text) {
    if (std::string(special).find(c) != std::string::npos)
      out += escape;
    out += c;
  }
  return out;
}

// One word for bash and zsh, whatever is in it.
std::string quoted(const std::string &text) {
  std::string out = "'";
  for (char c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

bool is_path(const std::string &value) {
  for (const char *kind : {"FILE", "FOLDER", "OUT"})
    if (value.compare(0, std::string(kind).size(), kind) == 0)
      return true;
  return false;
}

// "a b c" of "a|b|c"; empty if the value is no choice.
std::string choices(const std::string &value) {
  if (value.find('|') == std::string::npos)
    return "";
  std::string words = value;
  for (char &c : words)
    if (c == '|')
      c = ' ';
  return words;
}

std::string joined(const std::vector<std::string> &words, const char *between) {
  std::string out;
  for (const std::string &word : words)
    out += (out.empty() ? "" : between) + word;
  return out;
}

std::vector<std::string> names_of(const Pages &pages) {
  std::vector<std::string> names;
  for (const PageCommand &command : pages.commands)
    if (!command.name.empty())
      names.push_back(command.name);
  return names;
}

//===-- bash --------------------------------------------------------------===//

// What follows in the place of a flag's value.
std::string bash_value(const PageFlag &flag) {
  std::string line = "    " + joined(flag.names, "|") + ") ";
  if (is_path(flag.value))
    line += "files=1";
  else
    line += "words=" + quoted(choices(flag.value));
  return line + " ;;\n";
}

std::string bash(const Pages &pages) {
  const std::string program = base_name(pages.program);
  const std::string name = identifier(program);
  std::string text =
      "# bash completion of " + program + "\n" + name +
      "() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local first=${COMP_WORDS[1]} flags words files=\n"
      "  (( COMP_CWORD > 1 )) || first=\n"
      "  # --flag=value is three words\n"
      "  if [[ $cur == = ]]; then\n"
      "    cur=\n"
      "  elif [[ $prev == = ]]; then\n"
      "    prev=${COMP_WORDS[COMP_CWORD-2]}\n"
      "  fi\n"
      "  case $first in\n";
  // The one without a name last: it takes every word.
  for (size_t i = 1; i <= pages.commands.size(); ++i) {
    const PageCommand &command = pages.commands[i % pages.commands.size()];
    std::vector<std::string> flags;
    std::string values;
    for (const PageFlag &flag : command.flags) {
      flags.insert(flags.end(), flag.names.begin(), flag.names.end());
      if (!flag.value.empty())
        values += bash_value(flag);
    }
    text += "  " + (command.name.empty() ? "*" : command.name) +
            ")\n    flags=" + quoted(joined(flags, " ")) +
            "\n    case $prev in\n" + values + "    *) words=$flags";
    if (command.name.empty())
      text += "; [[ $first ]] || words+=" +
              quoted(" " + joined(names_of(pages), " "));
    if (!command.argument.empty())
      text += "; [[ $cur == -* ]] || files=1";
    text += " ;;\n    esac ;;\n";
  }
  return text +
         "  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"\n"
         "    [[ $files ]] && compgen -f -- \"$cur\")\n"
         "}\n"
         "complete -o filenames -F " +
         name + " " + program + "\n";
}

//===-- zsh ---------------------------------------------------------------===//

std::string zsh_flag(const PageFlag &flag) {
  std::string text, what;
  if (!flag.value.empty()) {
    const std::string words = choices(flag.value);
    what = ":" + escaped(words.empty() ? flag.value : "value", ":\\") + ":" +
           (is_path(flag.value) ? "_files"
            : words.empty()     ? " "
                                : "(" + words + ")");
  }
  const std::string help = escaped(brief(flag.help), "[]:\\");
  for (const std::string &name : flag.names) {
    const bool is_long = name.compare(0, 2, "--") == 0;
    text += "    " +
            quoted("*" + name +
                   (what.empty() ? ""
                    : is_long    ? "="
                                 : "+") +
                   "[" + help + "]" + what) +
            "\n";
  }
  return text;
}

std::string zsh(const Pages &pages) {
  const std::string program = base_name(pages.program);
  const std::string name = identifier(program);
  std::string text = "#compdef " + program + "\n" + name +
                     "() {\n"
                     "  local -a flags\n"
                     "  local first=\n"
                     "  (( CURRENT > 2 )) && first=$words[2]\n"
                     "  case $first in\n";
  for (size_t i = 1; i <= pages.commands.size(); ++i) {
    const PageCommand &command = pages.commands[i % pages.commands.size()];
    text += "  " + (command.name.empty() ? "*" : command.name) + ") flags=(\n";
    for (const PageFlag &flag : command.flags)
      text += zsh_flag(flag);
    if (!command.name.empty())
      text += "    '1: : '\n"; // the command itself
    if (!command.argument.empty())
      text += "    " +
              quoted("*:" + escaped(command.argument, ":\\") + ":_files") +
              "\n";
    text += "    ) ;;\n";
  }
  text += "  esac\n";
  if (!names_of(pages).empty()) {
    text += "  if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then\n"
            "    local -a commands=(\n";
    for (const PageCommand &command : pages.commands)
      if (!command.name.empty())
        text += "    " +
                quoted(escaped(command.name, ":\\") + ":" +
                       brief(command.summary)) +
                "\n";
    text += "    )\n    _describe command commands\n  fi\n";
  }
  return text + "  _arguments -s $flags\n}\n" +
         "if [[ $funcstack[1] == " + name + " ]]; then\n  " + name +
         " \"$@\"\nelse\n  compdef " + name + " " + program + "\nfi\n";
}

//===-- fish --------------------------------------------------------------===//

std::string fish_quoted(const std::string &text) {
  return "'" + escaped(text, "\\'") + "'";
}

std::string fish(const Pages &pages) {
  const std::string program = base_name(pages.program);
  const std::string start = "complete -c " + program;
  const std::string commands = joined(names_of(pages), " ");
  std::string text = "# fish completion of " + program + "\n";
  for (const PageCommand &command : pages.commands) {
    std::string when;
    if (!command.name.empty()) {
      text += start + " -n __fish_use_subcommand -a " + command.name + " -d " +
              fish_quoted(brief(command.summary)) + "\n";
      when = " -n '__fish_seen_subcommand_from " + command.name + "'";
      if (command.argument.empty())
        text += start + when + " -f\n";
    } else if (!commands.empty()) {
      when = " -n 'not __fish_seen_subcommand_from " + commands + "'";
    }
    for (const PageFlag &flag : command.flags) {
      text += start + when;
      for (const std::string &name : flag.names)
        text += name.compare(0, 2, "--") == 0 ? " -l " + name.substr(2)
                : name.size() == 2            ? " -s " + name.substr(1)
                                              : " -o " + name.substr(1);
      if (is_path(flag.value))
        text += " -r -F";
      else if (!flag.value.empty())
        text += " -x";
      if (const std::string words = choices(flag.value); !words.empty())
        text += " -a " + fish_quoted(words);
      text += " -d " + fish_quoted(brief(flag.help)) + "\n";
    }
  }
  return text;
}

//===-- man ---------------------------------------------------------------===//

// Text that roff shows as it is: a dot or a quote at the start of a line would
// be a request, and a plain hyphen is none that can be copied to a shell.
std::string roff(const std::string &text) {
  std::string out;
  for (char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out;
}

std::string bold(const std::string &text) {
  return "\\fB" + roff(text) + "\\fR";
}
std::string italic(const std::string &text) {
  return "\\fI" + roff(text) + "\\fR";
}

std::string synopsis(const std::string &program, const PageCommand &command) {
  std::string line = bold(program);
  if (!command.name.empty())
    line += " " + bold(command.name);
  if (!command.flags.empty())
    line += " [" + italic("flags") + "]";
  if (!command.argument.empty())
    line += " [" + italic(command.argument) + "]";
  return line + "\n";
}

std::string roff_flags(const PageCommand &command) {
  std::string text;
  if (!command.argument.empty())
    text += ".TP\n" + italic(command.argument) + "\n" +
            roff(one_line(command.argument_help)) + "\n";
  for (const PageFlag &flag : command.flags) {
    text += ".TP\n";
    for (size_t i = 0; i < flag.names.size(); ++i)
      text += (i ? ", " : "") + bold(flag.names[i]);
    if (!flag.value.empty())
      text += " " + italic(flag.value);
    text += "\n" + roff(one_line(flag.help)) + "\n";
  }
  return text;
}

} // namespace

std::string manual_page(const Pages &pages) {
  const std::string program = base_name(pages.program);
  std::string upper;
  for (char c : program)
    upper += char(toupper((unsigned char)c));
  std::string text = ".TH " + roff(upper) + " 1\n.SH NAME\n" + roff(program) +
                     " \\- " + roff(one_line(pages.summary)) +
                     "\n.SH SYNOPSIS\n";
  for (const PageCommand &command : pages.commands)
    text += (command.name.empty() ? "" : ".br\n") + synopsis(program, command);
  for (const PageCommand &command : pages.commands) {
    text += command.name.empty()
                ? ".SH OPTIONS\n"
                : ".SH \"COMMAND " + roff(command.name) + "\"\n";
    if (!command.text.empty())
      text += roff(one_line(command.text)) + "\n";
    text += roff_flags(command);
  }
  if (!pages.footer.empty())
    text += ".SH NOTES\n.nf\n" + roff(pages.footer) + "\n.fi\n";
  return text;
}

std::string completions(const Pages &pages, const std::string &shell) {
  return shell == "bash"   ? bash(pages)
         : shell == "zsh"  ? zsh(pages)
         : shell == "fish" ? fish(pages)
                           : "";
}

} // namespace gm
