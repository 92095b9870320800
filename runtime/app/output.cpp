// See output.h.
#include "runtime/app/output.h"
#include "runtime/app/signals.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace gm {

static int output_problem = 0; // errno of the first failed write

bool write_output(std::string_view text) {
  // What stdio holds goes first.
  if (!output_problem && fflush(stdout) != 0)
    output_problem = errno;
  while (!text.empty() && !output_problem) {
    // A reader that does not read must not keep Ctrl-C from working: poll ends
    // at a signal, a write of a restarted system call does not. A pipe that is
    // ready takes so much without waiting.
    enum : size_t { PIECE = 4096 };
    pollfd ready = {1, POLLOUT, 0};
    if (poll(&ready, 1, -1) < 0 && errno == EINTR) {
      if (interrupted())
        return false;
      continue;
    }
    ssize_t n = write(1, text.data(), std::min<size_t>(text.size(), PIECE));
    if (n >= 0)
      text.remove_prefix(size_t(n));
    else if (errno != EINTR && errno != EAGAIN)
      output_problem = errno;
  }
  return !output_problem;
}

Status finish_output() {
  if (!output_problem && (fflush(stdout) != 0 || ferror(stdout)))
    output_problem = errno;
  if (output_problem)
    return failure(RESOURCES, "cannot write to the standard output: %s",
                   strerror(output_problem));
  return {};
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char c = text[i], next = i + 1 < text.size() ? text[i + 1] : 0;
    bool c0 = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
    bool c1 = c == 0xC2 && next >= 0x80 && next < 0xA0;
    if (c0 || c1)
      out += "\xEF\xBF\xBD";
    else
      out += char(c);
    i += c1;
  }
  return out;
}

void Notice::show(bool on) {
  static const bool terminal = isatty(2);
  if (on == shown || !terminal)
    return;
  shown = on;
  fprintf(stderr, on ? "%s" : "\r\033[K", text.c_str());
}

void Notice::change(std::string to) {
  show(false);
  text = std::move(to);
  show(true);
}

bool write_model_text(std::string_view text) {
  static const bool terminal = isatty(1);
  return terminal ? write_output(without_controls(text)) : write_output(text);
}

} // namespace gm
