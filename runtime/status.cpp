// Makes a failed Status of gemma.h.
#include "runtime/gemma.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace gm {

Status failure(Code code, const char *format, ...) {
  Status status;
  status.code = code;
  va_list arguments;
  va_start(arguments, format);
  char whole[3 * 4096]; // two paths and what is said of them
  size_t length = size_t(vsnprintf(whole, sizeof whole, format, arguments));
  va_end(arguments);
  length = std::min(length, sizeof whole - 1);
  // What is too long loses its middle: names are long, reason and advice stand
  // at the end.
  const size_t room = sizeof status.text - 1;
  if (length > room) {
    size_t front = room / 3, back = length - (room - front - 3);
    auto inside = [&](size_t at) { return (whole[at] & 0xC0) == 0x80; };
    while (front && inside(front))
      --front;
    while (back < length && inside(back))
      ++back;
    memmove(whole + front + 3, whole + back, length - back + 1);
    memcpy(whole + front, "...", 3);
  }
  memcpy(status.text, whole, strlen(whole) + 1);
  return status;
}

} // namespace gm
