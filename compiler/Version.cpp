// See Version.h. The commit comes from a header that every build brings up to
// date (cmake/Commit.cmake).
#include "compiler/Version.h"

#include "compiler/commit.h"
#include "runtime/abi.h"
#include "targets/Target.h"

#include "llvm/Config/llvm-config.h"

#include <fmt/format.h>

namespace gemmac {

std::string versionText(const std::string &name) {
  const std::string commit = GEMMAC_COMMIT;
  const Target *host = findTarget("host");
  std::string names;
  for (const Target &target : targets())
    names += " " + target.name;
  return fmt::format("{} {}{}\n"
                     "LLVM {}, Halide {}\n"
                     "host: {}\n"
                     "targets:{}\n"
                     "program files: version {}",
                     name, GEMMAC_VERSION,
                     commit.empty() ? "" : " (" + commit + ")",
                     LLVM_VERSION_STRING, GEMMAC_HALIDE_VERSION,
                     host ? host->name : "none of the targets", names, GM_ABI);
}

} // namespace gemmac
