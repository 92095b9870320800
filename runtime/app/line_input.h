// Lines of the standard input for a conversation, with the terminal's own
// editing. Signals end the waiting, not the program.
#pragma once

#include "runtime/gemma.h"

#include <string>

namespace gm {

// From hold_signals on, SIGINT and SIGTERM wait: in this thread until
// release_signals or LineInput::next, in threads started meanwhile for ever.
// They must be caught (watch_signals).
void hold_signals();
void release_signals();

enum class Input { Line, End, Signal };

class LineInput {
public:
  // Waits for a line, which comes without its line break. Signals must be held;
  // one that comes, or came since they are, gives Input::Signal.
  Status next(std::string &line, Input &kind);

private:
  std::string bytes;  // read but not yet given
  size_t scanned = 0; // no line break before
  bool ended = false;
};

} // namespace gm
