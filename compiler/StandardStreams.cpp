// See StandardStreams.h.
#include "compiler/StandardStreams.h"

#include "support/Result.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

namespace gemmac {

// What LLVM calls when a stream ends that could not write.
static void onFatalError(void *program, const char *reason, bool) {
  llvm::StringRef what = reason;
  if (!what.consume_front("IO failure on output stream: ")) {
    say("LLVM ERROR: " + what.str() + "\n");
    return;
  }
  say(std::string(static_cast<const char *>(program)) +
      ": error: cannot write to the standard output: " + what.str() + "\n");
  _exit(int(ExitCode::Resources));
}

void prepareStandardStreams(const char *program) {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(fd, F_GETFD) < 0)
      (void)!open("/dev/null", O_RDWR);
  // Blocked and not ignored: LLVM gives files that it removes a handler of all
  // such signals.
  sigset_t limit;
  sigemptyset(&limit);
  sigaddset(&limit, SIGXFSZ);
  sigprocmask(SIG_BLOCK, &limit, nullptr);
  llvm::install_fatal_error_handler(onFatalError, const_cast<char *>(program));
  llvm::errs(); // is destroyed after what is registered now has run
  atexit([] { llvm::errs().clear_error(); });
}

} // namespace gemmac
