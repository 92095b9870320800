// The page that `serve` shows at "/": one file of HTML, made from
// runtime/serve/page by make_page.py when the runtime is built.
#pragma once

#include <string_view>

namespace gm {

std::string_view page();

} // namespace gm
