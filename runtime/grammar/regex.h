// Regular expressions of JSON schemas (ECMA-262, as far as they are regular) as
// automata over code points.
#pragma once

#include "runtime/grammar/dfa.h"

#include <string_view>

namespace gm::grammar {

// Of texts in which `pattern` occurs. BAD_INPUT if it is none, UNSUPPORTED,
// naming it, for what no automaton does here: look-behind, look-ahead but at
// the start, back references, \b, \p{...}.
Status regex_dfa(std::string_view pattern, Dfa &out);
// \d, \w, \s and their opposites by letter; empty: not such a letter.
CharSet class_escape(uint32_t letter);

} // namespace gm::grammar
