// See line_input.h.
#include "runtime/app/line_input.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace gm {

Status LineInput::next(std::string &line, Input &kind) {
  enum : size_t { LIMIT = 16u << 20, STEP = 1u << 16 };
  sigset_t open;
  pthread_sigmask(SIG_BLOCK, nullptr, &open);
  sigdelset(&open, SIGINT);
  sigdelset(&open, SIGTERM);
  sigdelset(&open, SIGHUP);
  for (;;) {
    size_t end = bytes.find('\n', scanned);
    if (end != bytes.npos || (ended && !bytes.empty())) {
      line = bytes.substr(0, end);
      bytes.erase(0, end == bytes.npos ? end : end + 1);
      scanned = 0;
      return kind = Input::Line, Status{};
    }
    if (ended)
      return kind = Input::End, Status{};
    scanned = bytes.size();
    if (scanned > LIMIT)
      return failure(BAD_INPUT, "a line of the input is longer than %d MiB",
                     int(LIMIT >> 20));
    // Waiting and releasing the signals are one: none is missed in between.
    pollfd wait = {0, POLLIN, 0};
    if (ppoll(&wait, 1, nullptr, &open) < 0 && errno == EINTR)
      return kind = Input::Signal, Status{};
    bytes.resize(scanned + STEP);
    ssize_t n = read(0, bytes.data() + scanned, STEP);
    int problem = errno;
    bytes.resize(scanned + size_t(std::max<ssize_t>(n, 0)));
    if (n < 0 && problem != EINTR && problem != EAGAIN)
      return failure(BAD_INPUT, "cannot read the standard input: %s",
                     strerror(problem));
    ended = n == 0;
  }
}

} // namespace gm
