// What linker_test links in place of generated code: a model that is none, and
// a look at whether exceptions find their handlers, which needs tables that
// linkers make and, in dynamic programs, the machine's libc.
#include "runtime/abi.h"

#include <unistd.h>

extern "C" const gm_program gm_model = {};

namespace {
struct Problem {};
} // namespace

[[gnu::noinline]] static void fail() { throw Problem(); }

static const bool caught = [] {
  try {
    fail();
  } catch (const Problem &) {
    return write(1, "caught\n", 7) == 7;
  }
  return false;
}();
