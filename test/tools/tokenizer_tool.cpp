// Runs the tokenizer over many texts for comparisons with other programs:
//   tokenizer_tool TOKENIZER VOCAB < texts > results
// TOKENIZER is a tokenizer.json or a GGUF file.
// Each input line is a text as a JSON string; each output line is a JSON list
// [ids with specials, ids without, text decoded from the former with specials].
//   tokenizer_tool TOKENIZER VOCAB --time FILE
// prints how long packing, opening, encoding and decoding FILE take.
#include "compiler/importer/Tokenizer.h"
#include "runtime/app/tokenizer.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

namespace {

std::string readAll(const char *path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int compareMode(const gm::Tokenizer &tokenizer) {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::string text = nlohmann::json::parse(line).get<std::string>();
    std::vector<int32_t> with, without;
    tokenizer.encode(text, true, with);
    tokenizer.encode(text, false, without);
    nlohmann::json out = {with, without,
                          tokenizer.decode(with.data(), with.size(), true)};
    std::cout << out.dump() << std::endl;
  }
  return 0;
}

int timeMode(const gm::Tokenizer &tokenizer, const char *path) {
  std::string text = readAll(path);
  std::vector<int32_t> ids;
  double start = now();
  tokenizer.encode(text, true, ids);
  double encoded = now();
  std::string back = tokenizer.decode(ids.data(), ids.size(), true);
  double decoded = now();
  std::printf("encode %.3f s (%zu bytes, %zu ids), decode %.3f s, %s\n",
              encoded - start, text.size(), ids.size(), decoded - encoded,
              back == text ? "same text" : "other text");
  return 0;
}

} // namespace

static gemmac::Result<gemmac::PackedTokenizer>
pack(const std::string &text, const std::string &name, int64_t vocab,
     std::vector<std::string> &warnings) {
  if (!gemmac::isGguf(text))
    return gemmac::packTokenizerText(text, name, vocab, warnings);
  gemmac::Result<gemmac::GgufHeader> header = gemmac::parseGguf(text, name);
  if (!header)
    return header.error();
  auto blob = gemmac::packGgufTokenizer(*header, name, vocab, warnings);
  if (!blob)
    return blob.error();
  if (!*blob)
    return gemmac::Error{gemmac::ExitCode::BadInput, name + ": no vocabulary"};
  return **blob;
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 5) {
    std::fprintf(stderr, "usage: %s TOKENIZER VOCAB [--time FILE]\n", argv[0]);
    return 2;
  }
  std::string json = readAll(argv[1]);
  std::vector<std::string> warnings;
  double start = now();
  gemmac::Result<gemmac::PackedTokenizer> made =
      pack(json, argv[1], std::atoll(argv[2]), warnings);
  if (!made) {
    std::fprintf(stderr, "error: %s\n", made.error().message.c_str());
    return static_cast<int>(made.error().code);
  }
  const std::vector<uint8_t> &blob = made->blob;
  double packed = now();
  gm::Tokenizer tokenizer;
  std::string problem = tokenizer.open(blob.data(), blob.size());
  double opened = now();
  if (!problem.empty()) {
    std::fprintf(stderr, "error: %s\n", problem.c_str());
    return 3;
  }
  if (argc == 3)
    return compareMode(tokenizer);
  std::printf("pack %.3f s (%zu bytes), open %.6f s\n", packed - start,
              blob.size(), opened - packed);
  return timeMode(tokenizer, argv[4]);
}
