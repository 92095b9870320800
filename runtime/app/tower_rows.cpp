// See tower_rows.h.
#include "runtime/app/tower_rows.h"
#include "runtime/manifest_generated.h"
#include "runtime/media/mel.h"
#include "runtime/media/patches.h"

namespace gm {
namespace mf = gemmac::manifest;

namespace {

// Without a tower a row is a whole cell.
int pool_of(const mf::Medium &image) {
  return image.tower() ? image.pool() : 1;
}
int side_of(const mf::Medium &image) {
  return image.patch() * (image.tower() ? 1 : image.pool());
}

// Of log-mel features several frames are a row.
int64_t stack_of(const mf::Medium &audio) {
  return audio.tower() ? media::kMelStack : 1;
}
int64_t frames_of(const mf::Medium &audio, int64_t samples) {
  return audio.tower() ? media::mel_shape(samples).valid
                       : media::raw_frame_count(samples, audio.columns());
}

} // namespace

PictureRows picture_rows(const mf::Medium &image,
                         const media::Picture &picture) {
  const int64_t side = side_of(image), pool = pool_of(image),
                patches = picture.height / side * (picture.width / side);
  return {patches, patches / (pool * pool)};
}

Status fill_picture(Engine &engine, const mf::Medium &image,
                    const media::Picture &picture) {
  const TowerInput input = picture_input(engine);
  return media::make_cells(picture, side_of(image), pool_of(image),
                           input.values, input.stride, input.about);
}

int64_t sound_rows(const mf::Medium &audio, int64_t samples) {
  const int64_t stack = stack_of(audio);
  return (frames_of(audio, samples) + stack - 1) / stack;
}

Status fill_sound(Engine &engine, const mf::Medium &audio, const float *sound,
                  int64_t samples) {
  std::vector<float> values;
  if (Status s = audio.tower() ? media::log_mel(sound, samples, values)
                               : media::raw_frames(sound, samples, values,
                                                   audio.columns());
      !s.ok())
    return s;
  const TowerInput input = sound_input(engine);
  const int64_t stack = stack_of(audio);
  media::stack_frames(values.data(), frames_of(audio, samples),
                      input.columns / stack, stack, input.values, input.stride,
                      input.about);
  return {};
}

} // namespace gm
