// What `serve` answers, as a document of OpenAPI 3.1: openapi.json without
// blanks.
#pragma once

#include <string_view>

namespace gm {

std::string_view openapi();

} // namespace gm
