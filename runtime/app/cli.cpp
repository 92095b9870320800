// Parsing and printing of command lines (cli.h).
#include "runtime/app/cli.h"
#include "runtime/app/tokenizer.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
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

} // namespace

Status parse(const Syntax &syntax, const std::vector<std::string> &arguments,
             bool &wants_help) {
  wants_help =
      std::any_of(arguments.begin(), arguments.end(), [](const std::string &a) {
        return a == "--help" || a == "-h";
      });
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
    std::string name = argument.substr(0, equal);
    const Flag *flag = find(syntax, name);
    if (!flag)
      return failure(USAGE, "unknown flag '%.100s' of '%s'; see '%s --help'",
                     name.c_str(), syntax.command.c_str(),
                     syntax.command.c_str());
    if (is_switch(*flag)) {
      if (equal != std::string::npos)
        return failure(USAGE, "%s takes no value", name.c_str());
      *std::get<bool *>(flag->target) = true;
      continue;
    }
    if (equal == std::string::npos && i + 1 == arguments.size())
      return failure(USAGE, "%s expects a value: %s %s", name.c_str(),
                     name.c_str(), flag->value.c_str());
    const std::string text = equal == std::string::npos
                                 ? arguments[++i]
                                 : argument.substr(equal + 1);
    if (Status s = assign(name, *flag, text); !s.ok())
      return s;
  }
  return {};
}

void print_help(const std::string &program, const Syntax &syntax) {
  const Positional &p = syntax.positional;
  printf("usage: %s %s [flags]%s%s\n\n%s\n\n", program.c_str(),
         syntax.command.c_str(), p.target ? " " : "", p.value.c_str(),
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
  line("-h, --help", "print this");
}

int report(const Status &status) {
  if (status.ok())
    return OK;
  fflush(stdout);
  fprintf(stderr, "error: %s\n", status.text);
  return status.code;
}

std::string exact(double x) {
  char text[40];
  snprintf(text, sizeof text, "%.17g", x);
  return text;
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
