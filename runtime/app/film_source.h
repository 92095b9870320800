// A film that a user names: Y4M in a file or a pipe, an animated GIF or WebP, a
// folder of pictures or a list of them. Says how many frames it has before any
// is decoded, and gives those that are wanted. Knows files; must not know what
// sees them.
#pragma once

#include "runtime/media/decode_picture.h"
#include "runtime/media/film.h"

#include <functional>
#include <string>
#include <vector>

namespace gm {

class FilmSource {
public:
  FilmSource() = default;
  FilmSource(const FilmSource &) = delete;
  ~FilmSource();

  // `named` as read_media takes it; a folder, whose pictures are frames in the
  // order of their names; or "@LIST", a text file with a picture on each line,
  // as read_media takes it, of which paths are relative to the list. A pipe is
  // kept in a temporary file, since which frames are seen depends on how many
  // there are. Errors name the file.
  // USAGE for frames of more pixels than the options allow.
  Status open(const std::string &named, const media::PictureOptions &options);
  int64_t frames() const { return count; }
  // Frames a second; 24 where nothing says it.
  media::FrameRate rate() const { return frameRate; }
  const std::string &name() const { return called; }

  // Gives frames of these ascending numbers, one after the other.
  Status read(const std::vector<int64_t> &wanted,
              const media::PictureOptions &options,
              const std::function<Status(media::Picture &)> &take);

private:
  Status open_folder(const std::string &path);
  Status open_list(const std::string &path);
  Status open_file(FILE *opened, const media::PictureOptions &options);
  // All of an animated picture, which is in memory only while it is read.
  Status read_bytes(std::string &bytes);
  Status named(const Status &status) const;
  Status read_y4m(const std::vector<int64_t> &wanted,
                  const std::function<Status(media::Picture &)> &take);

  std::string called;
  int64_t count = 0;
  media::FrameRate frameRate;
  std::vector<std::string> files; // of a folder or a list
  FILE *file = nullptr;           // of other films
  bool is_y4m = false;            // else an animated picture
};

} // namespace gm
