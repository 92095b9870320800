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
    unsigned number;     // of the line, from 1
    bool used = false;   // has decided, or lost to a later line
  };
  struct Problem {
    unsigned line; // 0: the file as a whole
    std::string text;
  };

  // Nullopt and the problem if FILE cannot be read or a line is not understood.
  // FILE may be a pipe: read it once.
  static std::optional<QuantMap> read(const std::string &path,
                                      Problem &problem);
  static std::optional<QuantMap> parse(const std::string &text,
                                       Problem &problem);

  // The last line whose pattern matches one of the names of a weight; null:
  // none. All that match count as used.
  const Line *find(const std::vector<std::string> &names);
  // Every line that no `find` has used.
  std::vector<Line> unused() const;

private:
  std::vector<Line> lines;
};

} // namespace gemmac
