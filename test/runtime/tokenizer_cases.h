// What the tokenizer's tests share: reading their data and packing a tokenizer.
#pragma once

#include "compiler/importer/Tokenizer.h"
#include "runtime/app/tokenizer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace cases {

inline std::string sourcePath(const std::string &path) {
  return std::string(GEMMAC_SOURCE_DIR) + "/" + path;
}

inline std::string readAll(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// One JSON value a line.
inline std::vector<nlohmann::json> readLines(const std::string &path) {
  std::vector<nlohmann::json> out;
  std::stringstream lines(readAll(path));
  for (std::string line; std::getline(lines, line);)
    out.push_back(nlohmann::json::parse(line));
  EXPECT_FALSE(out.empty()) << path;
  return out;
}

// A packed tokenizer and the object over it.
struct Packed {
  std::vector<uint8_t> blob;
  gm::Tokenizer tokenizer;

  Packed(const std::string &json, int64_t vocab) {
    std::vector<std::string> warnings;
    auto packed =
        gemmac::packTokenizerText(json, "tokenizer.json", vocab, warnings);
    if (!packed) {
      ADD_FAILURE() << packed.error().message;
      std::abort();
    }
    EXPECT_TRUE(warnings.empty());
    blob = std::move(packed->blob);
    EXPECT_EQ(tokenizer.open(blob.data(), blob.size()), "");
  }

  std::vector<int32_t> encode(std::string_view text, bool specials) const {
    std::vector<int32_t> ids;
    tokenizer.encode(text, specials, ids);
    return ids;
  }
  std::string decode(const std::vector<int32_t> &ids, bool specials) const {
    return tokenizer.decode(ids.data(), ids.size(), specials);
  }
};

constexpr int64_t nanoVocab = 2048, syntheticVocab = 319;

inline std::string nanoJson() {
  return readAll(sourcePath("examples/nano-e/tokenizer.json"));
}
inline std::string syntheticJson() {
  return readAll(sourcePath("test/Inputs/tokenizer/synthetic.json"));
}

// The folder with the true vocabulary and the outside goldens, or nullptr.
inline const char *goldenFolder() { return std::getenv("GEMMAC_GOLDEN"); }

} // namespace cases

#define SKIP_WITHOUT_GOLDEN()                                                  \
  if (!cases::goldenFolder())                                                  \
  GTEST_SKIP() << "GEMMAC_GOLDEN does not name a folder of outside goldens"
