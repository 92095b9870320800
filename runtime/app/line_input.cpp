// See line_input.h.
#include "runtime/app/line_input.h"
#include "runtime/app/output.h"
#include "runtime/app/signals.h"
#include "runtime/app/unicode.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace gm {

namespace {

// What the editor prints means something there.
bool is_capable_terminal() {
  const char *name = getenv("TERM");
  return isatty(0) && isatty(1) && name && *name && strcmp(name, "dumb") != 0;
}

int columns_of_terminal() {
  winsize size;
  return ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

// The terminal gives keys as they come, for as long as this lives; Ctrl-C and
// Ctrl-Z stay signals.
class KeyMode {
public:
  explicit KeyMode(const termios &before) : before(before) {
    set();
    write_output(LineEditor::ON);
  }
  ~KeyMode() {
    write_output(LineEditor::OFF);
    tcsetattr(0, TCSADRAIN, &before);
  }
  void set() {
    termios keys = before;
    keys.c_lflag &= tcflag_t(~(ICANON | ECHO | IEXTEN));
    keys.c_iflag &= tcflag_t(~IXON);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    tcsetattr(0, TCSADRAIN, &keys);
  }

private:
  const termios &before;
};

} // namespace

LineInput::LineInput(const InputLimit &most)
    : most(most), terminal(isatty(0)),
      edits(is_capable_terminal() && tcgetattr(0, &before) == 0) {}

Status LineInput::too_long() const {
  return failure(RUN_ERROR,
                 "a turn has more than %zu bytes, which are more tokens than "
                 "the %lld that the context holds; chat with a larger -c",
                 most.bytes, (long long)most.tokens);
}

Status LineInput::fill(bool &read) {
  enum : size_t { STEP = 1u << 16 };
  sigset_t open;
  pthread_sigmask(SIG_BLOCK, nullptr, &open);
  for (int number : {SIGINT, SIGTERM, SIGHUP})
    sigdelset(&open, number);
  read = false;
  // Waiting and releasing the signals are one: none is missed in between.
  pollfd wait = {0, POLLIN, 0};
  if (ppoll(&wait, 1, nullptr, &open) < 0 && errno == EINTR)
    return {};
  size_t had = bytes.size();
  bytes.resize(had + STEP);
  ssize_t n = ::read(0, bytes.data() + had, STEP);
  int problem = errno;
  bytes.resize(had + size_t(std::max<ssize_t>(n, 0)));
  read = true;
  if (n < 0 && problem != EINTR && problem != EAGAIN)
    return failure(BAD_INPUT, "cannot read the standard input: %s",
                   strerror(problem));
  ended = n == 0;
  return {};
}

Status LineInput::edit(const char *prompt, std::string &line, Input &kind) {
  KeyMode mode(before);
  editor.begin(prompt, columns_of_terminal(), most.bytes);
  write_output(editor.show());
  for (;;) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      LineEditor::Key key = editor.push(bytes[i]);
      if (key == LineEditor::Key::More)
        continue;
      bytes.erase(0, i + 1);
      write_output(editor.leave());
      line = editor.text();
      if (line.size() > most.bytes) // all of it came, so it is not read as more
        return too_long();
      kind = key == LineEditor::Key::End ? Input::End : Input::Turn;
      return {};
    }
    if (!bytes.empty())
      write_output(editor.show());
    bytes.clear();
    bool read;
    if (Status s = fill(read); !s.ok())
      return s;
    if (ended || (!read && interrupted())) {
      write_output(editor.leave());
      return kind = ended ? Input::End : Input::Signal, Status{};
    }
    mode.set(); // a shell that continued the program has set its own
  }
}

Status LineInput::next_line(const char *prompt, std::string &line,
                            Input &kind) {
  if (edits)
    return edit(prompt, line, kind);
  if (terminal)
    write_output(prompt);
  for (;;) {
    size_t end = bytes.find('\n', scanned);
    if (end != bytes.npos || (ended && !bytes.empty())) {
      std::string rest =
          bytes.substr(end == bytes.npos ? bytes.size() : end + 1);
      line = std::move(bytes);
      line.resize(std::min(end, line.size()));
      bytes = std::move(rest);
      scanned = 0;
      return kind = Input::Turn, Status{};
    }
    if (ended)
      return kind = Input::End, Status{};
    scanned = bytes.size();
    if (scanned > most.bytes)
      return too_long();
    bool read;
    if (Status s = fill(read); !s.ok())
      return s;
    if (!read && interrupted())
      return kind = Input::Signal, Status{};
  }
}

Status LineInput::next(std::string &turn, Input &kind) {
  constexpr std::string_view quotes = "\"\"\"";
  if (Status s = next_line("> ", turn, kind); !s.ok() || kind != Input::Turn)
    return s;
  std::string_view begin = trim(turn);
  if (!begin.starts_with(quotes))
    return {};
  std::string block(begin.substr(quotes.size())), line;
  while (!trim(block).ends_with(quotes)) {
    if (Status s = next_line("... ", line, kind); !s.ok())
      return s;
    if (kind == Input::End)
      return failure(USAGE, "the block that begins with %.3s has no end",
                     quotes.data());
    if (kind == Input::Signal)
      return {};
    if (block.size() + line.size() > most.bytes)
      return too_long();
    block += '\n' + line;
  }
  turn = trim(block);
  turn.resize(turn.size() - quotes.size());
  return {};
}

} // namespace gm
