// What the tools of the compiler say that they are: --version.
#pragma once

#include <string>

namespace gemmac {

// "NAME 0.1.0 (commit)" and, in lines of their own, the libraries inside, the
// targets and the version of program files.
std::string versionText(const std::string &name);

} // namespace gemmac
