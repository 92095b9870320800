// The tables of the packed tokenizer: perfect hash of the merges (hash and
// displace), code point blocks, added tokens in search order, bridge filter.
// Must not know files.
#include "compiler/importer/TokenizerPack.h"

#include "runtime/abi.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <numeric>

namespace gemmac {
namespace {

// Texts of gm_tok_name, in its order.
constexpr std::string_view namedTexts[] = {"<pad>",
                                           "<eos>",
                                           "<bos>",
                                           "<unk>",
                                           "<|turn>",
                                           "<turn|>",
                                           "<|channel>",
                                           "<channel|>",
                                           "<|think|>",
                                           "<|tool>",
                                           "<tool|>",
                                           "<|tool_call>",
                                           "<tool_call|>",
                                           "<|tool_response>",
                                           "<tool_response|>",
                                           "<|\"|>",
                                           "<|image>",
                                           "<image|>",
                                           "<|image|>",
                                           "<|audio>",
                                           "<audio|>",
                                           "<|audio|>",
                                           "<|video|>"};
static_assert(std::size(namedTexts) == GM_TOK_NAMED);

// The first character of a non-empty valid UTF-8 text and its length.
uint32_t firstChar(std::string_view text, size_t &length) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t first = byte(0);
  length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  uint32_t code = length == 1 ? first : first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i)
    code = code << 6 | (byte(i) & 0x3F);
  return code;
}

uint32_t lastChar(std::string_view text) {
  size_t at = text.size() - 1, length;
  while ((text[at] & 0xC0) == 0x80)
    --at;
  return firstChar(text.substr(at), length);
}

// The one-character pieces, by code point.
struct CodePoints {
  std::vector<uint16_t> blockOf = std::vector<uint16_t>(0x1100, 0);
  std::vector<uint32_t> ids = std::vector<uint32_t>(256, GM_TOK_NONE);

  void set(uint32_t code, uint32_t id) {
    uint16_t &block = blockOf[code >> 8];
    if (!block) {
      block = static_cast<uint16_t>(ids.size() / 256);
      ids.resize(ids.size() + 256, GM_TOK_NONE);
    }
    ids[block * 256 + (code & 255)] = id;
  }
  uint32_t get(uint32_t code) const {
    return ids[blockOf[code >> 8] * 256 + (code & 255)];
  }
};

CodePoints collectCodePoints(const TokenizerModel &model) {
  CodePoints points;
  for (uint32_t id = 0; id < model.pieces.size(); ++id) {
    std::string_view piece = model.pieces[id];
    size_t length;
    if (piece.empty() || !model.inModel[id])
      continue;
    uint32_t code = firstChar(piece, length);
    if (length == piece.size())
      points.set(code, id);
  }
  return points;
}

struct MergeHash {
  uint64_t seed;
  std::vector<uint32_t> displace;
  std::vector<gm_tok_merge> slots;
};

// One try with `hash.seed`: buckets in falling size look for a displacement
// that puts all their pairs into free slots. False if a bucket finds none.
bool placeBuckets(const std::vector<gm_tok_merge> &merges,
                  const std::vector<uint64_t> &hashes,
                  const std::vector<uint32_t> &bucketStart,
                  const std::vector<uint32_t> &members, MergeHash &hash) {
  constexpr uint32_t mostTries = 1 << 20;
  uint32_t buckets = static_cast<uint32_t>(bucketStart.size() - 1);
  std::vector<uint32_t> order(buckets);
  std::iota(order.begin(), order.end(), 0);
  auto sizeOf = [&](uint32_t b) { return bucketStart[b + 1] - bucketStart[b]; };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return sizeOf(a) != sizeOf(b) ? sizeOf(a) > sizeOf(b) : a < b;
  });

  uint32_t slots = static_cast<uint32_t>(hash.slots.size());
  std::vector<bool> used(slots, false);
  std::vector<uint32_t> places;
  for (uint32_t bucket : order) {
    const uint32_t *begin = members.data() + bucketStart[bucket];
    const uint32_t *end = members.data() + bucketStart[bucket + 1];
    bool placed = begin == end;
    for (uint32_t d = 0; !placed && d < mostTries; ++d) {
      places.clear();
      placed = true;
      for (const uint32_t *m = begin; m != end && placed; ++m) {
        uint32_t slot = gm_tok_slot(hashes[*m], d, slots);
        placed = !used[slot] &&
                 std::find(places.begin(), places.end(), slot) == places.end();
        places.push_back(slot);
      }
      hash.displace[bucket] = d;
    }
    if (!placed)
      return false;
    for (const uint32_t *m = begin; m != end; ++m) {
      hash.slots[places[m - begin]] = merges[*m];
      used[places[m - begin]] = true;
    }
  }
  return true;
}

MergeHash hashMerges(const TokenizerModel &model, const NamedFile &file) {
  const std::vector<gm_tok_merge> &merges = model.merges;
  size_t count = merges.size();
  uint32_t buckets = static_cast<uint32_t>(count / 4 + 1);
  std::vector<uint64_t> hashes(count);
  for (uint64_t seed = 0x67656D6D61; seed < 0x67656D6D61 + 16; ++seed) {
    std::vector<uint32_t> start(buckets + 1, 0), members(count);
    for (size_t i = 0; i < count; ++i) {
      hashes[i] = gm_tok_pair_hash(seed, merges[i].left, merges[i].right);
      ++start[gm_tok_reduce(hashes[i], buckets) + 1];
    }
    std::partial_sum(start.begin(), start.end(), start.begin());
    std::vector<uint32_t> fill(start.begin(), start.end() - 1);
    for (uint32_t i = 0; i < count; ++i)
      members[fill[gm_tok_reduce(hashes[i], buckets)]++] = i;
    // Different pairs have different hashes, so equal ones are the same pair.
    for (uint32_t b = 0; b < buckets; ++b) {
      auto from = members.begin() + start[b],
           to = members.begin() + start[b + 1];
      std::sort(from, to, [&](uint32_t x, uint32_t y) {
        return hashes[x] != hashes[y] ? hashes[x] < hashes[y] : x < y;
      });
      auto same = std::adjacent_find(from, to, [&](uint32_t x, uint32_t y) {
        return hashes[x] == hashes[y];
      });
      if (same == to)
        continue;
      const gm_tok_merge &first = merges[same[0]], &again = merges[same[1]];
      file.bad("merges {} and {} are the same pair of ids {} and {}",
               first.rank, again.rank, first.left, first.right);
    }
    MergeHash hash{seed, std::vector<uint32_t>(buckets, 0),
                   std::vector<gm_tok_merge>(
                       count + count / 32 + 1,
                       {GM_TOK_NONE, GM_TOK_NONE, GM_TOK_NONE, GM_TOK_NONE})};
    if (placeBuckets(merges, hashes, start, members, hash))
      return hash;
  }
  file.unsupported("the merges do not fit a perfect hash");
}

// The filter of symbol pairs that some merge bridges, and its shift.
std::vector<uint64_t> makeBridge(const TokenizerModel &model,
                                 const CodePoints &points, uint32_t &shift) {
  std::vector<uint64_t> pairs;
  pairs.reserve(model.merges.size());
  for (const gm_tok_merge &merge : model.merges) {
    size_t length;
    uint32_t x = points.get(lastChar(model.pieces[merge.left]));
    uint32_t y = points.get(firstChar(model.pieces[merge.right], length));
    // A side that starts with bytes is never reached: bytes do not merge.
    if (x != GM_TOK_NONE && y != GM_TOK_NONE)
      pairs.push_back(uint64_t(x) << 32 | y);
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  uint64_t bits = std::bit_ceil(std::max<uint64_t>(pairs.size() * 16, 64));
  shift = 64 - std::countr_zero(bits);
  std::vector<uint64_t> filter(bits / 64, 0);
  for (uint64_t pair : pairs) {
    uint64_t bit =
        gm_tok_bridge_bit(uint32_t(pair >> 32), uint32_t(pair), shift);
    filter[bit / 64] |= uint64_t(1) << (bit % 64);
  }
  return filter;
}

// Appends tables at multiples of 8 after the header.
class Writer {
public:
  template <typename T>
  uint64_t add(const T *data, size_t count) {
    blob.resize((blob.size() + 7) / 8 * 8);
    uint64_t offset = blob.size();
    blob.resize(offset + count * sizeof(T));
    if (count)
      std::memcpy(blob.data() + offset, data, count * sizeof(T));
    return offset;
  }
  template <typename T>
  uint64_t add(const std::vector<T> &values) {
    return add(values.data(), values.size());
  }

  std::vector<uint8_t> blob = std::vector<uint8_t>(sizeof(gm_tok_header));
};

void addPieces(const TokenizerModel &model, gm_tok_header &head, Writer &out) {
  std::string text;
  std::vector<uint32_t> start{0};
  for (std::string_view piece : model.pieces) {
    text += piece;
    start.push_back(static_cast<uint32_t>(text.size()));
  }
  head.pieces = static_cast<uint32_t>(model.pieces.size());
  head.piece_start = out.add(start);
  head.piece_flags = out.add(model.flags);
  head.text = out.add(text.data(), text.size());
  head.text_bytes = text.size();
}

void addAdded(const TokenizerModel &model, gm_tok_header &head, Writer &out) {
  std::vector<uint32_t> ids, first;
  for (int normalized : {0, int(GM_TOK_NORMALIZED)}) {
    auto begin = ptrdiff_t(ids.size());
    for (uint32_t id = 0; id < model.pieces.size(); ++id)
      if ((model.flags[id] & (GM_TOK_ADDED | GM_TOK_NORMALIZED)) ==
          (GM_TOK_ADDED | normalized))
        ids.push_back(id);
    // char_traits<char> compares as unsigned bytes; of equal texts the lowest
    // id is found.
    std::sort(ids.begin() + begin, ids.end(), [&](uint32_t a, uint32_t b) {
      int order = model.pieces[a].compare(model.pieces[b]);
      return order != 0 ? order < 0 : a < b;
    });
    std::vector<uint32_t> start(257, 0);
    start[0] = uint32_t(begin);
    for (auto id = ids.begin() + begin; id != ids.end(); ++id)
      ++start[static_cast<uint8_t>(model.pieces[*id][0]) + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    first.insert(first.end(), start.begin(), start.end());
  }
  head.added = static_cast<uint32_t>(ids.size());
  head.added_ids = out.add(ids);
  head.added_first = out.add(first);
}

void addNamed(const TokenizerModel &model, gm_tok_header &head) {
  std::fill(std::begin(head.named), std::end(head.named), GM_TOK_NONE);
  for (uint32_t id = 0; id < model.pieces.size(); ++id) {
    if (!model.pieces[id].starts_with('<'))
      continue;
    const auto *hit = std::find(std::begin(namedTexts), std::end(namedTexts),
                                model.pieces[id]);
    if (hit != std::end(namedTexts) &&
        head.named[hit - namedTexts] == GM_TOK_NONE)
      head.named[hit - namedTexts] = id;
  }
}

} // namespace

void findByteTokens(TokenizerModel &model, const NamedFile &file) {
  auto isHex = [](char c) { return isxdigit(uint8_t(c)) != 0; };
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    std::string_view p = model.pieces[id];
    if (p.size() == 6 && p.starts_with("<0x") && p.ends_with('>') &&
        isHex(p[3]) && isHex(p[4]))
      model.flags[id] |= GM_TOK_BYTE;
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string text = fmt::format("<0x{:02X}>", byte);
    auto hit = model.ids.find(text);
    if (hit == model.ids.end())
      file.bad("expects all 256 byte tokens, but {} is missing", text);
    model.byteIds[byte] = uint32_t(hit->second);
  }
}

static void addMerge(TokenizerModel &model, std::string_view left,
                     std::string_view right, const NamedFile &file) {
  std::string whole(left);
  whole += right;
  std::string_view texts[] = {left, right, whole};
  uint32_t found[3];
  for (int i = 0; i < 3; ++i) {
    auto hit = model.ids.find(texts[i]);
    const char *problem = nullptr;
    if (hit == model.ids.end() || texts[i].empty())
      problem = " is not in the vocabulary";
    else if (model.flags[hit->second] & GM_TOK_BYTE)
      problem = " is a byte token; those cannot merge";
    if (problem)
      file.bad("merge {} of {} and {}: piece {}{}", model.merges.size(),
               gemmac::quoted(left), gemmac::quoted(right),
               gemmac::quoted(texts[i]), problem);
    found[i] = uint32_t(hit->second);
  }
  model.merges.push_back(
      {found[0], found[1], uint32_t(model.merges.size()), found[2]});
}

void addMerges(TokenizerModel &model, const Json &merges, const char *called,
               const NamedFile &file) {
  if (!merges.is_array())
    file.bad("{} expects a list of merges, got {}", called, shown(merges));
  model.merges.reserve(merges.size());
  auto textOf = [](const Json &value) -> std::string_view {
    return value.get_ref<const std::string &>();
  };
  for (const Json &merge : merges) {
    bool isPair = merge.is_array() && merge.size() == 2 &&
                  merge[0].is_string() && merge[1].is_string();
    if (!isPair && !merge.is_string())
      file.bad("{}: merge {} expects \"left right\" or two pieces, got {}",
               called, model.merges.size(),
               merge.dump(-1, ' ', true, Json::error_handler_t::replace)
                   .substr(0, 120));
    if (isPair) {
      addMerge(model, textOf(merge[0]), textOf(merge[1]), file);
      continue;
    }
    // Pieces hold no space, except one that is a space alone.
    std::string_view text = textOf(merge);
    size_t space = text.find(' ', 1);
    if (space == text.npos || space + 1 == text.size())
      file.bad("{}: merge {} expects \"left right\", got {}", called,
               model.merges.size(), gemmac::quoted(text));
    addMerge(model, text.substr(0, space), text.substr(space + 1), file);
  }
}

void TokenizerModel::addToken(size_t id, std::string text, uint8_t flag) {
  if (flag & GM_TOK_NORMALIZED)
    for (size_t at = 0; (at = text.find(' ', at)) != text.npos;)
      text.replace(at, 1, "\xE2\x96\x81"); // U+2581
  pieces[id] = texts.emplace_back(std::move(text));
  flags[id] |= flag;
}

void TokenizerModel::findUnused() {
  for (size_t id = 0; id < pieces.size(); ++id)
    if (!pieces[id].data())
      unused.push_back(int64_t(id));
}

PackedTokenizer packTokenizerTables(const TokenizerModel &model,
                                    const NamedFile &file) {
  MergeHash hash = hashMerges(model, file);
  CodePoints points = collectCodePoints(model);
  gm_tok_header head{};
  std::vector<uint64_t> bridge = makeBridge(model, points, head.bridge_shift);

  Writer out;
  head.magic = GM_TOK_MAGIC;
  head.version = GM_ABI;
  addPieces(model, head, out);
  addAdded(model, head, out);
  addNamed(model, head);
  head.buckets = static_cast<uint32_t>(hash.displace.size());
  head.slots = static_cast<uint32_t>(hash.slots.size());
  head.seed = hash.seed;
  head.displace = out.add(hash.displace);
  head.merges = out.add(hash.slots);
  head.blocks = static_cast<uint32_t>(points.ids.size() / 256);
  head.block_of = out.add(points.blockOf);
  head.code_points = out.add(points.ids);
  head.byte_ids = out.add(model.byteIds.data(), model.byteIds.size());
  head.bridge = out.add(bridge);
  head.bytes = out.blob.size();
  std::memcpy(out.blob.data(), &head, sizeof head);
  PackedTokenizer packed{.blob = std::move(out.blob),
                         .vocabulary = {.pieces = head.pieces,
                                        .unused = model.unused,
                                        .beyond = model.beyond,
                                        .named = {}}};
  std::copy(std::begin(head.named), std::end(head.named),
            packed.vocabulary.named.begin()); // GM_TOK_NONE becomes -1
  return packed;
}

} // namespace gemmac
