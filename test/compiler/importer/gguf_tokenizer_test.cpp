// The tokenizer and the chat template from GGUF metadata: the same packed form
// as from tokenizer.json, duplicates, and what is refused.
#include "compiler/importer/Tokenizer.h"

#include "compiler/importer/File.h"
#include "runtime/tokenizer_blob.h"
#include "test/compiler/importer/GgufBuilder.h"
#include "test/compiler/importer/TestFiles.h"

#include <functional>

using namespace gemmac;
using namespace gemmac::test;

namespace {

// 256 byte tokens behind some pieces.
struct Vocabulary {
  std::vector<std::string> pieces = {"<pad>", "<eos>", "<bos>", "a",
                                     "b",     "ab",    "\n",    "\n\n"};
  std::vector<int64_t> types = {3, 3, 3, 1, 1, 1, 1, 1};
  std::vector<std::string> merges = {"a b", "\n \n"};
  Vocabulary() {
    for (int i = 0; i < 256; ++i) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", i);
      pieces.push_back(text);
      types.push_back(6);
    }
  }
};

struct Packed {
  std::optional<std::vector<uint8_t>> blob;
  int code = 0;
  std::string message = "accepted";
  std::vector<std::string> warnings;
};

template <typename Change>
Packed pack(Change change, int64_t vocab = -1) {
  GgufBuilder b;
  Vocabulary v;
  b.string("tokenizer.ggml.model", "gemma4");
  change(b, v);
  if (!v.pieces.empty()) {
    b.strings("tokenizer.ggml.tokens", v.pieces);
    b.array("tokenizer.ggml.token_type", 5, v.types);
    b.strings("tokenizer.ggml.merges", v.merges);
  }
  std::string file = b.file();
  Result<GgufHeader> header = parseGguf(file, "m.gguf");
  Packed packed;
  if (!header) {
    packed.message = header.error().message;
    return packed;
  }
  auto blob = packGgufTokenizer(*header, "m.gguf",
                                vocab < 0 ? int64_t(v.pieces.size()) : vocab,
                                packed.warnings);
  if (blob)
    packed.blob = *blob;
  else
    packed.code = int(blob.error().code), packed.message = blob.error().message;
  return packed;
}

TEST(GgufTokenizer, EqualsTokenizerJson) {
  for (std::string model : {"nano-e", "nano-m"}) {
    std::string path = source("test/golden/gguf/" + model + "-Q4_0.gguf");
    Result<MappedFile> map = MappedFile::open(path);
    ASSERT_TRUE(map) << map.error().message;
    Result<GgufHeader> header = parseGguf(map->text(), path);
    ASSERT_TRUE(header) << header.error().message;
    std::vector<std::string> warnings;
    auto fromGguf = packGgufTokenizer(*header, path, 2048, warnings);
    ASSERT_TRUE(fromGguf) << fromGguf.error().message;
    auto fromJson = packTokenizer(source("examples/" + model), 2048, warnings);
    ASSERT_TRUE(fromJson && *fromJson);
    EXPECT_TRUE(**fromGguf == **fromJson);
    auto chat =
        readGgufChatTemplate(*header, path, model == "nano-e", warnings);
    auto expected = readChatTemplate(source("examples/" + model),
                                     model == "nano-e", warnings);
    ASSERT_TRUE(chat && expected);
    EXPECT_EQ(chat->sha256, expected->sha256);
    EXPECT_EQ(chat->protocol, expected->protocol);
    EXPECT_TRUE(chat->known);
    EXPECT_TRUE(warnings.empty()) << warnings[0];
  }
}

TEST(GgufTokenizer, BothSpellings) {
  EXPECT_TRUE(pack([](auto &, auto &) {}).blob);
  Packed p = pack([](auto &b, auto &) {
    b.string("tokenizer.ggml.model", "llama");
    b.string("tokenizer.ggml.pre", "gemma4");
  });
  EXPECT_TRUE(p.blob) << p.message;
  p = pack([](auto &b, auto &) { b.string("tokenizer.ggml.model", "llama"); });
  EXPECT_EQ(p.code, 4);
  EXPECT_TRUE(has(p.message, {"tokenizer.ggml.model", "gemma4", "llama"}));
}

TEST(GgufTokenizer, NoVocabulary) {
  Packed p = pack([](auto &, auto &v) { v.pieces.clear(); });
  EXPECT_FALSE(p.blob);
  EXPECT_EQ(p.message, "accepted");
}

// The lower id is found, the other one keeps its text.
TEST(GgufTokenizer, Duplicates) {
  Packed p = pack([](auto &, auto &v) {
    for (const char *text : {"a", "<eos>"}) {
      v.pieces.push_back(text);
      v.types.push_back(text[0] == '<' ? 3 : 1);
    }
  });
  ASSERT_TRUE(p.blob) << p.message;
  ASSERT_EQ(p.warnings.size(), 1u);
  EXPECT_TRUE(has(p.warnings[0], {"2 pieces", "lowest id"}));
  auto *head = reinterpret_cast<const gm_tok_header *>(p.blob->data());
  EXPECT_EQ(head->pieces, 266u);
  EXPECT_EQ(head->added, 3u);
  EXPECT_EQ(head->named[1], 1u); // <eos>
}

TEST(GgufTokenizer, Refusals) {
  struct {
    std::function<void(GgufBuilder &, Vocabulary &)> change;
    std::vector<const char *> words;
  } const cases[] = {
      {[](auto &, auto &v) { v.types.pop_back(); },
       {"token_type", "array of 264"}},
      {[](auto &, auto &v) { v.types[3] = 9; }, {"token_type[3]", "got 9"}},
      {[](auto &, auto &v) { v.merges[1] = "\n\n"; },
       {"tokenizer.ggml.merges: merge 1", "left right"}},
      {[](auto &, auto &v) { v.merges[1] = "a z"; },
       {"merge 1", "\"z\"", "not in the vocabulary"}},
      {[](auto &, auto &v) { v.merges.push_back("a b"); },
       {"merges 0 and 2", "same pair"}},
      {[](auto &, auto &v) { v.merges[1] = "<0x41> b"; },
       {"byte token", "cannot merge"}},
      {[](auto &, auto &v) { v.pieces[20] = "x"; },
       {"all 256 byte tokens", "<0x0C>"}},
      {[](auto &, auto &v) { v.pieces[3] = "\xff"; }, {"tokens[3]", "UTF-8"}},
      {[](auto &, auto &v) { v.pieces[3] = "\xed\xa0\x80"; },
       {"tokens[3]", "UTF-8"}},
      {[](auto &, auto &v) { v.pieces[0] = ""; },
       {"tokens[0]", "special token"}},
  };
  for (const auto &c : cases) {
    Packed p = pack(c.change);
    EXPECT_EQ(p.code, 3) << p.message;
    for (const char *word : c.words)
      EXPECT_TRUE(has(p.message, {"m.gguf: ", word}));
  }
  Packed p = pack([](auto &, auto &) {}, 300);
  EXPECT_TRUE(has(p.message, {"300 pieces", "264"}));
}

} // namespace
