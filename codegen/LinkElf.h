// The linker's own part of Linker.h.
#pragma once

#include "codegen/Linker.h"

namespace gemmac {

// Links `objects` with the runtime of in.form, as `path`. Messages name
// in.output.
Status linkElf(const ProgramInput &in, const std::vector<std::string> &objects,
               const std::string &path);

} // namespace gemmac
