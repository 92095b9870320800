// See medium.h.
#include "runtime/app/medium.h"
#include "runtime/app/media_source.h"
#include "runtime/app/tower_rows.h"
#include "runtime/manifest_generated.h"
#include "runtime/media/decode_picture.h"
#include "runtime/media/decode_sound.h"
#include "runtime/media/mel.h"
#include "runtime/media/resize.h"
#include "runtime/media/sound.h"
#include "runtime/media/target_size.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>

namespace gm {
namespace mf = gemmac::manifest;

std::vector<Flag> MediaStyle::style_flags() {
  return {
      {"--fps", "", "N",
       "frames a second of films (default: what they say, else 24)", &fps,
       0.001, 1000},
      image_tokens_flag(image_tokens),
      image_pixels_flag(image_pixels),
      {"--transparent", "", "drop|white",
       "of pictures with transparent pixels: drop shows the colours below, "
       "white lays them over white (default: drop)",
       &transparent},
      {"--audio-cut", "", "", "take the first 30 seconds of longer sounds",
       &cut},
  };
}

Status MediaStyle::check() const {
  if (transparent != "drop" && transparent != "white")
    return failure(USAGE, "--transparent must be drop or white, got '%.100s'",
                   transparent.c_str());
  if (image_tokens && !media::is_budget(image_tokens))
    return failure(USAGE,
                   "--image-tokens must be 70, 140, 280, 560 or 1120, got "
                   "%lld",
                   (long long)image_tokens);
  return {};
}

Status Medium::open(const char *flag) {
  const mf::Medium *m = medium_of(program->file, kNames[kind]);
  if (!m)
    return failure(UNSUPPORTED,
                   "%s: this program cannot %s: its checkpoint has no %s "
                   "tower, or it was left out",
                   flag, kind == Sound ? "hear" : "see",
                   kind == Sound ? "audio" : "vision");
  if (m->begin() < 0 || m->soft() < 0 || m->end() < 0)
    return failure(UNSUPPORTED,
                   "%s: the checkpoint's tokenizer has no tokens that mark the "
                   "place of %s",
                   flag,
                   kind == Sound     ? "a sound"
                   : kind == Picture ? "a picture"
                                     : "a frame of a film");
  return kind == Film ? open_film() : Status();
}

Status Medium::open_film() {
  film = std::make_unique<FilmSource>();
  if (Status s = film->open(named, picture_options()); !s.ok())
    return s;
  called = film->name();
  if (Status s = media::film_frames(film->frames(), frames); !s.ok())
    return with_name(s);
  media::FrameRate rate = film->rate();
  if (style->fps)
    rate = {int64_t(std::llround(style->fps * 1000)), 1000};
  for (int64_t frame : frames)
    stampsOf.push_back(media::time_stamp(frame, rate));
  return {};
}

int64_t Medium::most_part() const {
  if (kind == Sound)
    return kMostSoundRows;
  return kind == Picture && style->image_tokens ? style->image_tokens
                                                : facts().budget();
}

int64_t Medium::most_rows() const {
  return most_part() * (kind == Film ? int64_t(frames.size()) : 1);
}

int64_t Medium::rows() const {
  return std::accumulate(rowsOf.begin(), rowsOf.end(), int64_t(0));
}

Status Medium::with_name(const Status &status) const {
  return failure(status.code, "%.200s: %s", called.c_str(), status.text);
}

Status Medium::read(Engine *into, int64_t first) {
  engine = into;
  to = first;
  begin = now_ns();
  found.clear();
  Notice notice((kind == Sound ? "listening to " : "looking at ") +
                (called.empty() ? kNames[kind] : called));
  notice.show(engine && !keeps);
  Status s = kind == Sound ? hear() : kind == Picture ? see() : watch();
  if (!s.ok())
    return s;
  rowsOf = found;
  return {};
}

Status Medium::decode(std::string_view bytes) {
  keeps = true;
  given = bytes;
  Status s = read(nullptr, 0);
  given = {};
  return s;
}

// `now`: a hash of what was read.
Status Medium::check_same(size_t now) {
  if (!rowsOf.empty() && now != hash)
    return failure(BAD_INPUT, "%.200s has changed since it was first read",
                   called.c_str());
  hash = now;
  return {};
}

Status Medium::source_bytes(std::string &bytes) {
  if (keeps) {
    called = kind == Sound ? "the sound" : "the picture";
    bytes = given;
    return {};
  }
  if (!kept.empty()) {
    bytes = kept;
    return {};
  }
  MediaSource source;
  if (Status s = read_media(named, source); !s.ok())
    return s;
  called = source.name;
  if (Status s = check_same(std::hash<std::string_view>()(source.bytes));
      !s.ok())
    return s;
  if (!engine && !source.lasting)
    kept = source.bytes;
  bytes = std::move(source.bytes);
  return {};
}

// Assigning {} would keep the memory.
static void release(std::string &bytes) { std::string().swap(bytes); }

static media::Bytes bytes_of(const std::string &text) {
  return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

media::PictureOptions Medium::picture_options() const {
  media::PictureOptions options;
  options.alpha =
      style->transparent == "white" ? media::Alpha::White : media::Alpha::Drop;
  options.most_pixels = style->image_pixels;
  if (!keeps)
    options.advice = ", or allow more by --image-pixels";
  return options;
}

// Once, when it is first read.
void Medium::say(const media::PictureRemarks &remarks) const {
  if (keeps || !rowsOf.empty())
    return;
  if (remarks.transparent)
    fprintf(stderr,
            "note: %s has transparent pixels, of which the colours show; "
            "--transparent=white lays them over white\n",
            called.c_str());
  if (remarks.animated)
    fprintf(stderr, "note: %s is animated; its first frame is taken\n",
            called.c_str());
  if (!remarks.damaged.empty())
    fprintf(stderr, "note: %s is damaged: %s\n", called.c_str(),
            remarks.damaged.c_str());
}

Status Medium::see() {
  if (keeps && engine)
    return show_kept();
  std::string bytes;
  if (Status s = source_bytes(bytes); !s.ok())
    return s;
  media::PictureRemarks remarks;
  media::Picture picture;
  if (Status s = media::decode_picture(bytes_of(bytes), picture_options(),
                                       picture, remarks);
      !s.ok())
    return with_name(s);
  release(bytes);
  say(remarks);
  Status s = scale(picture);
  if (s.ok())
    s = show(picture);
  return s.ok() ? s : with_name(s);
}

// Every frame is a picture of its own.
Status Medium::watch() {
  size_t pixels = 0;
  auto take = [&](media::Picture &picture) {
    const std::string_view rgb(reinterpret_cast<char *>(picture.rgb.data()),
                               picture.rgb.size());
    pixels = pixels * 31 + std::hash<std::string_view>()(rgb);
    Status s = scale(picture);
    if (s.ok())
      s = show(picture);
    return s.ok() ? s : with_name(s);
  };
  Status s = film->read(frames, picture_options(), take);
  return s.ok() ? check_same(pixels) : s;
}

// To the size that the budget allows.
Status Medium::scale(media::Picture &picture) {
  const mf::Medium &m = facts();
  const media::SizeRule rule = {m.patch(), m.pool(),
                                most_part() * m.pool() * m.pool()};
  media::TargetSize size;
  if (Status s = media::target_size(picture.height, picture.width, rule, size);
      !s.ok())
    return s;
  const bool fewer = size.height * size.width < picture.height * picture.width;
  // Once, of a film the first.
  if (fewer && !keeps && rowsOf.empty() && found.empty())
    fprintf(stderr,
            "note: %s%s has %lld x %lld pixels, of which the model sees %lld x "
            "%lld (%lld tokens)%s\n",
            kind == Film ? "a frame of " : "", called.c_str(),
            (long long)picture.width, (long long)picture.height,
            (long long)size.width, (long long)size.height,
            (long long)size.soft_tokens,
            kind == Picture && most_part() < std::end(media::kBudgets)[-1]
                ? "; --image-tokens allows more"
                : "");
  if (engine || keeps)
    return media::resize(picture, size.height, size.width, picture);
  picture = {size.height, size.width, {}}; // of no interest but for its size
  return {};
}

// Soft rows of a picture that has the size for them.
Status Medium::show(media::Picture &picture) {
  const PictureRows rows = picture_rows(facts(), picture);
  found.push_back(rows.tokens);
  if (keeps)
    seen = std::move(picture);
  if (!engine)
    return {};
  if (Status s = fill_picture(*engine, facts(), picture); !s.ok())
    return s;
  picture = {}; // the tower needs its memory
  return look(rows.patches, rows.tokens);
}

Status Medium::show_kept() {
  const PictureRows rows = picture_rows(facts(), seen);
  found.push_back(rows.tokens);
  Status s = fill_picture(*engine, facts(), seen);
  if (s.ok())
    s = look(rows.patches, rows.tokens);
  return s.ok() ? s : with_name(s);
}

// The tower, at its input.
Status Medium::look(int64_t patches, int64_t tokens) {
  Encoding now = encoding();
  if (Status s = encode_picture(*engine, patches, to); !s.ok())
    return s;
  to += tokens;
  now.finish(patches, tokens);
  begin = now.end;
  if (!keeps)
    done.push_back(now);
  return {};
}

// That of the tower begins.
Encoding Medium::encoding() const {
  return {.kind = kind == Sound     ? "sound"
                  : kind == Picture ? "picture"
                                    : "frame",
          .name = called,
          .begin = begin,
          .ready = now_ns()};
}

Status Medium::hear() {
  if (keeps && engine)
    return listen(heard);
  std::string bytes;
  if (Status s = source_bytes(bytes); !s.ok())
    return s;
  const mf::Medium &m = facts();
  std::vector<float> sound;
  media::SoundFacts about; // of all: what is too long is only counted
  if (Status s = media::decode_sound(bytes_of(bytes), {.kept_seconds = 31},
                                     sound, about);
      !s.ok())
    return with_name(s);
  release(bytes);
  int64_t count = media::resampled_length(about.samples, about.rate);
  const int64_t most =
      m.tower() ? media::kMostMelSamples : kMostSoundRows * m.columns();
  if (count > most) {
    if (!style->cut)
      return failure(RUN_ERROR,
                     "%s has %.1f seconds, the model hears %.0f at most%s",
                     called.c_str(), double(count) / media::kRate,
                     double(most) / media::kRate,
                     keeps ? "" : "; --audio-cut takes the first of them");
    count = most;
  }
  sound.resize(size_t(count));
  if (engine)
    return listen(sound);
  found.push_back(sound_rows(m, count));
  if (keeps) {
    sound.shrink_to_fit();
    heard = std::move(sound);
  }
  return {};
}

// Soft rows of what the model hears.
Status Medium::listen(const std::vector<float> &sound) {
  const mf::Medium &m = facts();
  const auto count = int64_t(sound.size());
  const int64_t rows = sound_rows(m, count);
  found.push_back(rows);
  if (!rows) // too short for a row: begin and end alone
    return {};
  if (Status s = fill_sound(*engine, m, sound.data(), count); !s.ok())
    return with_name(s);
  Encoding now = encoding();
  if (Status s = encode_sound(*engine, rows, to); !s.ok())
    return with_name(s);
  now.finish(rows, rows);
  if (!keeps)
    done.push_back(now);
  return {};
}

} // namespace gm
