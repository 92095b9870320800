// BPE over the packed tables: symbols of a word sit in a linked list, possible
// merges in a heap ordered by (rank, position); an entry whose symbols have
// changed since is dropped when it comes up. Text is cut into words where no
// merge can cross, so words are short and the heap stays in cache; a word that
// is long all the same is merged part by part (settle_word).
// Every index read from the blob is checked where it is used.
#include "runtime/app/tokenizer.h"

#include "runtime/abi.h"

#include <algorithm>
#include <cstring>

namespace gm {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";       // U+2581
constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD

void append_replacements(size_t count, std::string &out) {
  while (count--)
    out += kReplacement;
}

// Appends a piece with U+2581 as space.
void append_piece(std::string_view piece, std::string &out) {
  size_t at = 0;
  for (size_t hit; (hit = piece.find(kSpace, at)) != piece.npos;
       at = hit + kSpace.size()) {
    out.append(piece, at, hit - at);
    out += ' ';
  }
  out.append(piece, at);
}

// Appends a complete run of byte tokens.
void append_run(std::string &run, std::string &out) {
  if (first_bad_utf8(run) == run.size())
    out += run;
  else
    append_replacements(run.size(), out);
  run.clear();
}

} // namespace

//===----------------------------------------------------------------------===//
// The blob
//===----------------------------------------------------------------------===//

std::string Tokenizer::open(const void *blob, size_t bytes) {
  base = static_cast<const uint8_t *>(blob);
  head = static_cast<const gm_tok_header *>(blob);
  if (bytes < sizeof(gm_tok_header) || head->magic != GM_TOK_MAGIC)
    return "the packed tokenizer is damaged: it does not start with its magic "
           "number";
  if (head->version != GM_ABI)
    return "the packed tokenizer has version " + std::to_string(head->version) +
           ", this program reads version " + std::to_string(GM_ABI);
  if (reinterpret_cast<uintptr_t>(blob) % 8 || head->bytes > bytes)
    return "the packed tokenizer is damaged: it expects " +
           std::to_string(head->bytes) + " bytes, got " + std::to_string(bytes);
  if (!head->pieces || head->pieces > INT32_MAX || !head->buckets ||
      !head->slots || !head->blocks || head->bridge_shift < 16 ||
      head->bridge_shift > 58)
    return "the packed tokenizer is damaged: a count is out of range";

  struct {
    const char *name;
    uint64_t offset, count, size;
  } const tables[] = {
      {"piece_start", head->piece_start, head->pieces + uint64_t(1), 4},
      {"piece_flags", head->piece_flags, head->pieces, 1},
      {"text", head->text, head->text_bytes, 1},
      {"displace", head->displace, head->buckets, 4},
      {"merges", head->merges, head->slots, sizeof(gm_tok_merge)},
      {"block_of", head->block_of, 0x1100, 2},
      {"code_points", head->code_points, head->blocks, 256 * 4},
      {"byte_ids", head->byte_ids, 256, 4},
      {"added_ids", head->added_ids, head->added, 4},
      {"added_first", head->added_first, 2 * 257, 4},
      {"bridge", head->bridge, uint64_t(1) << (58 - head->bridge_shift), 8},
  };
  for (const auto &table : tables)
    if (table.offset % 8 || table.offset > head->bytes ||
        table.count > (head->bytes - table.offset) / table.size)
      return std::string("the packed tokenizer is damaged: table ") +
             table.name + " is not inside it";
  return {};
}

int32_t Tokenizer::named(gm_tok_name name) const {
  uint32_t id = head->named[name];
  return id < head->pieces ? static_cast<int32_t>(id) : -1;
}

std::string_view Tokenizer::piece(int32_t id) const {
  const uint32_t *start = table<uint32_t>(head->piece_start);
  if (static_cast<uint32_t>(id) >= head->pieces)
    return {};
  uint32_t from = start[id], to = start[id + 1];
  if (from > to || to > head->text_bytes)
    return {};
  return {table<char>(head->text) + from, to - from};
}

uint8_t Tokenizer::flags(int32_t id) const {
  return static_cast<uint32_t>(id) < head->pieces
             ? table<uint8_t>(head->piece_flags)[id]
             : 0;
}

size_t Tokenizer::longest_piece() const {
  size_t longest = 1;
  for (uint32_t id = 0; id < head->pieces; ++id) {
    const std::string_view spelled = piece(int32_t(id));
    if (spelled.size() <= longest)
      continue;
    std::string text; // spaces are shorter in it
    append_piece(spelled, text);
    longest = std::max(longest, text.size());
  }
  return longest;
}

uint8_t Tokenizer::byte_of(int32_t id) const {
  std::string_view text = piece(id); // <0xHH>
  return text.size() == 6 ? hex_digit(text[3]) << 4 | hex_digit(text[4]) : 0;
}

uint32_t Tokenizer::char_id(uint32_t code) const {
  uint32_t block = table<uint16_t>(head->block_of)[code >> 8];
  if (block >= head->blocks)
    return GM_TOK_NONE;
  return table<uint32_t>(head->code_points)[block * 256ull + (code & 255)];
}

const gm_tok_merge *Tokenizer::find_merge(uint32_t left, uint32_t right) const {
  uint64_t hash = gm_tok_pair_hash(head->seed, left, right);
  uint32_t displace =
      table<uint32_t>(head->displace)[gm_tok_reduce(hash, head->buckets)];
  const gm_tok_merge *merge = table<gm_tok_merge>(head->merges) +
                              gm_tok_slot(hash, displace, head->slots);
  return merge->left == left && merge->right == right &&
                 merge->merged < head->pieces
             ? merge
             : nullptr;
}

bool Tokenizer::may_join(uint32_t left, uint32_t right) const {
  uint64_t bit = gm_tok_bridge_bit(left, right, head->bridge_shift);
  return table<uint64_t>(head->bridge)[bit / 64] >> (bit % 64) & 1;
}

//===----------------------------------------------------------------------===//
// Text to ids
//===----------------------------------------------------------------------===//

struct Tokenizer::Symbol {
  uint32_t id; // GM_TOK_NONE: merged into the one before it
  uint32_t previous, next;
};

// A possible merge of the symbol at `at` with the one after it.
struct Tokenizer::Candidate {
  uint32_t rank, at;
  const gm_tok_merge *merge;

  bool operator<(const Candidate &other) const { // the heap's top is the last
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

struct Tokenizer::Scratch {
  size_t long_word = LONG_WORD;
  size_t settles = LONG_WORD; // with so many symbols, at least long_word
  std::vector<Symbol> word;   // the open one, not yet merged
  std::vector<Candidate> heap;
  size_t most = SIZE_MAX; // ids are appended up to that size,
  size_t given = 0;       // but counted all

  void give(std::vector<int32_t> &ids, uint32_t id) {
    if (ids.size() < most)
      ids.push_back(static_cast<int32_t>(id));
    ++given;
  }
};

// Added tokens are sorted, so those that agree with the text so far are a range
// that every further byte narrows; the shortest stands first.
size_t Tokenizer::match_added(std::string_view text, size_t at,
                              const uint32_t *first, uint32_t &id) const {
  const uint32_t *ids = table<uint32_t>(head->added_ids);
  uint8_t byte = text[at];
  const uint32_t *low = ids + std::min(first[byte], head->added);
  const uint32_t *high = ids + std::min(first[byte + 1], head->added);
  size_t best = 0;
  for (size_t length = 1; low < high; ++length) {
    if (piece(*low).size() == length) {
      best = length;
      id = *low++;
    }
    if (at + length >= text.size())
      break;
    int next = static_cast<uint8_t>(text[at + length]);
    auto byte_at = [&](uint32_t added) {
      std::string_view p = piece(added);
      return p.size() > length ? static_cast<uint8_t>(p[length]) : -1;
    };
    low = std::partition_point(
        low, high, [&](uint32_t added) { return byte_at(added) < next; });
    high = std::partition_point(
        low, high, [&](uint32_t added) { return byte_at(added) <= next; });
  }
  return best;
}

// Afterwards the symbols that are linked by `next`, from the first on, are the
// word's tokens.
void Tokenizer::merge_word(Scratch &scratch) const {
  std::vector<Symbol> &word = scratch.word;
  std::vector<Candidate> &heap = scratch.heap;
  uint32_t size = static_cast<uint32_t>(word.size());
  for (uint32_t i = 0; i < size; ++i)
    word[i].previous = i ? i - 1 : size, word[i].next = i + 1; // size = none
  heap.clear();
  for (uint32_t i = 0; i + 1 < size; ++i)
    if (const gm_tok_merge *merge = find_merge(word[i].id, word[i + 1].id))
      heap.push_back({merge->rank, i, merge});
  std::make_heap(heap.begin(), heap.end());

  auto consider = [&](uint32_t left, uint32_t right) {
    if (const gm_tok_merge *merge = find_merge(word[left].id, word[right].id)) {
      heap.push_back({merge->rank, left, merge});
      std::push_heap(heap.begin(), heap.end());
    }
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    Candidate top = heap.back();
    heap.pop_back();
    Symbol &left = word[top.at];
    if (left.id != top.merge->left || left.next == size ||
        word[left.next].id != top.merge->right)
      continue;
    Symbol &right = word[left.next];
    left.id = top.merge->merged;
    left.next = right.next;
    right.id = GM_TOK_NONE;
    if (left.next != size) {
      word[left.next].previous = top.at;
      consider(top.at, left.next);
    }
    if (left.previous != size)
      consider(left.previous, top.at);
  }
}

void Tokenizer::end_word(Scratch &scratch, std::vector<int32_t> &ids) const {
  std::vector<Symbol> &word = scratch.word;
  if (word.size() > 1) // most words of scripts without spaces have one symbol
    merge_word(scratch);
  else if (!word.empty())
    word[0].next = 1;
  for (uint32_t i = 0; i < word.size(); i = word[i].next)
    scratch.give(ids, word[i].id);
  word.clear();
  scratch.settles = scratch.long_word;
}

// Gives the tokens of the front of a long word; its last quarter and the token
// before it wait for what follows. Where two tokens of a merged word meet,
// nothing was merged across, and whether anything would be depends on these two
// alone: so what stands behind such a place can be merged by itself. What
// follows the word can move the place only from neighbour to neighbour, each of
// a later rank than the one that made it move, so through few tokens.
void Tokenizer::settle_word(Scratch &scratch, std::vector<int32_t> &ids) const {
  std::vector<Symbol> &word = scratch.word;
  std::vector<uint32_t> symbols;
  symbols.reserve(word.size());
  for (const Symbol &symbol : word)
    symbols.push_back(symbol.id);
  merge_word(scratch);
  const uint32_t size = static_cast<uint32_t>(word.size());
  uint32_t end = 0; // of the settled part
  while (word[end].next <= size - size / 4) {
    scratch.give(ids, word[end].id);
    end = word[end].next;
  }
  word.clear();
  for (uint32_t i = end; i < size; ++i)
    word.push_back({symbols[i], 0, 0});
  // Not sooner than that is worth it, whatever the size of pieces.
  scratch.settles = std::max<size_t>(scratch.long_word, 2 * word.size());
}

size_t Tokenizer::encode_plain(std::string_view text, size_t end,
                               Scratch &scratch,
                               std::vector<int32_t> &ids) const {
  std::vector<Symbol> &word = scratch.word;
  auto append = [&](uint32_t id) {
    if (id >= head->pieces)
      return; // a damaged blob
    if (!word.empty() && !may_join(word.back().id, id))
      end_word(scratch, ids);
    else if (word.size() >= scratch.settles)
      settle_word(scratch, ids);
    word.push_back({id, 0, 0});
  };

  const uint32_t *byte_ids = table<uint32_t>(head->byte_ids);
  size_t at = 0;
  while (at < end) {
    uint32_t code = 0;
    int length = read_char(text.substr(at), code);
    std::string_view symbol = text.substr(at, std::max(length, 1));
    at += symbol.size();
    if (symbol == " ")
      symbol = kSpace, code = 0x2581;
    uint32_t id = length > 0 ? char_id(code) : GM_TOK_NONE;
    if (id != GM_TOK_NONE)
      append(id);
    else
      for (char byte : symbol)
        append(byte_ids[static_cast<uint8_t>(byte)]);
  }
  return at;
}

bool Tokenizer::has_normalized() const {
  const uint32_t *first = table<uint32_t>(head->added_first) + 257;
  return first[0] != first[256];
}

// Finds the added tokens of one kind (`first`: where each first byte starts)
// and calls `give(plain, end, id)` with the text before each of them, and with
// what is left and GM_TOK_NONE; it takes what begins in front of `end` and
// gives where it stopped. `meant` is that of encode_meant.
template <typename Meant, typename Give>
size_t Tokenizer::find_added(std::string_view text, size_t end,
                             const uint32_t *first, const Meant &meant,
                             const Give &give) const {
  size_t plain = 0; // start of the text not yet given
  for (size_t at = 0; at < end;) {
    uint8_t byte = text[at];
    uint32_t id = 0;
    size_t length = 0;
    if (first[byte] != first[byte + 1])
      length = match_added(text, at, first, id);
    size_t from = at;
    at += std::max<size_t>(length, 1);
    if (!length || id >= head->pieces)
      continue;
    uint8_t flag = flags(static_cast<int32_t>(id));
    size_t behind = from + length;
    if ((flag & GM_TOK_SPECIAL) && !meant(from, at))
      continue;
    if ((flag & GM_TOK_WORD) && (ends_with_word(text.substr(0, from)) ||
                                 starts_with_word(text.substr(behind))))
      continue;
    if (flag & GM_TOK_LSTRIP)
      from = std::max(from - white_at_end(text.substr(0, from)), plain);
    if (flag & GM_TOK_RSTRIP)
      behind += white_at_start(text.substr(behind));
    if (from >= behind)
      continue; // white space that another one took
    // A token found in such white space gives back what is behind it.
    size_t size = std::max(from, plain) - plain;
    give(text.substr(plain, size), size, id);
    plain = behind;
  }
  if (plain >= end)
    return plain;
  return plain + give(text.substr(plain), end - plain, GM_TOK_NONE);
}

// Added tokens that are found in normalised text, in `part` of `text`.
template <typename Meant, typename Give>
void Tokenizer::find_normalized(std::string_view text, std::string_view part,
                                const Meant &meant, const Give &give) const {
  std::string normal;
  std::vector<size_t> place; // in `text`, of each byte of `normal` and its end
  for (size_t at = size_t(part.data() - text.data()); char c : part) {
    normal += c == ' ' ? kSpace : std::string_view(&c, 1);
    place.resize(normal.size(), at++);
  }
  place.push_back(size_t(part.data() - text.data()) + part.size());
  auto meant_there = [&](size_t at, size_t &end) {
    size_t behind = place[end];
    bool yes = meant(place[at], behind);
    end = size_t(std::lower_bound(place.begin() + ptrdiff_t(at),
                                  place.begin() + ptrdiff_t(end), behind) -
                 place.begin());
    return yes;
  };
  find_added(normal, normal.size(), table<uint32_t>(head->added_first) + 257,
             meant_there, give);
}

// `meant(at, end)`: whether a special token at `at` counts; else `end`, which
// is behind its text, may be drawn nearer: the search goes on there.
template <typename Meant>
size_t Tokenizer::encode_meant(std::string_view text, size_t end,
                               const Meant &meant, Scratch &scratch,
                               std::vector<int32_t> &ids) const {
  const uint32_t *first = table<uint32_t>(head->added_first);
  auto give_id = [&](uint32_t id) {
    if (id == GM_TOK_NONE)
      return;
    end_word(scratch, ids);
    scratch.give(ids, id);
  };
  auto give = [&](std::string_view plain, size_t plain_end, uint32_t id) {
    size_t stopped = encode_plain(plain, plain_end, scratch, ids);
    give_id(id);
    return stopped;
  };
  auto give_normalized = [&](std::string_view plain, size_t, uint32_t id) {
    find_normalized(text, plain, meant, give);
    give_id(id);
    return plain.size();
  };
  return has_normalized() ? find_added(text, end, first, meant, give_normalized)
                          : find_added(text, end, first, meant, give);
}

size_t Tokenizer::encode(std::string_view text, bool specials,
                         std::vector<int32_t> &ids, size_t most) const {
  Scratch scratch;
  scratch.most = most;
  encode_meant(
      text, text.size(), [&](size_t, size_t &) { return specials; }, scratch,
      ids);
  end_word(scratch, ids);
  return scratch.given;
}

size_t Tokenizer::encode(const Prompt &prompt, bool specials,
                         std::vector<int32_t> &ids, size_t most) const {
  Scratch scratch;
  scratch.most = most;
  size_t from = 0;
  auto meant = [&](size_t at, size_t &end) {
    auto last = prompt.controls.end();
    auto next = std::lower_bound(prompt.controls.begin(), last, from + at);
    if (specials || (next != last && *next == from + at))
      return true;
    if (next != last)
      end = std::min(end, *next - from);
    return false;
  };
  auto encode_to = [&](size_t end) {
    encode_meant(std::string_view(prompt.text).substr(from, end - from),
                 end - from, meant, scratch, ids);
    end_word(scratch, ids);
  };
  for (const Prompt::Span &span : prompt.known) {
    encode_to(span.begin);
    for (int32_t id : span.ids)
      scratch.give(ids, uint32_t(id));
    from = span.end;
  }
  encode_to(prompt.text.size());
  return scratch.given;
}

StreamEncoder::StreamEncoder(const Tokenizer &tokenizer, bool specials,
                             size_t long_word)
    : tokenizer(tokenizer), specials(specials), reach(4),
      scratch(new Tokenizer::Scratch) {
  scratch->long_word = scratch->settles = long_word;
  const gm_tok_header &head = *tokenizer.head;
  const uint32_t *added = tokenizer.table<uint32_t>(head.added_ids);
  if (tokenizer.has_normalized())
    reach = SIZE_MAX;
  for (uint32_t i = 0; i < head.added; ++i) {
    const auto id = static_cast<int32_t>(added[i]);
    if (tokenizer.flags(id) & (GM_TOK_LSTRIP | GM_TOK_RSTRIP | GM_TOK_WORD))
      reach = SIZE_MAX;
    reach = std::max(reach, tokenizer.piece(id).size());
  }
}

StreamEncoder::~StreamEncoder() = default;

// Takes what begins in front of `end`.
void StreamEncoder::take(size_t end, std::vector<int32_t> &ids) {
  rest.erase(0, tokenizer.encode_meant(
                    rest, end, [&](size_t, size_t &) { return specials; },
                    *scratch, ids));
}

void StreamEncoder::push(std::string_view text, std::vector<int32_t> &ids) {
  rest += text;
  if (rest.size() >= reach)
    take(rest.size() - (reach - 1), ids);
}

void StreamEncoder::finish(std::vector<int32_t> &ids) {
  take(rest.size(), ids);
  tokenizer.end_word(*scratch, ids);
}

//===----------------------------------------------------------------------===//
// Ids to text
//===----------------------------------------------------------------------===//

std::string Tokenizer::decode(const int32_t *ids, size_t count,
                              bool specials) const {
  std::string out, run;
  for (size_t i = 0; i < count; ++i) {
    uint8_t flag = flags(ids[i]);
    if (flag & GM_TOK_BYTE) {
      run += static_cast<char>(byte_of(ids[i]));
      continue;
    }
    if ((flag & GM_TOK_SPECIAL) && !specials)
      continue; // a hidden token does not end a run of bytes
    append_run(run, out);
    append_piece(piece(ids[i]), out);
  }
  append_run(run, out);
  return out;
}

void StreamDecoder::push_byte(uint8_t byte, std::string &out) {
  if (broken)
    return append_replacements(1, out);
  pending += static_cast<char>(byte);
  uint32_t code;
  int length = read_char(pending, code);
  if (length == 0)
    return;
  if (length > 0) {
    out += pending;
  } else {
    append_replacements(pending.size(), out);
    broken = true;
  }
  pending.clear();
}

void StreamDecoder::push(int32_t id, std::string &out) {
  uint8_t flag = tokenizer.flags(id);
  if (flag & GM_TOK_BYTE)
    return push_byte(tokenizer.byte_of(id), out);
  if ((flag & GM_TOK_SPECIAL) && !specials)
    return;
  flush(out);
  append_piece(tokenizer.piece(id), out);
}

void StreamDecoder::flush(std::string &out) {
  append_replacements(pending.size(), out);
  pending.clear();
  broken = false;
}

} // namespace gm
