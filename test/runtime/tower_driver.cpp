// Drives the towers of generated code through the core: soft rows of pictures
// and sounds whose numbers stand in files. Linked by tests with the object of
// `gemmac --emit=obj`; usage:
//
//   TOWER_DRIVER PROGRAM THREADS ORDER OUT {picture FILE HEIGHT WIDTH |
//     features FILE FRAMES | sound FILE SAMPLES}...
//
// PROGRAM is the file of the same model; picture: uint8 (height, width, 3) at
// the size that the tower sees, features: f32 (frames, bins), sound: i16 at 16
// kHz. OUT gets the soft rows of all of them, f32 (rows, hidden). ORDER as
// Options::shuffle. The arena is NaN before each.
#include "runtime/abi.h"
#include "runtime/gemma.h"
#include "runtime/manifest_generated.h"
#include "runtime/media/mel.h"
#include "runtime/media/patches.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using namespace gm;

namespace {

void demand(const Status &s, const char *what) {
  if (s.ok())
    return;
  fprintf(stderr, "FAIL: %s: %s\n", what, s.text);
  exit(1);
}

template <typename T>
std::vector<T> read(const char *path, size_t count) {
  std::vector<T> values(count);
  FILE *file = fopen(path, "rb");
  if (!file || fread(values.data(), sizeof(T), count, file) != count) {
    fprintf(stderr, "FAIL: cannot read %s\n", path);
    exit(1);
  }
  fclose(file);
  return values;
}

} // namespace

int main(int argc, char **argv) {
  File file;
  demand(open_file(argv[1], file), "open");
  Options options;
  options.context = 64;
  options.batch = 8;
  options.threads = atoi(argv[2]);
  options.shuffle = uint64_t(atoll(argv[3]));
  options.poison = true;
  options.image_rows = 280;
  options.sound_rows = 750;
  options.soft_rows = 1500;
  Plan plan;
  demand(make_plan(file, options, plan), "plan");
  Engine *engine;
  demand(start(file, gm_model, options, plan, engine), "start");
  int64_t done = 0;
  for (int i = 5; i < argc;) {
    const std::string kind = argv[i];
    if (kind == "picture") {
      const auto &m = *medium_of(file, "image");
      media::Picture picture = {atoll(argv[i + 2]), atoll(argv[i + 3]), {}};
      picture.rgb = read<uint8_t>(argv[i + 1],
                                  size_t(picture.height * picture.width * 3));
      TowerInput input = picture_input(*engine);
      const int side = m.patch() * (m.tower() ? 1 : m.pool());
      demand(media::make_cells(picture, side, m.tower() ? m.pool() : 1,
                               input.values, input.stride, input.about),
             "patches");
      const int64_t rows = picture.height * picture.width / (side * side);
      demand(encode_picture(*engine, rows, done), "picture");
      done += rows / input.merged;
      i += 4;
      continue;
    }
    const auto &m = *medium_of(file, "audio");
    int64_t count = atoll(argv[i + 2]);
    std::vector<float> values;
    if (kind == "features") {
      values = read<float>(argv[i + 1], size_t(count * m.columns()));
    } else {
      std::vector<int16_t> samples = read<int16_t>(argv[i + 1], size_t(count));
      std::vector<float> sound;
      for (int16_t s : samples)
        sound.push_back(float(s) / 32768);
      demand(m.tower()
                 ? media::log_mel(sound.data(), count, values)
                 : media::raw_frames(sound.data(), count, values, m.columns()),
             "features");
      count = m.tower() ? media::mel_shape(count).valid
                        : media::raw_frame_count(count, m.columns());
    }
    const TowerInput input = sound_input(*engine);
    const int64_t stack = m.tower() ? media::kMelStack : 1,
                  rows = media::stack_frames(
                      values.data(), count, input.columns / stack, stack,
                      input.values, input.stride, input.about);
    demand(encode_sound(*engine, rows, done), "sound");
    done += rows;
    i += 3;
  }
  FILE *out = fopen(argv[4], "wb");
  const int64_t hidden = file.manifest->model()->hidden(),
                stride = (hidden + 31) / 32 * 32;
  for (int64_t r = 0; out && r < done; ++r)
    fwrite(soft_rows(*engine) + r * stride, sizeof(float), size_t(hidden), out);
  if (!out || fclose(out)) {
    fprintf(stderr, "FAIL: cannot write %s\n", argv[4]);
    return 1;
  }
  stop(engine);
  close_file(file);
  return 0;
}
