// How parts of the compiler that know no MLIR report a user's mistake: a value
// or an Error with the exit code of its class. Bugs of the compiler itself are
// asserts, not Errors. No exception crosses an interface that returns a Result.
#pragma once

#include <fmt/core.h>

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace gemmac {

// The exit codes shared by gemmac and the programs it makes.
enum class ExitCode {
  Ok = 0,
  Run = 1,         // an error while running (prompt longer than the context)
  Usage = 2,       // unknown flag, empty input
  BadInput = 3,    // a broken input file, a token id out of range
  Unsupported = 4, // a model or feature that is not supported
  Resources = 5,   // not enough memory, disk or permission
  Machine = 6,     // this machine lacks what the program needs
};

// `message` names what (file, tensor, flag, offset), what was expected, what
// was found and what to do; one line, no full stop, no "error:" prefix.
struct Error {
  ExitCode code = ExitCode::BadInput;
  std::string message;
};

// An Error whose message is `text` with `arguments` in it.
template <typename... T>
Error makeError(ExitCode code, fmt::format_string<T...> text,
                T &&...arguments) {
  return {code, fmt::format(text, std::forward<T>(arguments)...)};
}

// A T or an Error.
template <typename T>
class [[nodiscard]] Result {
public:
  Result(T value) : value(std::move(value)) {}
  Result(Error error) : problem(std::move(error)) {}

  explicit operator bool() const { return value.has_value(); }
  T &operator*() { return assert(value), *value; }
  const T &operator*() const { return assert(value), *value; }
  T *operator->() { return &**this; }
  const T *operator->() const { return &**this; }
  const Error &error() const { return assert(!value), problem; }

private:
  std::optional<T> value;
  Error problem;
};

// Success or an Error.
struct Done {};
using Status = Result<Done>;

// For functions that return a Result of any type.
#define GM_RETURN_IF_ERROR(status)                                             \
  if (::gemmac::Status gmStatus = (status); !gmStatus)                         \
  return gmStatus.error()

} // namespace gemmac
