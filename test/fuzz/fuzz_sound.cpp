// Any bytes as a sound through every codec: an error, or numbers, as many as
// their facts say.
#include "runtime/media/decode_sound.h"
#include "runtime/media/sound.h"

#include <cmath>
#include <cstdlib>

using namespace gm;
using namespace gm::media;

namespace {

void require(bool good) {
  if (!good)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::vector<float> mono;
  SoundFacts facts;
  const SoundOptions options{.most_samples = 1 << 16, .most_values = 1 << 18};
  const Bytes bytes(data, size);
  // Filters of odd rates are slow to make.
  const bool resampled = size % 32 == 0;
  const Status s = resampled ? decode_sound(bytes, options, mono, facts)
                             : decode_samples(bytes, options, mono, facts);
  require(s.ok() == !s.text[0]);
  if (!s.ok())
    return 0;
  require(facts.samples >= 1 && facts.samples <= options.most_samples);
  require(facts.samples * facts.channels <= options.most_values);
  require(int64_t(mono.size()) ==
          (resampled ? resampled_length(facts.samples, facts.rate)
                     : facts.samples));
  for (const float value : mono)
    require(!std::isnan(value));
  return 0;
}
