// Stop strings in a text that comes piece by piece: what might begin one is
// held back until it is clear. Knows no tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gm {

class StopText {
public:
  // Empty ones are left out.
  explicit StopText(std::vector<std::string> stops);

  // Appends to `out` what of the text so far belongs to the answer for sure.
  // True: a stop string came; it and what follows are dropped.
  bool push(std::string_view text, std::string &out);
  // The text ends: what is held back is text.
  void flush(std::string &out);
  // The stop string that came; empty: none.
  const std::string &found() const { return stopped; }

private:
  std::vector<std::string> stops;
  std::string held; // begins a stop string
  std::string stopped;
};

} // namespace gm
