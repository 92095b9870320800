// One picture, sound or film that a user named: how many soft rows it becomes,
// and those rows. Knows files, decoders and the input of the towers; must not
// know where its rows stand in a prompt.
#pragma once

#include "runtime/app/encoding.h"
#include "runtime/app/film_source.h"
#include "runtime/app/media_plan.h"
#include "runtime/app/program.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gm {

// How media are read, whichever they are.
struct MediaStyle {
  double fps = 0;                      // of films; 0: what they say
  int64_t image_tokens = 0;            // 0: the checkpoint's
  int64_t image_pixels = kUsualPixels; // most
  std::string transparent = "drop";
  bool cut = false;

  std::vector<Flag> style_flags();
  Status check() const;
};

class Medium {
public:
  enum Kind { Sound, Picture, Film, Kinds };
  // The manifest's words.
  static constexpr const char *kNames[Kinds] = {"audio", "image", "video"};

  Medium(const Program &program, const MediaStyle &style, Kind kind,
         std::string named)
      : program(&program), style(&style), kind(kind), named(std::move(named)) {}

  // Looks whether the program takes it, and at a film, so that its frames are
  // known. UNSUPPORTED, USAGE for a budget that is none; messages begin with
  // `flag` where they are not about the file.
  Status open(const char *flag);
  // Decodes it for the number of its rows; no tower runs.
  Status measure() { return read(nullptr, 0); }
  // Decodes it and makes soft rows [to, to + rows()). The engine has room for
  // them. BAD_INPUT if it is not what was measured.
  Status encode(Engine &engine, int64_t to) { return read(&engine, to); }
  // A picture or a sound whose file is `bytes`, wherever they come from:
  // `measure`, and what the tower reads is kept, so that `encode` reads nothing
  // and can be called again and again. Whoever sent it is far away: notes are
  // not printed, and encodings not counted.
  Status decode(std::string_view bytes);

  Kind what() const { return kind; }
  // After open: most rows of it, and of a part.
  int64_t most_rows() const;
  int64_t most_part() const;
  // After measure or encode: the rows of a picture, a sound or each frame.
  const std::vector<int64_t> &parts() const { return rowsOf; }
  int64_t rows() const;
  // After decode: of what is kept.
  int64_t kept_bytes() const {
    return int64_t(seen.rgb.size() + heard.size() * sizeof(float));
  }
  // Of films: what stands in front of each frame.
  const std::vector<std::string> &stamps() const { return stampsOf; }
  // "'cat.png'".
  const std::string &name() const { return called; }
  // What the user named.
  const std::string &source() const { return named; }
  // Of a film: of each frame that is seen, once it was looked at.
  int64_t frame_count() const { return int64_t(frames.size()); }
  // Each time that a tower ran.
  const std::vector<Encoding> &encodings() const { return done; }

private:
  const gemmac::manifest::Medium &facts() const {
    return *medium_of(program->file, kNames[kind]);
  }
  Status open_film();
  Status read(Engine *engine, int64_t to);
  Status see();
  Status hear();
  Status watch();
  Status source_bytes(std::string &bytes);
  Status check_same(size_t now);
  Status scale(media::Picture &picture);
  Status show(media::Picture &picture);
  Status show_kept();
  Status look(int64_t patches, int64_t tokens);
  Status listen(const std::vector<float> &sound);
  media::PictureOptions picture_options() const;
  Status with_name(const Status &status) const;
  void say(const media::PictureRemarks &remarks) const;

  const Program *program;
  const MediaStyle *style;
  Kind kind;
  std::string named, called;
  std::unique_ptr<FilmSource> film;
  std::vector<int64_t> frames; // of the film, that are seen
  std::vector<std::string> stampsOf;
  std::vector<int64_t> rowsOf;
  size_t hash = 0;  // of its bytes, or a film's pixels, once they were read
  std::string kept; // bytes that cannot be read twice

  // Of decode.
  bool keeps = false;
  std::string_view given; // while it decodes
  media::Picture seen;
  std::vector<float> heard;

  // While it is read.
  Engine *engine = nullptr; // null: it is measured
  int64_t to = 0;
  std::vector<int64_t> found;
  int64_t begin = 0; // of its reading, or that of the frame
  std::vector<Encoding> done;

  Encoding encoding() const;
};

} // namespace gm
