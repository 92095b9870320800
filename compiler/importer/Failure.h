// How the readers of checkpoints give up: they throw a Failure, and `reading`
// at each entry point makes it the Error of a Result. Private to the importer;
// must not know what is read.
#pragma once

#include "support/Result.h"

#include <new>

namespace gemmac {

struct Failure {
  Error error;
};

// A file that is being read, by the name that messages begin with.
struct NamedFile {
  std::string name;

  template <typename... T>
  [[noreturn]] void fail(ExitCode code, fmt::format_string<T...> text,
                         T &&...arguments) const {
    throw Failure{makeError(code, "{}: {}", name,
                            fmt::format(text, std::forward<T>(arguments)...))};
  }
  template <typename... T>
  [[noreturn]] void bad(fmt::format_string<T...> text, T &&...arguments) const {
    fail(ExitCode::BadInput, text, std::forward<T>(arguments)...);
  }
  template <typename... T>
  [[noreturn]] void unsupported(fmt::format_string<T...> text,
                                T &&...arguments) const {
    fail(ExitCode::Unsupported, text, std::forward<T>(arguments)...);
  }
};

// What `read` gives, or why it gave up; `name` is what it reads.
template <typename Read>
auto reading(const std::string &name, Read read) -> Result<decltype(read())> {
  try {
    return read();
  } catch (const Failure &failure) {
    return failure.error;
  } catch (const std::bad_alloc &) {
    return makeError(ExitCode::Resources, "{}: not enough memory to read it",
                     name);
  }
}

// The value of a Result inside `reading`.
template <typename T>
T orFail(Result<T> result) {
  if (!result)
    throw Failure{result.error()};
  return std::move(*result);
}

} // namespace gemmac
