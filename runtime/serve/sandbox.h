// Shuts a server in: whatever a request makes of it, it starts no program,
// opens no connection and writes no file. Knows Linux; must not know what is
// served.
#pragma once

#include "runtime/gemma.h"

#include <string>

namespace gm {

struct SandboxRules {
  // The one folder below which files may be made; empty: none.
  std::string writable;
  // What the driver of a device asks for stays open: devices under /dev, local
  // sockets, and the folder that it keeps compiled kernels in.
  bool device = false;
};

// From now on, for this thread and those that it starts: call it before there
// are others, with everything open that stays open; a listening socket goes on
// accepting. `said` tells what is shut and what this kernel cannot shut. Fails
// if `writable` is no folder.
Status enter_sandbox(const SandboxRules &rules, std::string &said);

} // namespace gm
