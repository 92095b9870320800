// See CommandLine.h.
#include "compiler/CommandLine.h"

#include "compiler/StandardStreams.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Allocator.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/StringSaver.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

using llvm::StringRef;

namespace gemmac {

//===-- help --------------------------------------------------------------===//

namespace {

// Names in a column of 24, what they mean in lines of up to 80.
class Formatter : public CLI::Formatter {
public:
  std::string make_option(const CLI::Option *option,
                          bool positional) const override {
    constexpr size_t column = 24, most = 80;
    std::string text = "  " + make_option_name(option, positional) +
                       (positional ? "" : make_option_opts(option));
    llvm::SmallVector<StringRef> words;
    StringRef(option->get_description()).split(words, ' ');
    if (text.size() + 2 > column)
      text += '\n' + std::string(column, ' ');
    else
      text.resize(column, ' ');
    size_t at = column;
    for (StringRef word : words) {
      if (at > column && at + 1 + word.size() > most) {
        text += '\n' + std::string(column, ' ');
        at = column;
      }
      if (at > column)
        text += ' ', ++at;
      text += word, at += word.size();
    }
    return text + '\n';
  }
};

} // namespace

CommandLine::CommandLine(std::string program, const std::string &summary,
                         const std::string &footer)
    : app(summary, program), name(std::move(program)) {
  app.footer(footer);
  app.formatter(std::make_shared<Formatter>());
  app.option_defaults()->take_last();
}

//===-- flags -------------------------------------------------------------===//

CLI::Option *CommandLine::option(const std::string &flags, std::string &value,
                                 const std::string &type,
                                 const std::string &help) {
  return app.add_option(flags, value, help)->type_name(type);
}

CLI::Option *CommandLine::choice(const std::string &flags, std::string &value,
                                 const std::vector<std::string> &words,
                                 const std::string &help) {
  auto check = [words](const std::string &got) {
    if (llvm::is_contained(words, got))
      return std::string();
    return fmt::format("expects {}, got '{}'", fmt::join(words, ", "), got);
  };
  return app
      .add_option(flags, value,
                  value.empty() ? help : help + " (default: " + value + ")")
      ->check(CLI::Validator(check, ""))
      ->type_name(fmt::format("{}", fmt::join(words, "|")));
}

CLI::Validator CommandLine::integer(int64_t low, int64_t high) {
  auto check = [low, high](const std::string &got) {
    int64_t number;
    if (!StringRef(got).getAsInteger(10, number) && number >= low &&
        number <= high)
      return std::string();
    return fmt::format("expects an integer from {} to {}, got '{}'", low, high,
                       got);
  };
  return CLI::Validator(check, "");
}

CLI::Option *CommandLine::option(const std::string &flags, int &value, int low,
                                 int high, const std::string &help) {
  return app.add_option(flags, value, help)
      ->check(integer(low, high))
      ->type_name("N");
}

//===-- pages -------------------------------------------------------------===//

void CommandLine::addPages(std::vector<const CommandLine *> more) {
  commands = std::move(more);
  choice("--completions", shell, {"bash", "zsh", "fish"},
         "print completions for a shell");
  app.add_flag("--man", manual, "print a manual page");
}

gm::PageCommand CommandLine::page() const {
  gm::PageCommand page;
  for (const CLI::Option *option : app.get_options()) {
    if (option->get_positional()) {
      page.argument = StringRef(option->get_name()).upper();
      page.argument_help = option->get_description();
      continue;
    }
    gm::PageFlag &flag = page.flags.emplace_back();
    for (const std::string &letter : option->get_snames())
      flag.names.push_back("-" + letter);
    for (const std::string &word : option->get_lnames())
      flag.names.push_back("--" + word);
    if (option->get_expected_min() > 0)
      flag.value = option->get_type_name();
    flag.help = option->get_description();
  }
  return page;
}

gm::Pages CommandLine::pages() const {
  // "gemmac: compiles ...", of which the page wants the second part.
  gm::Pages pages{.program = name,
                  .summary =
                      StringRef(app.get_description()).split(": ").second.str(),
                  .commands = {page()},
                  .footer = StringRef(app.get_footer()).trim().str()};
  for (const CommandLine *command : commands) {
    gm::PageCommand page = command->page();
    page.name = StringRef(command->name).rsplit(' ').second;
    page.text = command->pages().summary;
    page.summary = page.text;
    pages.commands.push_back(page);
  }
  return pages;
}

//===-- parsing -----------------------------------------------------------===//

// The flag that `given` may have been meant for.
static std::string suggestion(const CLI::App &app, StringRef given) {
  std::string best;
  unsigned least = std::max<unsigned>(2, given.size() / 3) + 1;
  for (const CLI::Option *option : app.get_options())
    for (const std::string &name : option->get_lnames())
      if (unsigned n = StringRef(name).edit_distance(given, true, least);
          n < least)
        least = n, best = name;
  return best.empty() ? "" : ": did you mean --" + best + "?";
}

// Every word that looks like a flag is one, and has its value. CLI11 would take
// -quant for -q -u -a -n -t.
Status CommandLine::checkFlags(const std::vector<std::string> &given) const {
  auto takesValue = [](const CLI::Option *option) {
    return option->get_expected_min() > 0;
  };
  auto unknown = [&](StringRef flag) {
    return makeError(ExitCode::Usage, "unknown flag '{}'{}; see {} --help",
                     flag.str(), suggestion(app, flag.ltrim('-')), name);
  };
  for (size_t i = 0; i < given.size() && given[i] != "--"; ++i) {
    StringRef word = given[i], flag = word.split('=').first;
    if (word.size() < 2 || word[0] != '-')
      continue;
    const CLI::Option *option = word.starts_with("--") || flag.size() == 2
                                    ? app.get_option_no_throw(flag.str())
                                    : nullptr;
    std::string called = flag.str();
    bool needsNext = option && takesValue(option) && flag == word;
    if (!option) {
      if (word.starts_with("--") || app.get_option_no_throw("-" + flag.str()))
        return unknown(flag);
      // -j4, or -q and more of its kind
      for (size_t at = 1; at < word.size(); ++at) {
        option = app.get_option_no_throw({'-', word[at]});
        if (!option)
          return unknown(flag);
        if (takesValue(option)) {
          needsNext = at + 1 == word.size();
          called = {'-', word[at]};
          break;
        }
      }
    }
    if (needsNext && ++i == given.size())
      return makeError(ExitCode::Usage, "{} expects a value, got none", called);
  }
  return Done{};
}

std::optional<ExitCode> CommandLine::parse(int argc, char **argv) {
  llvm::BumpPtrAllocator allocator;
  llvm::StringSaver saver(allocator);
  llvm::SmallVector<const char *> expanded(argv + 1, argv + argc);
  if (!llvm::cl::ExpandResponseFiles(saver, llvm::cl::TokenizeGNUCommandLine,
                                     expanded))
    return ExitCode::Usage; // LLVM has said why
  std::vector<std::string> words(expanded.begin(), expanded.end());
  if (Status s = checkFlags(words); !s)
    return fail(s.error());
  try {
    std::reverse(words.begin(), words.end()); // as CLI11 wants them
    app.parse(words);
  } catch (const CLI::CallForHelp &) {
    return print(app.help());
  } catch (const CLI::CallForVersion &version) {
    return print(version.what() + std::string("\n"));
  } catch (const CLI::ExtrasError &) {
    return fail(ExitCode::Usage, "unexpected argument '{}'; see {} --help",
                app.remaining().front(), name);
  } catch (const CLI::ParseError &error) {
    StringRef what = error.what();
    auto [flag, problem] = what.split(": ");
    return fail(ExitCode::Usage, "{}{}{}", flag.str(),
                problem.empty() ? "" : " ", problem.str());
  }
  if (manual)
    return print(gm::manual_page(pages()));
  if (!shell.empty())
    return print(gm::completions(pages(), shell));
  return std::nullopt;
}

ExitCode CommandLine::fail(const Error &error) const {
  say(fmt::format("{}: error: {}\n", name, error.message));
  return error.code;
}

ExitCode CommandLine::print(const std::string &text) const {
  fwrite(text.data(), 1, text.size(), stdout);
  if (fflush(stdout) == 0 && !ferror(stdout))
    return ExitCode::Ok;
  return fail(ExitCode::Resources, "cannot write to the standard output: {}",
              strerror(errno));
}

} // namespace gemmac
