// The files of test/Inputs/media and what is recorded of them, by
// test/tools/make_media_goldens.py.
#pragma once

#include "runtime/media/kinds.h"

#include "test/runtime/media_cases.h"

namespace media_files {

inline std::vector<uint8_t> bytes(const std::string &name) {
  std::ifstream in(GEMMAC_SOURCE_DIR "/test/Inputs/media/" + name,
                   std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

inline const nlohmann::json &cases() {
  static const nlohmann::json all = [] {
    const auto text = bytes("cases.json");
    return nlohmann::json::parse(text.begin(), text.end());
  }();
  return all;
}

inline std::vector<uint8_t> of(std::string_view text) {
  return {text.begin(), text.end()};
}

// The bytes of `from`, with `with` in the place of its first `what`.
inline std::vector<uint8_t> changed(const std::vector<uint8_t> &from,
                                    std::string_view what,
                                    std::string_view with) {
  std::string text(from.begin(), from.end());
  const size_t at = text.find(what);
  EXPECT_NE(at, text.npos) << what;
  text.replace(at, what.size(), with);
  return of(text);
}

} // namespace media_files
