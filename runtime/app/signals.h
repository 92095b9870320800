// The signals that ask a program to end: Ctrl-C (SIGINT), SIGTERM, SIGHUP. The
// first is only noticed, so that output and files are left whole; then the
// program dies of it, so that who started it sees that it was ended (130 for
// Ctrl-C, 143 for SIGTERM). The second ends it at once. What the parent ignores
// stays ignored. Knows nothing of models.
#pragma once

namespace gm {

void watch_signals();
// True after one of them.
bool interrupted();
// True after one that is not Ctrl-C.
bool terminated();
// Ctrl-C is answered, the program goes on; the next is the first again.
void clear_interrupt();
// Dies of the signal that was noticed; does nothing if none was.
void die_of_signal();

// From now on a mapped file that became shorter or cannot be read (SIGBUS) is
// an error with a message that names `file`, exit code 3, instead of a crash.
void name_bus_errors(const char *file);

// From hold_signals on they wait: in this thread until release_signals or
// LineInput::next, in threads started meanwhile for ever. They must be watched.
void hold_signals();
void release_signals();

} // namespace gm
