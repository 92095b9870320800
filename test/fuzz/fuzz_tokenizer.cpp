// A text that starts with '{' as a tokenizer.json: what is accepted must encode
// and decode. Anything else as damage to a good packed tokenizer (triples of
// offset and byte) and as a whole blob: opening may fail, using what opened
// must not read outside it.
#include "compiler/importer/AddedTokens.h"
#include "compiler/importer/Tokenizer.h"
#include "runtime/app/tokenizer.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace gemmac;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

constexpr std::string_view probe =
    "<|turn>a abc\n\n\n\nabcabc aabb日本a 😀é<bos> de\x01 <0x41>\xFF\xE5";

void use(const gm::Tokenizer &tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, true, ids);
  std::vector<int32_t> pieces;
  gm::StreamEncoder encoder(tokenizer, true, 16);
  encoder.push(text.substr(0, text.size() / 2), pieces);
  encoder.push(text.substr(text.size() / 2), pieces);
  encoder.finish(pieces);
  tokenizer.encode(text, false, ids);
  gm::StreamDecoder stream(tokenizer, true);
  std::string out;
  for (int32_t id : ids) {
    require(static_cast<uint32_t>(id) < tokenizer.vocab());
    stream.push(id, out);
  }
  stream.flush(out);
  tokenizer.decode(ids.data(), ids.size(), false);
  for (int name = 0; name < GM_TOK_NAMED; ++name)
    tokenizer.piece(tokenizer.named(static_cast<gm_tok_name>(name)));
}

// Pieces a..h, U+2581 and the byte tokens; some merges; <bos> and <|turn>.
std::string goodJson() {
  std::string vocab = "\"<bos>\":0,\"<|turn>\":1", merges;
  int next = 2;
  auto piece = [&](const std::string &text) {
    vocab += ",\"" + text + "\":" + std::to_string(next++);
  };
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    piece(text);
  }
  for (const char *text : {"a", "b", "c", "d", "e", "\u2581", "日", "ab", "bc",
                           "abc", "aa", "\u2581a", "日a"})
    piece(text);
  for (const char *text :
       {"a b", "b c", "ab c", "a bc", "a a", "\u2581 a", "日 a"})
    merges += (merges.empty() ? "\"" : ",\"") + std::string(text) + "\"";
  return "{\"added_tokens\":[{\"id\":0,\"content\":\"<bos>\",\"special\":true},"
         "{\"id\":1,\"content\":\"<|turn>\",\"special\":true}],"
         "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
         "\"content\":\"\u2581\"},\"decoder\":{\"type\":\"Sequence\","
         "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
         "\"\u2581\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
         "\"Fuse\"}]},\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,"
         "\"vocab\":{" +
         vocab + "},\"merges\":[" + merges + "]}}";
}

const std::vector<uint8_t> &goodBlob() {
  static const std::vector<uint8_t> blob = [] {
    std::vector<std::string> warnings;
    auto packed = packTokenizerText(goodJson(), "good", 271, warnings);
    if (!packed)
      std::fprintf(stderr, "%s\n", packed.error().message.c_str());
    require(bool(packed));
    return std::move(packed->blob);
  }();
  return blob;
}

void asJson(std::string_view text) {
  std::vector<std::string> warnings;
  auto packed = packTokenizerText(text, "tokenizer.json", 1024, warnings);
  if (!packed) {
    require(packed.error().message.size() < 4000);
    return;
  }
  const std::vector<uint8_t> &blob = packed->blob;
  require(packed->vocabulary.pieces <= 1024);
  gm::Tokenizer tokenizer;
  require(tokenizer.open(blob.data(), blob.size()).empty());
  use(tokenizer, probe);
  use(tokenizer, text.substr(0, 2000));
  // Every piece decodes to something that is UTF-8.
  for (uint32_t id = 0; id < tokenizer.vocab(); ++id) {
    int32_t one = static_cast<int32_t>(id);
    std::string shown = tokenizer.decode(&one, 1, true);
    require(gm::first_bad_utf8(shown) == shown.size());
  }
}

// The text as each of the files beside a tokenizer.json.
void asOtherFile(std::string_view text) {
  auto tokens = reading("t", [&] {
    const Json root = orFail(parseJson(text, "t"));
    return readAddedTokens(member(root, "added_tokens"), {root, root, root},
                           NamedFile{"t"});
  });
  if (!tokens)
    return require(tokens.error().message.size() < 4000);
  for (const AddedToken &token : *tokens)
    require(!token.text.empty() && (token.flags & GM_TOK_ADDED));
}

void open(const uint8_t *data, size_t size, std::string_view text) {
  // An allocation of its own, so that the sanitizer sees its end.
  uint8_t *copy = static_cast<uint8_t *>(std::malloc(size ? size : 1));
  if (size)
    std::memcpy(copy, data, size);
  gm::Tokenizer tokenizer;
  if (tokenizer.open(copy, size).empty())
    use(tokenizer, text);
  std::free(copy);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  if (text.starts_with('{')) {
    asJson(text);
    asOtherFile(text);
    return 0;
  }
  open(data, size, probe);
  std::vector<uint8_t> damaged = goodBlob();
  for (size_t i = 0; i + 4 <= size; i += 4) {
    size_t at = data[i] | data[i + 1] << 8 | data[i + 2] << 16;
    // Every fourth edit in the header, where most meaning is.
    at %= i % 16 ? damaged.size() : sizeof(gm_tok_header);
    damaged[at] = data[i + 3];
  }
  open(damaged.data(), damaged.size(), probe);
  open(goodBlob().data(), goodBlob().size(), text);
  return 0;
}
