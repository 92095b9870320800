// See film_source.h.
#include "runtime/app/film_source.h"
#include "runtime/app/media_source.h"
#include "runtime/app/text_input.h"
#include "runtime/media/limits.h"
#include "runtime/media/y4m.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <sys/stat.h>

namespace gm {
namespace {

// Some 50,000 paths.
constexpr size_t kMostListBytes = 4u << 20;

struct FileBytes : media::ByteSource {
  explicit FileBytes(FILE *file) : file(file) {}
  int64_t read(uint8_t *to, size_t count) override {
    const size_t n = fread(to, 1, count, file);
    return n ? int64_t(n) : ferror(file) ? -1 : 0;
  }
  FILE *file;
};

bool is_y4m_magic(const char *bytes, size_t count) {
  return count >= 9 && !memcmp(bytes, "YUV4MPEG2", 9);
}

media::Bytes span(const std::string &bytes) {
  return {reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()};
}

// Frames over the time that all are shown.
media::FrameRate rate_of(const std::vector<int64_t> &milliseconds) {
  int64_t all = 0;
  for (int64_t each : milliseconds)
    all += std::max<int64_t>(each, 0);
  media::FrameRate rate = {int64_t(milliseconds.size()) * 1000, all};
  return media::check_rate(rate).ok() ? rate : media::FrameRate();
}

} // namespace

FilmSource::~FilmSource() {
  if (file)
    fclose(file);
}

Status FilmSource::named(const Status &status) const {
  return failure(status.code, "%.200s: %s", called.c_str(), status.text);
}

Status FilmSource::open_folder(const std::string &path) {
  DIR *folder = opendir(path.c_str());
  if (!folder)
    return failure(RESOURCES, "%.200s: cannot be read: %s", called.c_str(),
                   strerror(errno));
  while (const dirent *entry = readdir(folder)) {
    const std::string file = path + "/" + entry->d_name;
    struct stat facts;
    if (entry->d_name[0] != '.' && stat(file.c_str(), &facts) == 0 &&
        S_ISREG(facts.st_mode))
      files.push_back(file);
    if (int64_t(files.size()) > media::kMostFrames)
      break;
  }
  closedir(folder);
  std::sort(files.begin(), files.end());
  count = int64_t(files.size());
  if (!count)
    return failure(BAD_INPUT, "%.200s: the folder has no pictures",
                   called.c_str());
  return {};
}

Status FilmSource::open_list(const std::string &path) {
  called = name_of_input(path);
  std::string text;
  if (Status s = read_input(path, text, {kMostListBytes}); !s.ok())
    return s;
  const std::string folder =
      path == "-" ? "" : path.substr(0, path.rfind('/') + 1);
  size_t number = 1;
  for (size_t at = 0; at < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r'))
      line.pop_back();
    if (line.find_first_not_of(" \t") == line.npos)
      continue;
    if (line == "-" || line.find('\0') != line.npos)
      return failure(BAD_INPUT,
                     "%.200s: line %zu names no picture: expects a path or a "
                     "file: or data: URL per line",
                     called.c_str(), number);
    files.push_back(in_folder(line, folder));
  }
  count = int64_t(files.size());
  if (!count)
    return failure(BAD_INPUT, "%.200s: the list names no picture",
                   called.c_str());
  return {};
}

Status FilmSource::read_bytes(std::string &bytes) {
  rewind(file);
  for (char piece[65536]; size_t n = fread(piece, 1, sizeof piece, file);) {
    if (bytes.size() + n > size_t(media::kMostFileBytes))
      return failure(BAD_INPUT,
                     "%.200s: has more than %lld bytes and is no Y4M film",
                     called.c_str(), (long long)media::kMostFileBytes);
    bytes.append(piece, n);
  }
  return {};
}

// `opened` can be read twice.
Status FilmSource::open_file(FILE *opened,
                             const media::PictureOptions &options) {
  file = opened;
  char magic[10] = {};
  const size_t got = fread(magic, 1, 9, file);
  rewind(file);
  is_y4m = is_y4m_magic(magic, got);
  if (is_y4m) {
    FileBytes source(file);
    media::Y4mReader reader(source);
    if (Status s = reader.open(); !s.ok())
      return named(s);
    if (Status s =
            media::check_picture(reader.height(), reader.width(), options);
        !s.ok())
      return named(s);
    frameRate = reader.rate();
    for (bool more = true; more;)
      if (Status s = reader.skip(more); !s.ok())
        return named(s);
    count = reader.frames_read();
  } else {
    std::string bytes;
    if (Status s = read_bytes(bytes); !s.ok())
      return s;
    media::Animation animation;
    if (Status s = media::read_animation(span(bytes), options, animation);
        !s.ok())
      return named(s);
    if (Status s =
            media::check_picture(animation.height, animation.width, options);
        !s.ok())
      return named(s);
    count = int64_t(animation.milliseconds.size());
    frameRate = rate_of(animation.milliseconds);
  }
  if (!count)
    return failure(BAD_INPUT, "%.200s: the film has no frame", called.c_str());
  return {};
}

// What comes from `pipe`, in a temporary file that can be read twice.
static Status keep_pipe(FILE *pipe, FILE *&kept) {
  kept = tmpfile();
  bool good = kept;
  int64_t bytes = 0, most = media::kMostPipeBytes;
  for (char piece[65536]; good; bytes += int64_t(sizeof piece)) {
    const size_t n = fread(piece, 1, sizeof piece, pipe);
    if (!n)
      break;
    if (!bytes && !is_y4m_magic(piece, n))
      most = media::kMostFileBytes;
    if (bytes + int64_t(n) > most)
      return failure(BAD_INPUT,
                     "has more than %lld bytes; send fewer or smaller frames",
                     (long long)most);
    good = fwrite(piece, 1, n, kept) == n;
  }
  if (!good)
    return failure(RESOURCES, "cannot keep a film in a temporary file: %s",
                   strerror(errno));
  rewind(kept);
  return {};
}

Status FilmSource::open(const std::string &film,
                        const media::PictureOptions &options) {
  if (film.starts_with('@'))
    return open_list(film.substr(1));
  called = film == "-" ? "the standard input" : "'" + film + "'";
  struct stat facts;
  if (film != "-" && stat(film.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode))
    return open_folder(film);
  FILE *given = film == "-" ? stdin : fopen(film.c_str(), "rb");
  if (!given && errno != ENOENT)
    return failure(RESOURCES, "%.200s: cannot be read: %s", called.c_str(),
                   strerror(errno));
  if (!given) { // a URL
    MediaSource source;
    if (Status s = read_media(film, source); !s.ok())
      return s;
    called = source.name;
    FILE *kept = tmpfile();
    if (!kept || fwrite(source.bytes.data(), 1, source.bytes.size(), kept) !=
                     source.bytes.size())
      return failure(RESOURCES, "cannot keep a film in a temporary file: %s",
                     strerror(errno));
    rewind(kept);
    return open_file(kept, options);
  }
  if (given != stdin && fstat(fileno(given), &facts) == 0 &&
      S_ISREG(facts.st_mode))
    return open_file(given, options);
  FILE *kept = nullptr;
  Status s = keep_pipe(given, kept);
  if (given != stdin)
    fclose(given);
  if (!s.ok()) {
    if (kept)
      fclose(kept);
    return named(s);
  }
  return open_file(kept, options);
}

Status
FilmSource::read_y4m(const std::vector<int64_t> &wanted,
                     const std::function<Status(media::Picture &)> &take) {
  rewind(file);
  FileBytes source(file);
  media::Y4mReader reader(source);
  if (Status s = reader.open(); !s.ok())
    return named(s);
  bool more = true;
  for (int64_t frame : wanted) {
    while (more && reader.frames_read() < frame)
      if (Status s = reader.skip(more); !s.ok())
        return named(s);
    media::Picture picture;
    if (Status s = reader.next(picture, more); !s.ok())
      return named(s);
    if (!more)
      return failure(BAD_INPUT, "%.200s: has become shorter", called.c_str());
    if (Status s = take(picture); !s.ok())
      return s;
  }
  return {};
}

Status FilmSource::read(const std::vector<int64_t> &wanted,
                        const media::PictureOptions &options,
                        const std::function<Status(media::Picture &)> &take) {
  if (is_y4m)
    return read_y4m(wanted, take);
  media::PictureRemarks remarks;
  if (!files.empty()) {
    for (int64_t frame : wanted) {
      MediaSource source;
      if (Status s = read_media(files[size_t(frame)], source); !s.ok())
        return s;
      media::Picture picture;
      if (Status s = media::decode_picture(span(source.bytes), options, picture,
                                           remarks);
          !s.ok())
        return failure(s.code, "%.200s: %s", source.name.c_str(), s.text);
      if (Status s = take(picture); !s.ok())
        return s;
    }
    return {};
  }
  std::string bytes;
  if (Status s = read_bytes(bytes); !s.ok())
    return s;
  auto wants = [&](int64_t frame) {
    return std::binary_search(wanted.begin(), wanted.end(), frame);
  };
  bool taken = true; // by `take`, which names the film itself
  Status s = media::decode_animation(span(bytes), options,
                                     {wants,
                                      [&](int64_t, media::Picture &picture) {
                                        Status given = take(picture);
                                        taken = given.ok();
                                        return given;
                                      }},
                                     remarks);
  return s.ok() || !taken ? s : named(s);
}

} // namespace gm
