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
struct Pieces {
  std::vector<std::string> pieces = {"<pad>", "<eos>", "<bos>", "a",
                                     "b",     "ab",    "\n",    "\n\n"};
  std::vector<int64_t> types = {3, 3, 3, 1, 1, 1, 1, 1};
  std::vector<std::string> merges = {"a b", "\n \n"};
  Pieces() {
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
  Vocabulary vocabulary;
  int code = 0;
  std::string message = "accepted";
  std::vector<std::string> warnings;
};

template <typename Change>
Packed pack(Change change, int64_t vocab = -1) {
  GgufBuilder b;
  Pieces v;
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
  if (blob && *blob) {
    packed.blob = (*blob)->blob;
    packed.vocabulary = (*blob)->vocabulary;
  } else if (blob)
    return packed;
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
    EXPECT_TRUE((*fromGguf)->blob == (*fromJson)->blob);
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
    std::function<void(GgufBuilder &, Pieces &)> change;
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
  Packed p = pack([](auto &, auto &) {}, 200);
  EXPECT_TRUE(has(p.message, {"at most 200 pieces", "264"}));
}

// Rows behind the vocabulary, with and without pieces for them.
TEST(GgufTokenizer, Padding) {
  Packed p = pack([](auto &, auto &) {}, 300);
  EXPECT_EQ(p.vocabulary.pieces, 264);
  p = pack(
      [](auto &, auto &v) {
        for (int id = 264; id < 300; ++id) {
          v.pieces.push_back("[PAD" + std::to_string(id) + "]");
          v.types.push_back(5);
        }
      },
      300);
  EXPECT_EQ(p.vocabulary.pieces, 264);
  EXPECT_TRUE(p.vocabulary.unused.empty());
  // Between tokens, too; other unused pieces are tokens.
  p = pack([](auto &, auto &v) {
    for (const char *text : {"[PAD264]", "<unused0>", "z"}) {
      v.pieces.push_back(text);
      v.types.push_back(*text == 'z' ? 1 : 5);
    }
  });
  EXPECT_EQ(p.vocabulary.pieces, 267);
  EXPECT_EQ(p.vocabulary.unused, std::vector<int64_t>{264});
  // Added tokens that the model has no row for.
  p = pack(
      [](auto &, auto &v) {
        for (const char *text : {"<x>", "<y>"}) {
          v.pieces.push_back(text);
          v.types.push_back(4);
        }
      },
      265);
  EXPECT_EQ(p.vocabulary.pieces, 265);
  EXPECT_EQ(p.vocabulary.beyond, 1);
}

TEST(GgufTokenizer, TemplatesByName) {
  struct {
    std::vector<const char *> keys; // and values of that name
    const char *place;
  } const cases[] = {
      {{}, ""},
      {{""}, "tokenizer.chat_template"},
      {{".default", ".tool_use"}, "tokenizer.chat_template, \"default\""},
      {{".tool_use", ".rag"}, "\"rag\""},
      {{"", ".tool_use"}, "tokenizer.chat_template"},
  };
  for (const auto &c : cases) {
    GgufBuilder b;
    for (const char *key : c.keys)
      b.string(std::string("tokenizer.chat_template") + key, "x");
    std::string file = b.file();
    Result<GgufHeader> header = parseGguf(file, "m.gguf");
    std::vector<std::string> warnings;
    auto found = readGgufChatTemplate(*header, "m.gguf", true, warnings);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_TRUE(has(found->place, {c.place}));
    EXPECT_EQ(found->protocol,
              *c.place ? ChatProtocol::Small : ChatProtocol::None);
  }
}

} // namespace
