// The text of a prompt in which the control tokens of the chat format are told
// apart from text that reads the same, and in which spans may be given by ids:
// what a model wrote need not be what encoding its text gives. Knows no format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gm {

struct Prompt {
  std::string text;
  std::vector<size_t> controls; // offsets in `text`, ascending
  struct Span {
    size_t begin, end; // in `text`
    std::vector<int32_t> ids;
  };
  std::vector<Span> known; // ascending; no control token is inside

  Prompt &operator+=(std::string_view more) { return text += more, *this; }
  Prompt &operator+=(char more) { return text += more, *this; }
  // Appends a control token, as the vocabulary spells it.
  Prompt &control(std::string_view token) {
    controls.push_back(text.size());
    return *this += token;
  }
  // Appends text whose ids are known.
  Prompt &own(std::string_view more, std::vector<int32_t> ids) {
    known.push_back({text.size(), text.size() + more.size(), std::move(ids)});
    return *this += more;
  }
};

} // namespace gm
