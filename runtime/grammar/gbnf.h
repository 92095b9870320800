// GBNF, the grammar notation of llama.cpp -> grammar. Knows bytes alone.
#pragma once

#include "runtime/grammar/grammar.h"

#include <string_view>

namespace gm::grammar {

// Adds to `grammar` a node for the texts of rule `root`. BAD_INPUT names line
// and fault; UNSUPPORTED what goes beyond bounds.
Status add_gbnf(Grammar &grammar, std::string_view text, NodeId &node);

} // namespace gm::grammar
