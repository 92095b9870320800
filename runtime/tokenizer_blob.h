// The packed tokenizer: the third contract file between compiler and runtime.
// gemmac writes it (compiler/importer/Tokenizer.cpp), the program maps it
// (runtime/app/tokenizer.cpp) and uses it in place: nothing is parsed, hashed
// or sorted at start. Little endian; every table starts at a multiple of 8
// bytes from the start of the blob, and offsets count from there. The version
// is GM_ABI of runtime/abi.h. Knows no JSON and no file names.
#ifndef GEMMAC_RUNTIME_TOKENIZER_BLOB_H
#define GEMMAC_RUNTIME_TOKENIZER_BLOB_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GM_TOK_MAGIC 0x4B544D47u // "GMTK"
#define GM_TOK_NONE 0xFFFFFFFFu  // no such id

// The tokens of the chat protocol, found by text because ids differ between
// vocabularies. gm_tok_header.named holds GM_TOK_NONE for an absent one.
enum gm_tok_name {
  GM_TOK_PAD,                 // <pad>
  GM_TOK_EOS,                 // <eos>
  GM_TOK_BOS,                 // <bos>
  GM_TOK_UNK,                 // <unk>
  GM_TOK_TURN_OPEN,           // <|turn>
  GM_TOK_TURN_CLOSE,          // <turn|>
  GM_TOK_CHANNEL_OPEN,        // <|channel>
  GM_TOK_CHANNEL_CLOSE,       // <channel|>
  GM_TOK_THINK,               // <|think|>
  GM_TOK_TOOL_OPEN,           // <|tool>
  GM_TOK_TOOL_CLOSE,          // <tool|>
  GM_TOK_TOOL_CALL_OPEN,      // <|tool_call>
  GM_TOK_TOOL_CALL_CLOSE,     // <tool_call|>
  GM_TOK_TOOL_RESPONSE_OPEN,  // <|tool_response>
  GM_TOK_TOOL_RESPONSE_CLOSE, // <tool_response|>
  GM_TOK_QUOTE,               // <|"|>
  GM_TOK_IMAGE_OPEN,          // <|image>
  GM_TOK_IMAGE_CLOSE,         // <image|>
  GM_TOK_IMAGE,               // <|image|>
  GM_TOK_AUDIO_OPEN,          // <|audio>
  GM_TOK_AUDIO_CLOSE,         // <audio|>
  GM_TOK_AUDIO,               // <|audio|>
  GM_TOK_VIDEO,               // <|video|>
  GM_TOK_NAMED                // how many
};

// Bits of a piece's flag byte.
enum gm_tok_flag {
  GM_TOK_BYTE = 1,    // text is "<0xHH>": decodes to one byte
  GM_TOK_ADDED = 2,   // found in raw text before anything else
  GM_TOK_SPECIAL = 4, // hidden by decode unless asked for
  // Of added tokens:
  GM_TOK_NORMALIZED = 8, // found after spaces have become U+2581, as in its
                         // text, in what the others leave
  GM_TOK_LSTRIP = 16,    // takes the white space before it
  GM_TOK_RSTRIP = 32,    // and behind it
  GM_TOK_WORD = 64,      // not found next to a letter
};

// One merge. A slot nobody uses has left = GM_TOK_NONE.
struct gm_tok_merge {
  uint32_t left, right; // ids of the adjacent symbols
  uint32_t rank;        // lower merges first
  uint32_t merged;      // id of the result
};

struct gm_tok_header {
  uint32_t magic;   // GM_TOK_MAGIC
  uint32_t version; // GM_ABI
  uint64_t bytes;   // of the whole blob

  uint32_t pieces;       // V, ids are 0 .. V-1
  uint32_t added;        // added tokens
  uint32_t buckets;      // of the merge hash, >= 1
  uint32_t slots;        // of the merge hash, >= 1
  uint64_t seed;         // of the merge hash
  uint32_t blocks;       // blocks of 256 code points, >= 1; block 0 is all NONE
  uint32_t bridge_shift; // the bridge filter has 2^(64 - shift) bits

  uint64_t piece_start; // uint32[V + 1]: byte range of each piece in `text`
  uint64_t piece_flags; // uint8[V]
  uint64_t text;        // UTF-8, pieces one after another, space as U+2581
  uint64_t text_bytes;
  uint64_t displace;    // uint32[buckets]
  uint64_t merges;      // gm_tok_merge[slots]
  uint64_t block_of;    // uint16[0x1100]: block of code point >> 8
  uint64_t code_points; // uint32[blocks][256]: id of the one-character piece
  uint64_t byte_ids;    // uint32[256]: id of "<0xHH>"
  uint64_t added_ids;   // uint32[added]: first those not normalized, each kind
                        // sorted by the bytes of their text
  uint64_t added_first; // uint32[2][257]: where each first byte starts there
  uint64_t bridge;      // uint64[]: bit set for each (x, y) such that a merge
                        // joins a piece ending in symbol x with one starting
                        // in symbol y; unset = text can be cut between them
  uint32_t named[GM_TOK_NAMED];
};

// Mixes 64 bits; a bijection, so different pairs keep different hashes.
static inline uint64_t gm_tok_mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93ull;
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93ull;
  return x ^ (x >> 32);
}

// floor(hash / 2^64 * n)
static inline uint32_t gm_tok_reduce(uint64_t hash, uint32_t n) {
  return (uint32_t)(((hash >> 32) * (uint64_t)n) >> 32);
}

// The merge hash is perfect: bucket by one hash, slot by a second one that the
// bucket's displacement makes free of collisions.
static inline uint64_t gm_tok_pair_hash(uint64_t seed, uint32_t left,
                                        uint32_t right) {
  return gm_tok_mix((((uint64_t)left << 32) | right) ^ seed);
}
static inline uint32_t gm_tok_slot(uint64_t hash, uint32_t displace,
                                   uint32_t slots) {
  return gm_tok_reduce(gm_tok_mix(hash + displace * 0x9E3779B97F4A7C15ull),
                       slots);
}

// Bit number of a pair of symbols in the bridge filter.
static inline uint64_t gm_tok_bridge_bit(uint32_t x, uint32_t y,
                                         uint32_t shift) {
  return gm_tok_mix(((uint64_t)x << 32) | y) >> shift;
}

#ifdef __cplusplus
}
#endif
#endif
