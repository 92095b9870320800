// The forms of weights that are not read, as a table: what a folder holds that
// is no safetensors model, by the names of its files. Must not know what the
// files contain.
#pragma once

#include "support/Result.h"

#include <string>

namespace gemmac {

// If FOLDER, which has no `lacking`, holds weights in another form: an error
// that names it and what to do.
Status explainFolder(const std::string &folder, const char *lacking);

} // namespace gemmac
