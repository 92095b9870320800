// See stop_text.h.
#include "runtime/serve/stop_text.h"

#include <algorithm>

namespace gm {

StopText::StopText(std::vector<std::string> given) : stops(std::move(given)) {
  std::erase(stops, "");
}

bool StopText::push(std::string_view text, std::string &out) {
  if (!stopped.empty())
    return true;
  if (stops.empty())
    return out += text, false;
  held += text;
  size_t end = held.npos;
  for (const std::string &stop : stops)
    if (const size_t at = held.find(stop); at < end) {
      end = at;
      stopped = stop;
    }
  if (!stopped.empty()) {
    out.append(held, 0, end);
    held.clear();
    return true;
  }
  // The longest end of the text that begins a stop string stays.
  size_t keep = 0;
  for (const std::string &stop : stops)
    for (size_t n = std::min(stop.size() - 1, held.size()); n > keep; --n)
      if (held.compare(held.size() - n, n, stop, 0, n) == 0)
        keep = n;
  out.append(held, 0, held.size() - keep);
  held.erase(0, held.size() - keep);
  return false;
}

void StopText::flush(std::string &out) {
  out += held;
  held.clear();
}

} // namespace gm
