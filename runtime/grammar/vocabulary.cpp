// See vocabulary.h.
#include "runtime/grammar/vocabulary.h"

#include <algorithm>
#include <charconv>

namespace gm::grammar {

namespace {

bool append_piece(const Tokenizer &tokenizer, int32_t id, std::string &out) {
  if (id < 0 || uint32_t(id) >= tokenizer.vocab())
    return true;
  const uint8_t flags = tokenizer.flags(id);
  const std::string_view piece = tokenizer.piece(id);
  if (flags & GM_TOK_SPECIAL)
    return false;
  if (flags & GM_TOK_BYTE) { // <0xHH>
    unsigned byte = 0;
    if (piece.size() == 6)
      std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
    out += char(byte);
    return true;
  }
  for (size_t i = 0; i < piece.size();) {
    if (piece.substr(i, 3) == "\u2581")
      out += ' ', i += 3;
    else
      out += piece[i++];
  }
  return true;
}

} // namespace

Vocabulary::Vocabulary(const Tokenizer &tokenizer, int64_t vocab)
    : Vocabulary(
          [&tokenizer](int32_t id, std::string &bytes) {
            return append_piece(tokenizer, id, bytes);
          },
          vocab) {}

Vocabulary::Vocabulary(Source given, int64_t vocab)
    : source(std::move(given)), vocab(vocab) {
  std::string text;
  struct Entry {
    uint32_t at, size;
    int32_t id;
  };
  std::vector<Entry> entries;
  entries.reserve(size_t(vocab));
  for (int32_t id = 0; id < vocab; ++id) {
    const size_t at = text.size();
    append_bytes(id, text);
    const size_t size = text.size() - at;
    if (size && size <= kLongest)
      entries.push_back({uint32_t(at), uint32_t(size), id});
  }
  auto of = [&](const Entry &e) {
    return std::string_view(text).substr(e.at, e.size);
  };
  std::sort(entries.begin(), entries.end(),
            [&](const Entry &a, const Entry &b) {
              int order = of(a).compare(of(b));
              return order ? order < 0 : a.id < b.id;
            });
  std::vector<uint32_t> path; // nodes from the root
  std::string_view before;
  for (const Entry &e : entries) {
    const std::string_view bytes = of(e);
    size_t same = 0;
    while (same < before.size() && same < bytes.size() &&
           before[same] == bytes[same])
      ++same;
    while (path.size() > same) {
      nodes[path.back()].end = uint32_t(nodes.size());
      path.pop_back();
    }
    for (size_t i = same; i < bytes.size(); ++i) {
      path.push_back(uint32_t(nodes.size()));
      nodes.push_back(
          {0, uint32_t(tokens.size()), uint8_t(bytes[i]), uint8_t(i)});
    }
    tokens.push_back(e.id);
    most = std::max(most, bytes.size());
    before = bytes;
  }
  for (uint32_t n : path)
    nodes[n].end = uint32_t(nodes.size());
  nodes.push_back({uint32_t(nodes.size() + 1), uint32_t(tokens.size()), 0, 0});
  nodes.shrink_to_fit();
}

} // namespace gm::grammar
