// Lines of the standard input for a conversation, with the terminal's own
// editing. Signals end the waiting, not the program.
#pragma once

#include "runtime/gemma.h"

#include <string>

namespace gm {

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
