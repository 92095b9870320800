// Debian's archives of the codecs are compiled for programs, where `stderr` may
// be at a fixed distance; in a library the loader finds it. What is linked here
// with --wrap=stderr (Prelink.cmake) uses this copy.
#include <cstdio>
#undef stderr

extern "C" {
[[gnu::visibility("default")]] extern FILE *__real_stderr;
FILE *__wrap_stderr;
}

[[gnu::constructor]] static void find_stderr() {
  __wrap_stderr = __real_stderr;
}
