// Makes a failed Status of gemma.h.
#include "runtime/gemma.h"

#include <cstdarg>
#include <cstdio>

namespace gm {

Status failure(Code code, const char *format, ...) {
  Status status;
  status.code = code;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(status.text, sizeof status.text, format, arguments);
  va_end(arguments);
  return status;
}

} // namespace gm
