/* Sections of a program file, and of an external weight file: C, included by
 * linker and runtime.
 *
 * program:  [ELF][pad to 64 KiB][weights][tokenizer][manifest][trailer]
 * external: [weights][manifest][trailer] with tokenizer_bytes = 0
 * A shared library is a program file. A static one has external weights, and
 * [tokenizer][manifest][trailer] as data: gm_sections.
 * The manifest of an external file is that of the program which was compiled
 * with it: its hashes serve later programs that reuse the weights.
 * Tokenizer and manifest start at multiples of 64 bytes of the file, weights at
 * GM_SECTION_ALIGN (0 in an external file).
 * The trailer is the last sizeof(gm_trailer) bytes. `strip` removes everything
 * after the ELF. */
#ifndef GEMMAC_RUNTIME_FILE_H
#define GEMMAC_RUNTIME_FILE_H

#include <stdint.h>

#define GM_TRAILER_MAGIC "GEMMAC\0\1"
enum { GM_SECTION_ALIGN = 65536, GM_WEIGHT_ALIGN = 64 };

typedef struct gm_trailer {
  uint64_t weights_offset, weights_bytes;     /* from the start of the file */
  uint64_t tokenizer_offset, tokenizer_bytes; /* 0 bytes: no tokenizer */
  uint64_t manifest_offset, manifest_bytes;
  char weights_id[40]; /* hex digits, zero padded */
  int32_t abi;         /* GM_ABI */
  uint32_t checksum;   /* gm_checksum of this trailer and the manifest */
  char magic[8];       /* GM_TRAILER_MAGIC */
} gm_trailer;

/* Of a library: the symbol gm_sections, at a multiple of GM_WEIGHT_ALIGN. The
 * offsets in the trailer count from `data`. */
typedef struct gm_embedded {
  uint64_t bytes; /* of data; 0: the library is the program file */
  uint8_t pad[GM_WEIGHT_ALIGN - 8];
  uint8_t data[];
} gm_embedded;

/* FNV-1a over the trailer, its checksum counted as 0, then its manifest: no
 * single damaged byte of the two goes unnoticed. */
static inline uint32_t gm_checksum(gm_trailer trailer, const void *manifest) {
  const uint8_t *part[2] = {(const uint8_t *)&trailer,
                            (const uint8_t *)manifest};
  const uint64_t bytes[2] = {sizeof trailer, trailer.manifest_bytes};
  uint32_t hash = 2166136261u;
  trailer.checksum = 0;
  for (int p = 0; p < 2; ++p)
    for (uint64_t i = 0; i < bytes[p]; ++i)
      hash = (hash ^ part[p][i]) * 16777619u;
  return hash;
}

#endif
