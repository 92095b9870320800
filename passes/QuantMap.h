// --quant-map=FILE: formats by name. Lines `PATTERN FORMAT`; # begins a
// comment; the last line whose pattern matches decides. Must not know the IR.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gemmac {

// The words of --quant and of --cache-type.
std::vector<std::string> quantWords();
std::vector<std::string> cacheWords();

class QuantMap {
public:
  struct Line {
    std::string pattern; // glob: * ? [a-z] {a,b}
    std::string format;  // f32, bf16, q8_0, q4_0, q4_bf, q8 or q4
    std::string place;   // "FILE:LINE", for messages
    bool used = false;   // has decided, or lost to a later line
  };

  // Nullopt and the problem, with its place, if FILE cannot be read or a line
  // is not understood.
  static std::optional<QuantMap> read(const std::string &path,
                                      std::string &problem);
  static std::optional<QuantMap>
  parse(const std::string &text, const std::string &path, std::string &problem);

  // The last line whose pattern matches one of the names of a weight; null:
  // none. All that match count as used.
  const Line *find(const std::vector<std::string> &names);
  // A message for every line that no `find` has used.
  std::vector<std::string> unused() const;

private:
  std::vector<Line> lines;
};

} // namespace gemmac
