// The hash of contents (xxh3, 64 bits) of bytes that come in parts.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace gemmac {

class ContentHash {
public:
  ContentHash() { XXH3_64bits_reset(state); }
  ~ContentHash() { XXH3_freeState(state); }
  ContentHash(const ContentHash &) = delete;
  void update(const void *data, size_t bytes) {
    XXH3_64bits_update(state, data, bytes);
  }
  uint64_t digest() const { return XXH3_64bits_digest(state); }

private:
  XXH3_state_t *state = XXH3_createState();
};

} // namespace gemmac
