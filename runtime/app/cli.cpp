// Parsing and printing of command lines (cli.h).
#include "runtime/app/cli.h"
#include "runtime/app/tokenizer.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gm {
namespace {

bool is_switch(const Flag &flag) {
  return std::holds_alternative<bool *>(flag.target);
}

std::string number(double x) {
  char text[40];
  snprintf(text, sizeof text, "%.15g", x);
  return text;
}

Status bad_value(const std::string &name, const Flag &flag, const char *kind,
                 const std::string &text) {
  std::string limits;
  if (flag.low != flag.high)
    limits = std::isinf(flag.high)
                 ? ", at least " + number(flag.low)
                 : " from " + number(flag.low) + " to " + number(flag.high);
  return failure(USAGE, "%s expects %s%s, got '%.100s'", name.c_str(), kind,
                 limits.c_str(), text.c_str());
}

bool within(const Flag &flag, double x) {
  return flag.low == flag.high || (x >= flag.low && x <= flag.high);
}

bool starts_number(const std::string &text) {
  return !text.empty() && !strchr(" \t\n\v\f\r", text[0]);
}

Status assign(const std::string &name, const Flag &flag,
              const std::string &text) {
  char *end = nullptr;
  errno = 0;
  auto complete = [&] {
    return starts_number(text) && *end == 0 && errno == 0;
  };
  if (auto *target = std::get_if<int64_t *>(&flag.target)) {
    long long x = strtoll(text.c_str(), &end, 10);
    if (!complete() || !within(flag, double(x)))
      return bad_value(name, flag, "a whole number", text);
    **target = x;
  } else if (auto *target = std::get_if<double *>(&flag.target)) {
    double x = strtod(text.c_str(), &end);
    if (!complete() || !std::isfinite(x) || !within(flag, x))
      return bad_value(name, flag, "a number", text);
    **target = x;
  } else if (auto *target = std::get_if<std::string *>(&flag.target)) {
    **target = text;
  } else if (auto *target =
                 std::get_if<std::optional<std::string> *>(&flag.target)) {
    **target = text;
  } else if (auto *target =
                 std::get_if<std::vector<std::string> *>(&flag.target)) {
    (*target)->push_back(text);
  } else if (auto *target = std::get_if<Load *>(&flag.target)) {
    if (text != "auto" && text != "map" && text != "copy")
      return failure(USAGE, "%s expects auto, map or copy, got '%.100s'",
                     name.c_str(), text.c_str());
    **target = text == "map"    ? Load::Map
               : text == "copy" ? Load::Copy
                                : Load::Auto;
  } else if (std::holds_alternative<std::optional<uint64_t> *>(flag.target) &&
             text == "-1") {
    std::get<std::optional<uint64_t> *>(flag.target)->reset();
  } else {
    unsigned long long x = strtoull(text.c_str(), &end, 10);
    if (!complete() || text[0] == '-')
      return bad_value(name, flag, "a whole number, at least 0", text);
    if (auto *target = std::get_if<uint64_t *>(&flag.target))
      **target = x;
    else
      **std::get_if<std::optional<uint64_t> *>(&flag.target) = x;
  }
  return {};
}

const Flag *find(const Syntax &syntax, const std::string &name) {
  for (const Flag &flag : syntax.flags)
    if (name == flag.name || (!flag.alias.empty() && name == flag.alias))
      return &flag;
  return nullptr;
}

const PageFlag help_flag = {{"-h", "--help"}, "", "print this"};

bool is_help(const std::string &argument) {
  return argument == help_flag.names[0] || argument == help_flag.names[1];
}

// Of "-n5" the flag is "-n". Null for what is no flag.
const Flag *find_attached(const Syntax &syntax, const std::string &argument) {
  const Flag *flag = argument.size() > 2 && argument[1] != '-'
                         ? find(syntax, argument.substr(0, 2))
                         : nullptr;
  return flag && !is_switch(*flag) ? flag : nullptr;
}

bool asks_for_help(const Syntax &syntax,
                   const std::vector<std::string> &arguments) {
  for (size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i) {
    if (is_help(arguments[i]))
      return true;
    const Flag *flag = find(syntax, arguments[i]);
    i += flag && !is_switch(*flag); // its value
  }
  return false;
}

Status unknown_flag(const Syntax &syntax, const std::string &name) {
  std::vector<std::string> names;
  for (const Flag &flag : syntax.flags)
    if (!flag.hidden)
      names.push_back(flag.name);
  std::string meant = closest(name, names);
  return failure(USAGE, "unknown flag '%.100s' of '%s'%s%s%s; see '%s --help'",
                 name.c_str(), syntax.command.c_str(),
                 meant.empty() ? "" : "; did you mean '", meant.c_str(),
                 meant.empty() ? "" : "'?", syntax.command.c_str());
}

// Letters to add, leave out, replace or swap with the next to make `a` of `b`.
size_t distance(const std::string &a, const std::string &b) {
  std::vector<std::vector<size_t>> d(a.size() + 1,
                                     std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j) {
      if (!i || !j) {
        d[i][j] = i + j;
        continue;
      }
      bool same = a[i - 1] == b[j - 1];
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + !same});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

} // namespace

std::string closest(const std::string &word,
                    const std::vector<std::string> &names) {
  std::string best;
  size_t least = 3;
  for (const std::string &name : names)
    if (word.size() < name.size() + least)
      if (size_t d = distance(word, name); d < least)
        least = d, best = name;
  return best;
}

Status parse(const Syntax &syntax, const std::vector<std::string> &arguments,
             bool &wants_help) {
  wants_help = asks_for_help(syntax, arguments);
  if (wants_help)
    return {};
  bool only_positional = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string &argument = arguments[i];
    if (!only_positional && argument == "--") {
      only_positional = true;
      continue;
    }
    if (only_positional || argument.size() < 2 || argument[0] != '-' ||
        isdigit((unsigned char)argument[1])) { // a negative number
      std::vector<std::string> *target = syntax.positional.target;
      if (!target || target->size() == syntax.positional.most)
        return failure(
            USAGE, "'%s' takes no argument '%.100s'; see '%s --help'",
            syntax.command.c_str(), argument.c_str(), syntax.command.c_str());
      target->push_back(argument);
      continue;
    }
    size_t equal = argument.compare(0, 2, "--") == 0 ? argument.find('=')
                                                     : std::string::npos;
    std::string name = argument.substr(0, equal), text;
    const Flag *flag = find(syntax, name);
    bool has_value = equal != std::string::npos;
    if (has_value)
      text = argument.substr(equal + 1);
    if (!flag && (flag = find_attached(syntax, argument))) {
      name = argument.substr(0, 2), text = argument.substr(2);
      has_value = true;
    }
    if (!flag)
      return unknown_flag(syntax, name);
    if (is_switch(*flag)) {
      if (has_value)
        return failure(USAGE, "%s takes no value", name.c_str());
      *std::get<bool *>(flag->target) = true;
      continue;
    }
    if (!has_value && i + 1 == arguments.size())
      return failure(USAGE, "%s expects a value: %s %s", name.c_str(),
                     name.c_str(), flag->value.c_str());
    if (Status s = assign(name, *flag, has_value ? text : arguments[++i]);
        !s.ok())
      return s;
  }
  return {};
}

void print_help(const std::string &program, const Syntax &syntax) {
  const Positional &p = syntax.positional;
  const std::string optional = p.target ? "[" + p.value + "]" : "";
  printf("usage: %s %s [flags]%s%s\n\n%s\n\n", program.c_str(),
         syntax.command.c_str(), p.target ? " " : "", optional.c_str(),
         syntax.summary.c_str());
  auto line = [](const std::string &left, const std::string &help) {
    printf("  %-26s %s\n", left.c_str(), help.c_str());
  };
  if (p.target)
    line(p.value, p.help);
  for (const Flag &flag : syntax.flags) {
    if (flag.hidden)
      continue;
    std::string left =
        (flag.alias.empty() ? "    " : flag.alias + ", ") + flag.name;
    line(flag.value.empty() ? left : left + " " + flag.value, flag.help);
  }
  line(help_flag.names[0] + ", " + help_flag.names[1], help_flag.help);
}

PageCommand page_of(const Syntax &syntax) {
  PageCommand page;
  page.name = syntax.command, page.text = syntax.summary;
  if (syntax.positional.target)
    page.argument = syntax.positional.value,
    page.argument_help = syntax.positional.help;
  for (const Flag &flag : syntax.flags) {
    if (flag.hidden)
      continue;
    PageFlag &shown = page.flags.emplace_back();
    if (!flag.alias.empty())
      shown.names.push_back(flag.alias);
    shown.names.push_back(flag.name);
    shown.value = flag.value, shown.help = flag.help;
  }
  page.flags.push_back(help_flag);
  return page;
}

int report(const Status &status) {
  if (status.ok())
    return OK;
  fflush(stdout);
  fprintf(stderr, "error: %s\n", status.text);
  return status.code;
}

template <typename Float>
static std::string shortest(Float x) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}
std::string exact(double x) { return shortest(x); }
std::string exact(float x) { return shortest(x); }

std::string count_of(uint64_t n, const std::string &one,
                     const std::string &many) {
  return std::to_string(n) + ' ' +
         (n == 1         ? one
          : many.empty() ? one + 's'
                         : many);
}

std::string json_string(const std::string &text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char c = text[i];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += char(c);
    } else if (c < 0x20) {
      char escape[8];
      snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else if (c < 0x80) {
      out += char(c);
    } else {
      size_t good = std::min(text.size() - i, size_t(4));
      while (good && first_bad_utf8({text.data() + i, good}) != good)
        --good;
      // The longest valid prefix may hold several characters.
      out += good ? text.substr(i, good) : "\xEF\xBF\xBD";
      i += good ? good - 1 : 0;
    }
  }
  return out + "\"";
}

} // namespace gm
