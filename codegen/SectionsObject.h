// The object file with which a library finds its sections: gm_sections of
// runtime/file.h. Must not know what they hold.
#pragma once

#include "targets/Target.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gemmac {

// Bytes of the object file, whose gm_sections holds `data`.
std::string sectionsObject(const Target &target,
                           const std::vector<uint8_t> &data);

} // namespace gemmac
