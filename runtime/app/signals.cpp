// See signals.h.
#include "runtime/app/signals.h"
#include "runtime/gemma.h"

#include <csignal>
#include <cstdio>
#include <pthread.h>
#include <unistd.h>

namespace gm {
namespace {

constexpr int kEnding[] = {SIGINT, SIGTERM, SIGHUP};

volatile sig_atomic_t noticed = 0; // number of the signal

void set_handler(int number, void (*handler)(int)) {
  struct sigaction action = {};
  sigaction(number, nullptr, &action);
  if (action.sa_handler == SIG_IGN)
    return;
  action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART; // poll is interrupted all the same
  sigaction(number, &action, nullptr);
}

void set_handlers(void (*handler)(int)) {
  for (int number : kEnding)
    set_handler(number, handler);
}

void notice(int number) {
  noticed = number;
  set_handlers(SIG_DFL);
}

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : kEnding)
    sigaddset(&set, number);
  return set;
}

} // namespace

void watch_signals() { set_handlers(notice); }

bool interrupted() { return noticed; }
bool terminated() { return noticed && noticed != SIGINT; }

void clear_interrupt() {
  if (noticed != SIGINT)
    return;
  noticed = 0;
  set_handlers(notice);
}

void die_of_signal() {
  if (!noticed)
    return;
  release_signals();
  raise(noticed);       // its handler is the default again
  _exit(128 + noticed); // unreachable but for a signal that cannot be sent
}

static char bus_message[4400];
static size_t bus_length = 0;

void name_bus_errors(const char *file) {
  bus_length = size_t(snprintf(
      bus_message, sizeof bus_message,
      "error: the weights in '%.4000s' can no longer be read: the file became "
      "shorter, or its disk fails; put it back, or make it again with "
      "gemmac\n",
      file));
  struct sigaction action = {};
  action.sa_handler = [](int) {
    (void)!write(2, bus_message, bus_length);
    _exit(BAD_INPUT);
  };
  sigaction(SIGBUS, &action, nullptr);
}

void hold_signals() {
  sigset_t set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void release_signals() {
  sigset_t set = ending_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

} // namespace gm
