// Formats of JSON schema as patterns.
#pragma once

#include <string_view>

namespace gm::grammar {

// The pattern of a format; empty: an annotation.
std::string_view format_pattern(std::string_view name);

} // namespace gm::grammar
