// The bitcode of the plain C++ bodies, embedded into the compiler by the build
// (cmake/EmbedBodies.cmake writes the definition). Plain data.
#pragma once

#include <cstddef>

namespace gemmac {

struct BodyBitcode {
  const char *family;
  const char *target; // Target::name
  const unsigned char *data;
  size_t size;
};

// Ends with an entry whose family is null.
const BodyBitcode *bodyBitcode();

} // namespace gemmac
