// The tokenizer against ids and texts of the PyPI package `tokenizers`
// (test/tools/make_tokenizer_cases.py), its streaming decoder, damaged blobs
// and long texts; the true vocabulary where GEMMAC_GOLDEN is given.
#include "test/runtime/tokenizer_cases.h"

#include "runtime/abi.h"
#include "test/compiler/importer/TestFiles.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>

using cases::Packed;
using Ids = std::vector<int32_t>;

namespace {

const Packed &nano() {
  static Packed packed(cases::nanoJson(), cases::nanoVocab);
  return packed;
}

const Packed &synthetic() {
  static Packed packed(cases::syntheticJson(), cases::syntheticVocab);
  return packed;
}

// All ids one by one; every piece of output must be whole characters.
std::string stream(const Packed &packed, const Ids &ids, bool specials) {
  gm::StreamDecoder decoder(packed.tokenizer, specials);
  std::string all;
  for (int32_t id : ids) {
    std::string out;
    decoder.push(id, out);
    EXPECT_EQ(gm::first_bad_utf8(out), out.size());
    all += out;
  }
  decoder.flush(all);
  return all;
}

void checkCases(const Packed &packed, const std::string &file) {
  for (const nlohmann::json &c :
       cases::readLines(cases::sourcePath("test/Inputs/tokenizer/" + file))) {
    Ids ids = c["ids"].get<Ids>();
    if (c.contains("text")) {
      std::string text = c["text"];
      EXPECT_EQ(packed.encode(text, true), ids) << c["text"];
      EXPECT_EQ(packed.encode(text, false), c["plain"].get<Ids>()) << c["text"];
      EXPECT_EQ(gm::first_bad_utf8(text), text.size());
    }
    std::string shown = packed.decode(ids, true);
    EXPECT_EQ(shown, c["shown"].get<std::string>()) << c["ids"];
    EXPECT_EQ(packed.decode(ids, false), c["hidden"].get<std::string>())
        << c["ids"];
    std::string streamed = stream(packed, ids, true);
    if (shown.find("\uFFFD") == shown.npos)
      EXPECT_EQ(streamed, shown) << c["ids"];
  }
}

TEST(Tokenizer, NanoCases) { checkCases(nano(), "nano.jsonl"); }

// Added tokens of every kind and in every file, as transformers takes them
// (test/tools/make_added_token_cases.py).
TEST(Tokenizer, AddedTokenCases) {
  gemmac::test::TemporaryFolder folder;
  const auto tokenizer = nlohmann::json::parse(cases::nanoJson());
  for (const nlohmann::json &c : cases::readLines(
           cases::sourcePath("test/Inputs/tokenizer/added.jsonl"))) {
    SCOPED_TRACE(c["added"].dump() + c["files"].dump());
    auto own = tokenizer;
    nlohmann::json &added = own["added_tokens"];
    for (const nlohmann::json &token : c["added"])
      std::erase_if(added.get_ref<nlohmann::json::array_t &>(),
                    [&](const nlohmann::json &other) {
                      return other["content"] == token["content"];
                    });
    added.insert(added.end(), c["added"].begin(), c["added"].end());
    std::filesystem::remove_all(folder.path);
    std::filesystem::create_directory(folder.path);
    std::filesystem::copy(
        cases::sourcePath("examples/nano-e/tokenizer_config.json"),
        folder.path);
    gemmac::test::writeText(folder.file("tokenizer.json"), own.dump());
    for (const auto &[name, value] : c["files"].items())
      if (value.is_null())
        std::filesystem::remove(folder.file(name));
      else
        gemmac::test::writeText(folder.file(name), value.dump());
    std::vector<std::string> warnings;
    auto packed = gemmac::packTokenizer(folder.path, 2112, warnings);
    ASSERT_TRUE(packed && *packed)
        << (packed ? "none" : packed.error().message);
    const std::vector<uint8_t> &blob = (*packed)->blob;
    gm::Tokenizer t;
    ASSERT_EQ(t.open(blob.data(), blob.size()), "");
    for (const nlohmann::json &line : c["texts"]) {
      std::string text = line[0];
      Ids ids, plain;
      t.encode(text, true, ids);
      t.encode(text, false, plain);
      EXPECT_EQ(ids, line[1].get<Ids>()) << line[0];
      EXPECT_EQ(plain, line[2].get<Ids>()) << line[0];
      EXPECT_EQ(t.decode(ids.data(), ids.size(), true),
                line[3].get<std::string>());
    }
  }
}

// Control tokens of a prompt that are found in normalised text.
TEST(Tokenizer, NormalizedControlTokens) {
  auto json = nlohmann::json::parse(cases::nanoJson());
  for (nlohmann::json &token : json["added_tokens"])
    token["normalized"] = token["content"] != "<turn|>";
  Packed packed(json.dump(), cases::nanoVocab);
  gm::Prompt prompt;
  prompt.text = "<|turn>user\n a  b <|turn><turn|> c<turn|>";
  prompt.controls = {0, prompt.text.size() - 7};
  Ids ids, expected;
  packed.tokenizer.encode(prompt, false, ids);
  nano().tokenizer.encode(prompt, false, expected);
  EXPECT_EQ(ids, expected);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 46), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 47), 1);
}

TEST(Tokenizer, SyntheticCases) { checkCases(synthetic(), "synthetic.jsonl"); }

// In pieces of 1 to `most` bytes.
Ids encodeInPieces(const Packed &packed, std::string_view text, bool specials,
                   size_t most, std::mt19937 &random, size_t longWord) {
  gm::StreamEncoder encoder(packed.tokenizer, specials, longWord);
  Ids ids;
  while (!text.empty()) {
    size_t bytes = std::min<size_t>(text.size(), 1 + random() % most);
    encoder.push(text.substr(0, bytes), ids);
    text.remove_prefix(bytes);
  }
  encoder.finish(ids);
  return ids;
}

TEST(StreamEncoder, PiecesGiveTheIdsOfTheWhole) {
  std::mt19937 random(3);
  for (auto [packed, file] : {std::pair(&nano(), "nano.jsonl"),
                              std::pair(&synthetic(), "synthetic.jsonl")})
    for (const nlohmann::json &c : cases::readLines(
             cases::sourcePath(std::string("test/Inputs/tokenizer/") + file)))
      if (c.contains("text"))
        for (size_t most : {1, 3, 40})
          for (bool specials : {false, true}) {
            std::string text = c["text"];
            EXPECT_EQ(encodeInPieces(*packed, text, specials, most, random,
                                     gm::Tokenizer::LONG_WORD),
                      packed->encode(text, specials))
                << c["text"];
          }
}

// One encoder, several texts: none joins the one before.
TEST(StreamEncoder, TextAfterText) {
  gm::StreamEncoder encoder(nano().tokenizer, true);
  for (std::string text : {"one", "", "two <|turn>", "three"}) {
    Ids ids;
    encoder.push(text, ids);
    encoder.finish(ids);
    EXPECT_EQ(ids, nano().encode(text, true)) << text;
  }
}

// Merged in parts or as a whole; the texts have no place where words end, so
// that every token can depend on all before it.
TEST(StreamEncoder, LongWords) {
  std::mt19937 random(4);
  for (std::string_view letters :
       {"a", "ab", "aab", "e", "=", " ", "the", "thein", "abcdefghijklmnop",
        "ea", "-_", "0", "\n", "\xC3\xA9", "\xE6\x97\xA5\xE6\x9C\xAC"})
    for (size_t repeat : {1, 0}) {
      std::string text;
      while (text.size() < 20000)
        text += repeat || letters.size() < 2 || (letters[0] & 0x80)
                    ? std::string(letters)
                    : std::string(1, letters[random() % letters.size()]);
      for (const Packed *packed : {&nano(), &synthetic()}) {
        const Ids whole =
            encodeInPieces(*packed, text, true, 5000, random, size_t(1) << 31);
        EXPECT_EQ(packed->encode(text, true), whole);
        for (size_t longWord : {256, 1000, 4096})
          EXPECT_EQ(encodeInPieces(*packed, text, true, 700, random, longWord),
                    whole)
              << letters << ' ' << longWord;
      }
    }
}

TEST(Tokenizer, NamedTokens) {
  EXPECT_EQ(nano().tokenizer.vocab(), 2048u);
  EXPECT_EQ(nano().tokenizer.named(GM_TOK_BOS), 2);
  EXPECT_EQ(nano().tokenizer.named(GM_TOK_TURN_OPEN), 46);
  EXPECT_EQ(nano().tokenizer.named(GM_TOK_VIDEO), 2047);
  EXPECT_EQ(nano().tokenizer.named(GM_TOK_QUOTE), 42);
  EXPECT_EQ(synthetic().tokenizer.named(GM_TOK_VIDEO), -1);
  EXPECT_EQ(nano().tokenizer.piece(46), "<|turn>");
  EXPECT_EQ(nano().tokenizer.flags(46), GM_TOK_ADDED | GM_TOK_SPECIAL);
  EXPECT_EQ(nano().tokenizer.piece(-1), "");
  EXPECT_EQ(nano().tokenizer.piece(2048), "");
}

TEST(Tokenizer, FindsTheFirstByteThatIsNotUtf8) {
  auto bad = [](std::string_view text) { return gm::first_bad_utf8(text); };
  EXPECT_EQ(bad(""), 0u);
  EXPECT_EQ(bad("añ日😀\U0010FFFF"), 14u);
  EXPECT_EQ(bad("ab\xFF"), 2u);
  EXPECT_EQ(bad("a\x80"), 1u);
  EXPECT_EQ(bad("a\xC3"), 1u);            // cut
  EXPECT_EQ(bad("a\xC3x"), 1u);           // not continued
  EXPECT_EQ(bad("\xC1\x81"), 0u);         // overlong
  EXPECT_EQ(bad("\xE0\x9F\xBF"), 0u);     // overlong
  EXPECT_EQ(bad("\xF0\x8F\xBF\xBF"), 0u); // overlong
  EXPECT_EQ(bad("ok\xED\xA0\x80"), 2u);   // surrogate
  EXPECT_EQ(bad("\xF4\x90\x80\x80"), 0u); // above U+10FFFF
  EXPECT_EQ(bad("\xF5\x80\x80\x80"), 0u);
  EXPECT_EQ(bad(std::string_view("a\0b", 3)), 3u);
}

// Invalid input is the caller's mistake, but no crash.
TEST(Tokenizer, AnyBytesEncode) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 40, ' ');
    for (char &c : text)
      c = static_cast<char>(random());
    for (int32_t id : nano().encode(text, true))
      ASSERT_LT(static_cast<uint32_t>(id), nano().tokenizer.vocab());
  }
}

TEST(StreamDecoder, KeepsHalfCharacters) {
  auto byte = [](int b) {
    for (int32_t id = 0; id < 2048; ++id) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", b);
      if (nano().tokenizer.piece(id) == text)
        return id;
    }
    return -1;
  };
  gm::StreamDecoder decoder(nano().tokenizer, true);
  auto push = [&](int32_t id) {
    std::string out;
    decoder.push(id, out);
    return out;
  };
  int32_t a = nano().encode("a", false)[0];
  EXPECT_EQ(push(byte(0xF0)), "");
  EXPECT_EQ(push(byte(0x9F)), "");
  EXPECT_EQ(push(byte(0x98)), "");
  EXPECT_EQ(push(byte(0x80)), "😀");
  EXPECT_EQ(push(byte(0xE5)), "");
  EXPECT_EQ(push(a), "\uFFFDa"); // a piece ends the run
  EXPECT_EQ(push(byte(0xFF)), "\uFFFD");
  EXPECT_EQ(push(byte(0x41)), "\uFFFD"); // the run is broken to its end
  EXPECT_EQ(push(a), "a");
  EXPECT_EQ(push(byte(0x41)), "A");
  EXPECT_EQ(push(byte(0xE5)), "");
  EXPECT_EQ(push(byte(0x8F)), "");
  std::string rest;
  decoder.flush(rest);
  EXPECT_EQ(rest, "\uFFFD\uFFFD");
  rest.clear();
  decoder.flush(rest);
  EXPECT_EQ(rest, "");
}

TEST(StreamDecoder, HiddenTokensDoNotEndARun) {
  Ids smile = nano().encode("\U0001F9FF", false); // bytes in this vocabulary
  ASSERT_EQ(smile.size(), 4u);
  smile.insert(smile.begin() + 2, nano().tokenizer.named(GM_TOK_TURN_CLOSE));
  EXPECT_EQ(stream(nano(), smile, false), "\U0001F9FF");
  EXPECT_EQ(nano().decode(smile, false), "\U0001F9FF");
  EXPECT_EQ(stream(nano(), smile, true), "\uFFFD\uFFFD<turn|>\uFFFD\uFFFD");
}

// Time of texts that are one word must not grow with the square.
TEST(Tokenizer, LongTextsTakeLinearTime) {
  std::mt19937 random(2);
  std::string letters;
  for (int i = 0; i < 2'000'000; ++i)
    letters += static_cast<char>('a' + random() % 5);
  for (const std::string &text :
       {std::string(2'000'000, 'a'), std::string(2'000'000, ' '),
        std::string(2'000'000, '\n'), letters}) {
    auto start = std::chrono::steady_clock::now();
    Ids ids = synthetic().encode(text, true);
    EXPECT_EQ(synthetic().decode(ids, true), text);
    std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 20) << text.substr(0, 5);
  }
}

//===----------------------------------------------------------------------===//
// Damaged blobs
//===----------------------------------------------------------------------===//

// A copy at an aligned address whose end is the end of an allocation.
std::string openError(const std::vector<uint8_t> &blob, gm::Tokenizer &out) {
  return out.open(blob.data(), blob.size());
}

TEST(Blob, RejectsDamagedHeaders) {
  gm::Tokenizer t;
  const std::vector<uint8_t> &good = synthetic().blob;
  for (size_t bytes : {size_t(0), size_t(1), sizeof(gm_tok_header) - 1,
                       sizeof(gm_tok_header), good.size() - 1}) {
    std::vector<uint8_t> cut(good.begin(), good.begin() + bytes);
    EXPECT_NE(openError(cut, t), "") << bytes;
  }
  struct Field {
    const char *name;
    size_t at, size;
  };
#define FIELD(name)                                                            \
  {                                                                            \
    #name, offsetof(gm_tok_header, name), sizeof(gm_tok_header::name)          \
  }
  const Field fields[] = {
      FIELD(magic),       FIELD(version),  FIELD(bytes),
      FIELD(pieces),      FIELD(added),    FIELD(buckets),
      FIELD(slots),       FIELD(blocks),   FIELD(piece_start),
      FIELD(piece_flags), FIELD(text),     FIELD(text_bytes),
      FIELD(displace),    FIELD(merges),   FIELD(block_of),
      FIELD(code_points), FIELD(byte_ids), FIELD(added_ids),
      FIELD(added_first), FIELD(bridge)};
#undef FIELD
  for (const Field &field : fields) {
    std::vector<uint8_t> bad = good;
    for (size_t i = 0; i < field.size; ++i)
      bad[field.at + i] = 0xFF;
    EXPECT_NE(openError(bad, t), "") << field.name;
  }
  std::vector<uint8_t> other = good;
  reinterpret_cast<gm_tok_header *>(other.data())->version = GM_ABI + 1;
  EXPECT_NE(openError(other, t).find("version"), std::string::npos);
  for (uint32_t shift : {0u, 15u, 16u, 59u, 64u}) {
    other = good;
    reinterpret_cast<gm_tok_header *>(other.data())->bridge_shift = shift;
    EXPECT_NE(openError(other, t), "") << shift;
  }
}

// Bytes flipped inside the tables give wrong ids at worst (run this with the
// address sanitizer).
TEST(Blob, SurvivesDamagedTables) {
  std::mt19937 random(3);
  const std::string text = "<|turn>a abc\n\n\nabcabc日本a 😀é<bos> de\x01";
  for (int round = 0; round < 300; ++round) {
    std::vector<uint8_t> bad = synthetic().blob;
    size_t flips = 1 + random() % 2000;
    for (size_t i = 0; i < flips; ++i)
      bad[sizeof(gm_tok_header) +
          random() % (bad.size() - sizeof(gm_tok_header))] =
          static_cast<uint8_t>(random());
    gm::Tokenizer t;
    if (!t.open(bad.data(), bad.size()).empty())
      continue;
    Ids ids;
    t.encode(text, true, ids);
    t.encode(text, false, ids);
    for (int32_t id : ids)
      ASSERT_LT(static_cast<uint32_t>(id), t.vocab());
    for (int32_t id = 0; id < static_cast<int32_t>(t.vocab()); ++id)
      t.decode(&id, 1, true);
    t.decode(ids.data(), ids.size(), false);
  }
}

//===----------------------------------------------------------------------===//
// The true vocabulary
//===----------------------------------------------------------------------===//

std::string golden(const std::string &path) {
  return std::string(cases::goldenFolder()) + "/tokenizer/" + path;
}

const Packed &real() {
  static const Packed *packed = [] {
    std::string command =
        "python3 -c 'import lzma,sys; "
        "sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())' '" +
        golden("real/tokenizer.json.xz") + "'";
    std::string json;
    FILE *pipe = popen(command.c_str(), "r");
    std::vector<char> buffer(1 << 20);
    while (size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
      json.append(buffer.data(), n);
    EXPECT_EQ(pclose(pipe), 0);
    auto start = std::chrono::steady_clock::now();
    auto *made = new Packed(json, 262144);
    std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    std::printf("packed %zu bytes in %.2f s\n", made->blob.size(),
                took.count());
    return made;
  }();
  return *packed;
}

TEST(TrueVocabulary, Cases) {
  SKIP_WITHOUT_GOLDEN();
  for (const nlohmann::json &c : cases::readLines(golden("real/cases.jsonl"))) {
    Ids ids = c["ids"].get<Ids>();
    EXPECT_EQ(real().encode(c["text"].get<std::string>(), true), ids);
    EXPECT_EQ(real().decode(ids, true), c["decoded"].get<std::string>());
    EXPECT_EQ(stream(real(), ids, true), c["decoded"].get<std::string>());
  }
}

TEST(TrueVocabulary, LlamaCases) {
  SKIP_WITHOUT_GOLDEN();
  std::string inputs = cases::readAll(golden("real/llama.inp"));
  std::stringstream outputs(cases::readAll(golden("real/llama.out")));
  const std::string separator = "\n__ggml_vocab_test__\n";
  int count = 0;
  for (std::string line; std::getline(outputs, line); ++count) {
    std::stringstream numbers(line);
    Ids ids;
    for (int32_t id; numbers >> id;)
      ids.push_back(id);
    size_t end = inputs.find(separator);
    EXPECT_EQ(real().encode(inputs.substr(0, end), true), ids) << count;
    inputs.erase(0, end == inputs.npos ? end : end + separator.size());
  }
  EXPECT_EQ(count, 46);
}

TEST(TrueVocabulary, CorpusAndDecodeGoldens) {
  SKIP_WITHOUT_GOLDEN();
  auto corpus =
      nlohmann::json::parse(cases::readAll(golden("corpus_goldens.json")));
  EXPECT_EQ(corpus.size(), 21u);
  for (const nlohmann::json &c : corpus) {
    Ids ids = c["ids"].get<Ids>();
    EXPECT_EQ(real().encode(c["text"].get<std::string>(), true), ids)
        << c["id"];
    EXPECT_EQ(real().decode(ids, false), c["decoded"].get<std::string>())
        << c["id"];
    for (size_t i = 0; i < ids.size(); ++i)
      EXPECT_EQ(real().tokenizer.piece(ids[i]),
                c["tokens"][i].get<std::string>())
          << c["id"];
  }
  for (const nlohmann::json &c :
       nlohmann::json::parse(cases::readAll(golden("decode_goldens.json"))))
    EXPECT_EQ(real().decode(c["ids"].get<Ids>(), true),
              c["decoded"].get<std::string>())
        << c["id"];
}

} // namespace
