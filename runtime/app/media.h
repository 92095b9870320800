// Pictures and sounds of a prompt: from what a user names to soft rows, and
// where these stand among the ids. Knows files, decoders and the engine; must
// not know how a conversation is rendered.
#pragma once

#include "runtime/app/film_source.h"
#include "runtime/app/items.h"
#include "runtime/app/program.h"

#include <memory>
#include <string>
#include <vector>

namespace gm {

struct MediaFlags {
  std::vector<std::string> images, sounds, films; // as read_media takes them
  double fps = 0;                                 // of films; 0: what they say
  int64_t image_tokens = 0;                       // 0: the checkpoint's
  std::string transparent = "drop";
  bool cut = false;

  std::vector<Flag> flags();
  bool any() const {
    return !images.empty() || !sounds.empty() || !films.empty();
  }
  // One of them comes from the standard input, which is no text then.
  bool take_standard_input() const;
};

// Most soft rows of a sound: 30 s.
inline constexpr int64_t kMostSoundRows = 750;

class Media {
public:
  Media(Program &program, const MediaFlags &flags)
      : program(program), flags(flags) {}

  // Room for what is asked for, before the program is planned; opens films.
  // UNSUPPORTED if the program cannot see or hear, USAGE for a budget that is
  // none.
  Status reserve(Options &options);
  // After reserve: what stands in front of each frame of a film that is seen.
  const std::vector<std::string> &stamps(size_t film) const {
    return films[film].stamps;
  }
  // Decodes and encodes everything, one after the other; the program is
  // started. Errors name the file. Says on standard error what was changed.
  Status encode();
  // Puts soft rows, with the tokens around them, in place of the ids that stand
  // for them, in their order. BAD_INPUT if there are more or fewer of these.
  Status place(const std::vector<int32_t> &ids, Items &items) const;

private:
  enum Kind { Sound, Picture, Frame, Kinds };
  struct Span {
    Kind kind;
    int64_t first, rows; // soft rows
  };
  struct Film {
    std::unique_ptr<FilmSource> source;
    std::vector<int64_t> frames; // that are seen
    std::vector<std::string> stamps;
  };
  int64_t budget() const;
  Status open_film(const std::string &named);
  Status see(const std::string &named);
  Status watch(Film &film);
  Status show(const media::Picture &picture, Kind kind);
  Status hear(const std::string &named);
  Status append(Kind kind, int64_t rows);

  Program &program;
  const MediaFlags &flags;
  std::vector<Film> films;
  std::vector<Span> spans; // in the order of their kind
  int64_t used = 0;        // soft rows
};

} // namespace gm
