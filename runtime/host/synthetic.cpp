// See synthetic.h.
#include "runtime/host/synthetic.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstring>

namespace gm {

namespace mf = gemmac::manifest;

// What names of formats hold, the first that does. Blocks hold codes, of which
// any are valid, and scales.
static const struct {
  const char *part;
  SyntheticWords words;
} formats[] = {
    {"f32", {0x807FFFFFu, 0x3F000000u}},  // 1/2 to 1, either sign
    {"bf16", {0x80FF80FFu, 0x3C003C00u}}, // 2^-7 to 2^-5, either sign
    {"_bf", {0x01FF01FFu, 0x3A003A00u}},  // scales of bf16, 2^-11 to 2^-7
    {"q", {0x0FFF0FFFu, 0x10001000u}},    // scales of f16, 2^-11 to 2^-7
};

SyntheticWords synthetic_words(const char *format) {
  for (const auto &[part, words] : formats)
    if (strstr(format, part))
      return words;
  return {};
}

SyntheticWords synthetic_words(const mf::Weight &weight) {
  return synthetic_words(weight.format() ? weight.format()->c_str() : "");
}

SyntheticWords synthetic_words(const mf::Program &program, const mf::Ple &) {
  if (program.weights())
    for (const mf::Weight *weight : *program.weights())
      if (is_ple_table(program, *weight))
        return synthetic_words(*weight);
  return {};
}

bool is_ple_table(const mf::Program &program, const mf::Weight &weight) {
  return program.ple() && program.ple()->offset() == weight.offset();
}

Status need_weights(const File &file) {
  if (!file.manifest->weightless())
    return {};
  return failure(UNSUPPORTED,
                 "'%s' was compiled without weights (gemmac "
                 "--weights=none): only 'bench --synthetic' runs it; compile "
                 "the checkpoint again without that flag",
                 file.path);
}

void synthesize(const SyntheticWords &words, uint64_t at, uint8_t *to,
                uint64_t bytes) {
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t part = (at + done) % 4,
                   n = std::min<uint64_t>(4 - part, bytes - done);
    const uint32_t word =
        (drawn_bits(uint32_t((at + done) / 4)) & words.keep) | words.set;
    memcpy(to + done, reinterpret_cast<const uint8_t *>(&word) + part, n);
    done += n;
  }
}

} // namespace gm
