// What a file is, by its first bytes and never by its name. Knows the names of
// many kinds that are not decoded, so that they can be refused by name; decodes
// nothing.
#pragma once

#include "runtime/gemma.h"

#include <span>

namespace gm::media {

using Bytes = std::span<const uint8_t>;

enum class Kind {
  Unknown,
  Png,
  Jpeg,
  Webp,
  Gif,
  Wav,
  Flac,
  Mp3,
  Vorbis,
  OtherPicture,
  OtherSound,
  Film,
  Other, // neither picture nor sound nor film
};

struct KindName {
  Kind kind = Kind::Unknown;
  const char *name = ""; // with its article: "a PNG picture"
};
KindName kind_of(Bytes bytes);

// UNSUPPORTED or, for what is known in no way, BAD_INPUT: why bytes of this
// kind are not the `expected` ("picture", "sound") and what to do.
Status refused_kind(const KindName &kind, const char *expected);

} // namespace gm::media
