// What the media tests share: recorded cases (test/golden/media, made by
// test/tools/make_media_cases.py), hashes, noise.
#pragma once

#include "runtime/gemma.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <fstream>
#include <numbers>
#include <sstream>

// What a failed status says is the test's message.
#define ASSERT_OK(status) ASSERT_STREQ((status).text, "")

namespace media_cases {

inline std::string file(const std::string &name) {
  std::ifstream in(GEMMAC_SOURCE_DIR "/test/golden/media/" + name,
                   std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

inline const nlohmann::json &cases() {
  static const nlohmann::json all = nlohmann::json::parse(file("cases.json"));
  return all;
}

// The tensors of a safetensors file.
class Tensors {
public:
  explicit Tensors(const std::string &name) : bytes(file(name)) {
    uint64_t size = 0;
    memcpy(&size, bytes.data(), sizeof size);
    header = nlohmann::json::parse(bytes.substr(8, size));
    base = 8 + size;
  }
  std::vector<int64_t> shape(const std::string &name) const {
    return header.at(name).at("shape").get<std::vector<int64_t>>();
  }
  template <typename T>
  std::vector<T> values(const std::string &name) const {
    const auto at =
        header.at(name).at("data_offsets").get<std::vector<size_t>>();
    std::vector<T> out((at[1] - at[0]) / sizeof(T));
    if (!out.empty())
      memcpy(out.data(), bytes.data() + base + at[0], at[1] - at[0]);
    return out;
  }

private:
  std::string bytes;
  nlohmann::json header;
  size_t base = 0;
};

inline std::string sha256(const std::vector<uint8_t> &bytes) {
  return llvm::toHex(llvm::SHA256::hash(bytes), true);
}

// Full-scale noise from its first sample on, exact in f32: that of
// make_media_cases.py.
inline std::vector<float> noise(int64_t count) {
  std::vector<float> out;
  uint64_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    out.push_back(float(double(state >> 40) / 8388608 - 1));
  }
  return out;
}

// Of half the full scale.
inline std::vector<float> sine(int64_t rate, double hertz, int64_t count) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(float(0.5 * std::sin(2 * std::numbers::pi * hertz *
                                       double(i) / double(rate))));
  return out;
}

} // namespace media_cases
