// The bytes of a picture or a sound that a user names: a path, "-" for the
// standard input, a file: or data: URL, or the base64 text of the file itself,
// as transformers' loaders take them. Nothing is fetched from a network. Knows
// nothing of what is inside.
#pragma once

#include "runtime/gemma.h"
#include "runtime/media/limits.h"

#include <string>

namespace gm {

struct MediaSource {
  std::string name; // what messages call it, in quotes if it is a path
  std::string bytes;
  bool lasting = true; // can be read again
};

// USAGE for a URL that is none, UNSUPPORTED for one of a network, BAD_INPUT for
// what is not there, cannot be read, is empty or has more than `most` bytes,
// RESOURCES for what may not be read. A type that a data: URL says is ignored:
// the bytes say what they are.
Status read_media(const std::string &named, MediaSource &source,
                  size_t most = size_t(media::kMostFileBytes));

// The same of what carries its bytes in itself, a data: URL or base64 text:
// nothing is opened. UNSUPPORTED for anything else.
Status read_carried(const std::string &named, MediaSource &source,
                    size_t most = size_t(media::kMostFileBytes));

// What `named` is to somebody outside of `folder` ("": here): a path becomes
// one in it, the rest stays as it is.
std::string in_folder(const std::string &named, const std::string &folder);

} // namespace gm
