// See media.h.
#include "runtime/app/media.h"
#include "runtime/app/media_source.h"
#include "runtime/manifest_generated.h"
#include "runtime/media/decode_picture.h"
#include "runtime/media/decode_sound.h"
#include "runtime/media/mel.h"
#include "runtime/media/patches.h"
#include "runtime/media/resize.h"
#include "runtime/media/sound.h"
#include "runtime/media/target_size.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace gm {
namespace mf = gemmac::manifest;

std::vector<Flag> MediaFlags::flags() {
  return {
      {"--image", "", "FILE",
       "a picture in front of the text (PNG, JPEG, WebP, GIF): a path, - for "
       "the standard input, a file: or data: URL; may be given again",
       &images},
      {"--audio", "", "FILE",
       "a sound in front of the text (WAV, FLAC, MP3, Ogg Vorbis), likewise",
       &sounds},
      {"--video", "", "FILE",
       "a film in front of the text: Y4M (ffmpeg -f yuv4mpegpipe), animated "
       "GIF "
       "or WebP, or a folder of pictures; at most 32 frames of it are seen",
       &films},
      {"--fps", "", "N",
       "frames a second of films (default: what they say, else 24)", &fps,
       0.001, 1000},
      {"--image-tokens", "", "N",
       "most tokens that a picture becomes: 70, 140, 280, 560 or 1120 "
       "(default: the checkpoint's)",
       &image_tokens, 1, 1 << 20},
      {"--transparent", "", "HOW",
       "of pictures with transparent pixels: drop shows the colours below, "
       "white lays them over white (default: drop)",
       &transparent},
      {"--audio-cut", "", "", "take the first 30 seconds of longer sounds",
       &cut},
  };
}

bool MediaFlags::take_standard_input() const {
  auto piped = [](const std::string &file) { return file == "-"; };
  return std::any_of(images.begin(), images.end(), piped) ||
         std::any_of(sounds.begin(), sounds.end(), piped) ||
         std::any_of(films.begin(), films.end(), piped);
}

int64_t Media::budget() const {
  const mf::Medium *image = medium_of(program.file, "image");
  return flags.image_tokens ? flags.image_tokens : image ? image->budget() : 0;
}

Status Media::open_film(const std::string &named) {
  Film film = {std::make_unique<FilmSource>(), {}, {}};
  if (Status s = film.source->open(named); !s.ok())
    return s;
  if (Status s = media::film_frames(film.source->frames(), film.frames);
      !s.ok())
    return s;
  media::FrameRate rate = film.source->rate();
  if (flags.fps)
    rate = {int64_t(std::llround(flags.fps * 1000)), 1000};
  for (int64_t frame : film.frames)
    film.stamps.push_back(media::time_stamp(frame, rate));
  films.push_back(std::move(film));
  return {};
}

Status Media::reserve(Options &options) {
  const mf::Medium *image = medium_of(program.file, "image"),
                   *video = medium_of(program.file, "video"),
                   *audio = medium_of(program.file, "audio");
  if (!(flags.images.empty() || image) || !(flags.films.empty() || video))
    return failure(UNSUPPORTED,
                   "%s: this program cannot see: its checkpoint has no vision "
                   "tower, or it was left out",
                   flags.images.empty() ? "--video" : "--image");
  if (!flags.sounds.empty() && !audio)
    return failure(UNSUPPORTED,
                   "--audio: this program cannot hear: its checkpoint has no "
                   "audio tower, or it was left out");
  for (const mf::Medium *m : {flags.images.empty() ? nullptr : image,
                              flags.films.empty() ? nullptr : video,
                              flags.sounds.empty() ? nullptr : audio})
    if (m && (m->begin() < 0 || m->soft() < 0 || m->end() < 0))
      return failure(UNSUPPORTED,
                     "--%s: the checkpoint's tokenizer has no tokens that mark "
                     "its place",
                     m->kind()->c_str());
  if (!flags.images.empty()) {
    if (!media::is_budget(budget()))
      return failure(USAGE,
                     "--image-tokens must be 70, 140, 280, 560 or 1120, got "
                     "%lld",
                     (long long)budget());
    options.image_rows = budget();
    options.block = std::max(options.block, budget());
  }
  if (!flags.sounds.empty())
    options.sound_rows = kMostSoundRows;
  options.soft_rows = options.image_rows * int64_t(flags.images.size()) +
                      options.sound_rows * int64_t(flags.sounds.size());
  for (const std::string &film : flags.films) {
    if (Status s = open_film(film); !s.ok())
      return s;
    options.image_rows = std::max<int64_t>(options.image_rows, video->budget());
    options.block = std::max<int64_t>(options.block, video->budget());
    options.soft_rows += video->budget() * int64_t(films.back().frames.size());
  }
  return {};
}

// `status` with the name of the file in front.
static Status named(const MediaSource &source, const Status &status) {
  return failure(status.code, "%.200s: %s", source.name.c_str(), status.text);
}

Status Media::append(Kind kind, int64_t rows) {
  spans.push_back({kind, used, rows});
  used += rows;
  return {};
}

static media::Alpha alpha_of(const MediaFlags &flags) {
  return flags.transparent == "white" ? media::Alpha::White
                                      : media::Alpha::Drop;
}

// To the size that `budget` soft rows allow.
static Status scale(const mf::Medium &medium, int64_t budget,
                    media::Picture &picture) {
  const media::SizeRule rule = {medium.patch(), medium.pool(),
                                budget * medium.pool() * medium.pool()};
  media::TargetSize size;
  if (Status s = media::target_size(picture.height, picture.width, rule, size);
      !s.ok())
    return s;
  return media::resize(picture, size.height, size.width, picture);
}

Status Media::see(const std::string &file) {
  MediaSource source;
  if (Status s = read_media(file, source); !s.ok())
    return s;
  const mf::Medium &image = *medium_of(program.file, "image");
  media::PictureOptions options;
  options.alpha =
      flags.transparent == "white" ? media::Alpha::White : media::Alpha::Drop;
  media::PictureRemarks remarks;
  media::Picture picture;
  media::Bytes bytes(reinterpret_cast<const uint8_t *>(source.bytes.data()),
                     source.bytes.size());
  if (Status s = media::decode_picture(bytes, options, picture, remarks);
      !s.ok())
    return named(source, s);
  source.bytes = {};
  if (remarks.transparent)
    fprintf(stderr,
            "note: %s has transparent pixels, of which the colours show; "
            "--transparent=white lays them over white\n",
            source.name.c_str());
  if (remarks.animated)
    fprintf(stderr, "note: %s is animated; its first frame is taken\n",
            source.name.c_str());
  if (!remarks.damaged.empty())
    fprintf(stderr, "note: %s is damaged: %s\n", source.name.c_str(),
            remarks.damaged.c_str());
  if (Status s = scale(image, budget(), picture); !s.ok())
    return named(source, s);
  if (Status s = show(picture, Picture); !s.ok())
    return named(source, s);
  return {};
}

// Every frame is a picture of its own.
Status Media::watch(Film &film) {
  const mf::Medium &video = *medium_of(program.file, "video");
  media::PictureOptions options;
  options.alpha = alpha_of(flags);
  auto take = [&](media::Picture &picture) {
    Status s = scale(video, video.budget(), picture);
    if (s.ok())
      s = show(picture, Frame);
    return s.ok() ? s
                  : failure(s.code, "%.200s: %s", film.source->name().c_str(),
                            s.text);
  };
  return film.source->read(film.frames, options, take);
}

// Soft rows of a picture that has the size for them.
Status Media::show(const media::Picture &picture, Kind kind) {
  const mf::Medium &image = *medium_of(program.file, "image");
  const TowerInput input = picture_input(*program.engine);
  const int pool = image.tower() ? image.pool() : 1,
            side = image.patch() * (image.tower() ? 1 : image.pool());
  if (Status s =
          media::make_cells(picture, side, pool, input.values, input.about);
      !s.ok())
    return s;
  const int64_t rows = picture.height / side * (picture.width / side);
  if (Status s = encode_picture(*program.engine, rows, used); !s.ok())
    return s;
  return append(kind, rows / input.merged);
}

Status Media::hear(const std::string &file) {
  MediaSource source;
  if (Status s = read_media(file, source); !s.ok())
    return s;
  const mf::Medium &audio = *medium_of(program.file, "audio");
  media::Bytes bytes(reinterpret_cast<const uint8_t *>(source.bytes.data()),
                     source.bytes.size());
  std::vector<float> sound;
  media::SoundFacts facts;
  if (Status s = media::decode_sound(bytes, {}, sound, facts); !s.ok())
    return named(source, s);
  source.bytes = {};
  auto count = int64_t(sound.size());
  const int64_t most = audio.tower() ? media::kMostMelSamples
                                     : kMostSoundRows * media::kRawFrame;
  if (count > most) {
    if (!flags.cut)
      return failure(RUN_ERROR,
                     "%s has %.1f seconds, the model hears %.0f at most; "
                     "--audio-cut takes the first of them",
                     source.name.c_str(), double(count) / media::kRate,
                     double(most) / media::kRate);
    count = most;
  }
  const TowerInput input = sound_input(*program.engine);
  std::vector<float> values;
  if (Status s = audio.tower() ? media::log_mel(sound.data(), count, values)
                               : media::raw_frames(sound.data(), count, values);
      !s.ok())
    return named(source, s);
  // Of log-mel four frames are a row; those that are not real are 0.
  const int64_t frames = audio.tower() ? media::mel_shape(count).valid
                                       : media::raw_frame_count(count),
                each = audio.tower() ? 4 : 1;
  const int64_t rows = (frames + each - 1) / each;
  if (!rows)
    return append(Sound, 0); // too short for a row: begin and end alone
  const int64_t real = frames * input.columns / each;
  std::fill_n(std::copy_n(values.data(), real, input.values),
              rows * input.columns - real, 0.0f);
  for (int64_t r = 0; r < rows; ++r)
    input.about[r] = int32_t(std::min(each, frames - r * each));
  if (Status s = encode_sound(*program.engine, rows, used); !s.ok())
    return named(source, s);
  return append(Sound, rows);
}

Status Media::encode() {
  for (const std::string &file : flags.images)
    if (Status s = see(file); !s.ok())
      return s;
  for (const std::string &file : flags.sounds)
    if (Status s = hear(file); !s.ok())
      return s;
  for (Film &film : films)
    if (Status s = watch(film); !s.ok())
      return s;
  return {};
}

Status Media::place(const std::vector<int32_t> &ids, Items &items) const {
  static const char *const kinds[Kinds] = {"audio", "image", "video"},
                           *const words[Kinds] = {"sounds", "pictures",
                                                  "frames of films"};
  const mf::Medium *media[Kinds];
  std::vector<const Span *> next[Kinds]; // the first last
  for (int kind = 0; kind < Kinds; ++kind)
    media[kind] = medium_of(program.file, kinds[kind]);
  for (auto span = spans.rbegin(); span != spans.rend(); ++span)
    next[span->kind].push_back(&*span);
  items.soft = soft_rows(*program.engine);
  items.soft_count = int32_t(used);
  for (int32_t id : ids) {
    int kind = 0;
    while (kind < Kinds && !(media[kind] && media[kind]->soft() == id))
      ++kind;
    // Ids of a prompt without media stay what they are.
    if (kind == Kinds || spans.empty()) {
      items.list.push_back({id});
      continue;
    }
    if (next[kind].empty())
      return failure(BAD_INPUT,
                     "the prompt has more places for %s than there "
                     "are",
                     words[kind]);
    const Span &span = *next[kind].back();
    next[kind].pop_back();
    // The text has these around the frames of a film.
    if (kind != Frame)
      items.list.push_back({media[kind]->begin()});
    for (int64_t r = 0; r < span.rows; ++r)
      items.list.push_back({int32_t(-1 - span.first - r),
                            kind == Sound ? 0 : int32_t(span.rows - r)});
    if (kind != Frame)
      items.list.push_back({media[kind]->end()});
  }
  for (int kind = 0; kind < Kinds; ++kind)
    if (!next[kind].empty())
      return failure(BAD_INPUT, "the prompt has %zu places too few for its %s",
                     next[kind].size(), words[kind]);
  return {};
}

} // namespace gm
