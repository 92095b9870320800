// The text of a prompt in which the control tokens of the chat format are told
// apart from text that reads the same. Knows no format and no ids.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

struct Prompt {
  std::string text;
  std::vector<size_t> controls; // offsets in `text`, ascending

  Prompt &operator+=(std::string_view more) { return text += more, *this; }
  Prompt &operator+=(char more) { return text += more, *this; }
  // Appends a control token, as the vocabulary spells it.
  Prompt &control(std::string_view token) {
    controls.push_back(text.size());
    return *this += token;
  }
};

} // namespace gm
