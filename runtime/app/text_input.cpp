// See text_input.h.
#include "runtime/app/text_input.h"
#include "runtime/app/unicode.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gm {

Positional TextInput::argument(const char *what) {
  return {"TEXT", std::string(what) + ", - = standard input", &positional, 1};
}

std::vector<Flag> TextInput::flags(const char *what) {
  return {{"--prompt", "-p", "TEXT", what, &text},
          {"--file", "-f", "FILE",
           "a file with " + std::string(what) +
               ", - = standard input (default: what comes in a pipe)",
           &file}};
}

Status TextInput::settle(const char *command, const char *others, int given) {
  if (!positional.empty() && text)
    return failure(USAGE, "the text is given twice: as '%.100s' and with -p",
                   positional[0].c_str());
  if (!positional.empty() && positional[0] == "-" && !file)
    file = "-";
  else if (!positional.empty())
    text = positional[0];
  int sources = bool(text) + bool(file) + given;
  if (sources == 0 && !isatty(0)) {
    file = "-";
    sources = 1;
  }
  if (sources == 1)
    return {};
  return failure(USAGE, "%s expects one of TEXT, -p TEXT, -f FILE%s, got %s",
                 command, others, sources ? "several" : "none");
}

Status TextInput::read(std::string &bytes, const InputLimit &limit,
                       bool joins) const {
  if (file) {
    if (Status s = read_input(*file, bytes, limit); !s.ok())
      return s;
    return check_text(bytes, name());
  }
  bytes = *text;
  if (Status s = check_text(bytes, name()); !s.ok())
    return s;
  if (!joins || !input_is_given())
    return {};
  // Who inherited a pipe that nobody closes would wait for ever in silence.
  pollfd waiting = {0, POLLIN, 0};
  if (poll(&waiting, 1, 2000) == 0)
    fprintf(stderr, "note: waiting for the standard input, which follows the "
                    "text; </dev/null for none\n");
  std::string more;
  if (Status s = read_input("-", more, limit); !s.ok())
    return s;
  if (more.empty())
    return {};
  bytes += "\n\n" + more;
  return check_text(more, name_of_input("-"));
}

ByteReader::~ByteReader() {
  if (fd > 0)
    close(fd);
}

Status ByteReader::cannot(int problem) const {
  return failure(problem == EACCES ? RESOURCES : BAD_INPUT,
                 "cannot read %s: %s", name_of_input(path).c_str(),
                 strerror(problem));
}

Status ByteReader::open(const std::string &from) {
  path = from;
  fd = path == "-" ? 0 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return cannot(errno);
  struct stat st;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
    start = lseek(fd, 0, SEEK_CUR);
  return {};
}

void ByteReader::open_text(const std::string &from) { text = &from; }

Status ByteReader::next(std::string_view &piece) {
  enum : size_t { PIECE = 1u << 16 };
  if (text) {
    piece = std::string_view(*text).substr(given, PIECE);
    given += piece.size();
    return {};
  }
  if (!buffer)
    buffer.reset(new char[PIECE]);
  for (;;) {
    // poll ends at a signal, a read of a restarted system call does not.
    pollfd ready = {fd, POLLIN, 0};
    ssize_t n = poll(&ready, 1, -1);
    if (n > 0)
      n = ::read(fd, buffer.get(), PIECE);
    if (n < 0 && errno == EINTR && interrupted())
      return failure(RUN_ERROR, "interrupted while reading %s",
                     name_of_input(path).c_str());
    if (n < 0 && errno != EINTR && errno != EAGAIN)
      return cannot(errno);
    if (n < 0)
      continue;
    piece = {buffer.get(), size_t(n)};
    return {};
  }
}

Status ByteReader::rewind() {
  given = 0;
  if (fd >= 0 && lseek(fd, off_t(start), SEEK_SET) < 0)
    return cannot(errno);
  return {};
}

Status read_pieces(const std::string &path,
                   const std::function<Status(std::string_view)> &take) {
  ByteReader reader;
  Status s = reader.open(path);
  for (std::string_view piece; s.ok();) {
    s = reader.next(piece);
    if (s.ok() && piece.empty())
      break;
    if (s.ok())
      s = take(piece);
  }
  return s;
}

Status too_large(const std::string &path, const InputLimit &limit) {
  if (limit.tokens)
    return failure(RUN_ERROR,
                   "%s has more than %zu bytes, which are more tokens than "
                   "the %lld that the context holds; shorten it or give a "
                   "larger -c",
                   name_of_input(path).c_str(), limit.bytes,
                   (long long)limit.tokens);
  return failure(BAD_INPUT, "%s is larger than %zu MiB, the most that is read",
                 name_of_input(path).c_str(), limit.bytes >> 20);
}

Status read_input(const std::string &path, std::string &bytes,
                  const InputLimit &limit) {
  return read_pieces(path, [&](std::string_view piece) -> Status {
    if (piece.size() > limit.bytes - bytes.size())
      return too_large(path, limit);
    bytes += piece;
    return {};
  });
}

std::string TextInput::name() const {
  return file ? name_of_input(*file) : "the text";
}

std::string name_of_input(const std::string &path) {
  return path == "-" ? "the standard input" : "'" + path + "'";
}

Status check_text(const std::string &text, const std::string &source) {
  if (text.empty())
    return failure(USAGE, "%s is empty", source.c_str());
  size_t bad = first_bad_utf8(text);
  if (bad != text.size())
    return not_utf8(source, (unsigned char)text[bad], bad);
  return {};
}

Status not_utf8(const std::string &source, unsigned char bad, uint64_t offset) {
  return failure(BAD_INPUT, "%s is not UTF-8: byte 0x%02X at offset %llu",
                 source.c_str(), bad, (unsigned long long)offset);
}

bool input_is_given() {
  struct stat st;
  return fstat(0, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode));
}

} // namespace gm
