// Text <-> token ids over the packed tokenizer of runtime/tokenizer_blob.h,
// used where it lies. Exactly HF's BPE of the Gemma 4 tokenizer.json: the whole
// text between special tokens is one word, spaces become U+2581, characters
// outside the vocabulary become byte tokens. Knows no chat format, no files.
#pragma once

#include "runtime/app/prompt.h"
#include "runtime/app/unicode.h"
#include "runtime/tokenizer_blob.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

class Tokenizer {
public:
  // Binds to the blob, which must stay mapped and unchanged. Checks magic,
  // version and that every table lies inside; costs the same for any
  // vocabulary. Returns an empty string, or what is wrong (then the object must
  // not be used). A blob damaged inside a table gives wrong ids, never a crash.
  std::string open(const void *blob, size_t bytes);

  uint32_t vocab() const { return head->pieces; }

  // Id of a token of the chat protocol, or -1 where the vocabulary has none.
  int32_t named(gm_tok_name name) const;

  // Appends the ids of `text`, which must be UTF-8 (see first_bad_utf8; ids of
  // anything else are unspecified), as long as `ids` has less than `most`.
  // Returns how many the text has. Adds no <bos>. `specials`: tokens like
  // <|turn> written in the text become their id; otherwise they are plain text
  // (added tokens that are not special are found all the same, as by HF).
  // Linear on text with places where no piece crosses; elsewhere the memory and
  // the logarithm are those of LONG_WORD symbols.
  size_t encode(std::string_view text, bool specials, std::vector<int32_t> &ids,
                size_t most = SIZE_MAX) const;
  // The same, but special tokens count only where they are meant: at the
  // prompt's control tokens, unless `specials` says that all are. Known spans
  // give their ids.
  size_t encode(const Prompt &prompt, bool specials, std::vector<int32_t> &ids,
                size_t most = SIZE_MAX) const;

  // The text of `ids` (each in 0 .. vocab()-1). A run of byte tokens that is
  // not UTF-8 as a whole gives one U+FFFD per byte. `specials`: show the text
  // of special tokens; otherwise they are as if absent.
  std::string decode(const int32_t *ids, size_t count, bool specials) const;

  // The piece as the vocabulary spells it (U+2581 for space, <0xHH> for bytes).
  std::string_view piece(int32_t id) const;
  uint8_t flags(int32_t id) const;
  // Bytes of the longest text that is one token: no text of n bytes has fewer
  // tokens than n by this.
  size_t longest_piece() const;

  // A word of more symbols is merged in parts.
  enum : size_t { LONG_WORD = 1u << 16 };

private:
  friend class StreamDecoder;
  friend class StreamEncoder;
  struct Symbol;
  struct Candidate;
  struct Scratch;

  // Id of the byte token `id`'s byte; only for GM_TOK_BYTE pieces.
  uint8_t byte_of(int32_t id) const;
  // Length and id of the longest added token, of those that `first` begins,
  // that starts at `at`, 0 = none.
  size_t match_added(std::string_view text, size_t at, const uint32_t *first,
                     uint32_t &id) const;
  // Whether there are added tokens that are found in normalised text.
  bool has_normalized() const;
  // Id of the piece that is this one character, or GM_TOK_NONE.
  uint32_t char_id(uint32_t code) const;
  const gm_tok_merge *find_merge(uint32_t left, uint32_t right) const;
  bool may_join(uint32_t left, uint32_t right) const;
  // These take what begins in front of `end` and give where they stopped: at
  // `end`, or behind the character or token that crosses it. The last word
  // stays open: what follows may join it.
  template <typename Meant, typename Give>
  size_t find_added(std::string_view text, size_t end, const uint32_t *first,
                    const Meant &meant, const Give &give) const;
  template <typename Meant, typename Give>
  void find_normalized(std::string_view text, std::string_view part,
                       const Meant &meant, const Give &give) const;
  template <typename Meant>
  size_t encode_meant(std::string_view text, size_t end, const Meant &meant,
                      Scratch &scratch, std::vector<int32_t> &ids) const;
  size_t encode_plain(std::string_view text, size_t end, Scratch &scratch,
                      std::vector<int32_t> &ids) const;
  void end_word(Scratch &scratch, std::vector<int32_t> &ids) const;
  void settle_word(Scratch &scratch, std::vector<int32_t> &ids) const;
  void merge_word(Scratch &scratch) const;

  template <typename T>
  const T *table(uint64_t offset) const {
    return reinterpret_cast<const T *>(base + offset);
  }

  const uint8_t *base = nullptr;
  const gm_tok_header *head = nullptr;
};

// The ids of texts that come piece by piece, cut anywhere: those of
// Tokenizer::encode, in memory that does not depend on a text's length, except
// where an added token is found in normalised text or by what stands beside it:
// then a text is held whole.
class StreamEncoder {
public:
  // `long_word` as Tokenizer::LONG_WORD, at least 4.
  StreamEncoder(const Tokenizer &tokenizer, bool specials,
                size_t long_word = Tokenizer::LONG_WORD);
  ~StreamEncoder();

  // Appends the ids that stay whatever follows.
  void push(std::string_view text, std::vector<int32_t> &ids);
  // The text ends: appends the rest. Then the next text may begin.
  void finish(std::vector<int32_t> &ids);

private:
  void take(size_t end, std::vector<int32_t> &ids);

  const Tokenizer &tokenizer;
  bool specials;
  size_t reach; // bytes of the longest thing that must be seen as a whole,
                // SIZE_MAX: the text
  std::string rest;
  std::unique_ptr<Tokenizer::Scratch> scratch;
};

// Decodes one id at a time and never gives half a character: bytes of a run of
// byte tokens are kept until they make a character. The concatenation equals
// Tokenizer::decode, except that characters completed before a run turns out
// not to be UTF-8 have been given already.
class StreamDecoder {
public:
  StreamDecoder(const Tokenizer &tokenizer, bool specials)
      : tokenizer(tokenizer), specials(specials) {}

  // Appends what `id` (0 .. vocab()-1) completes to `out`.
  void push(int32_t id, std::string &out);
  // The end: an unfinished character becomes one U+FFFD per byte.
  void flush(std::string &out);

private:
  void push_byte(uint8_t byte, std::string &out);

  const Tokenizer &tokenizer;
  bool specials;
  bool broken = false; // this run is not UTF-8: one U+FFFD per byte to its end
  std::string pending; // at most three bytes of an unfinished character
};

} // namespace gm
