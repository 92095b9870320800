// What the importer's tests share: the folders of test data, temporary folders,
// safetensors files written byte by byte.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <string>

namespace gemmac::test {

inline std::string source(const std::string &path) {
  return std::string(GEMMAC_SOURCE_DIR) + "/" + path;
}

inline std::string readText(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void writeText(const std::string &path, const std::string &text) {
  std::ofstream(path, std::ios::binary) << text;
}

// A folder that goes away with the object.
class TemporaryFolder {
public:
  TemporaryFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "gemmac-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string file(const std::string &name) const { return path + "/" + name; }

  std::string path;
};

// Header length, header, data.
inline std::string safetensors(const std::string &header, size_t dataBytes) {
  std::string text;
  for (int i = 0; i < 8; ++i)
    text += char(uint64_t(header.size()) >> 8 * i & 255);
  return text + header + std::string(dataBytes, '\x3f');
}

// Both words of a message must be there.
inline testing::AssertionResult has(const std::string &message,
                                    std::initializer_list<const char *> words) {
  for (const char *word : words)
    if (message.find(word) == std::string::npos)
      return testing::AssertionFailure()
             << "no '" << word << "' in: " << message;
  return testing::AssertionSuccess();
}

} // namespace gemmac::test
