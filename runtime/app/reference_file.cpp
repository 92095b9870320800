// See reference_file.h. Nothing read from the file is trusted.
#include "runtime/app/reference_file.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gm {

// The header of a safetensors file: one JSON object. Knows as much of JSON as
// that needs; what is no tensor of ours is skipped, at most 16 levels deep.
class ReferenceFile::Header {
public:
  Header(const std::string &text, Tensor &logits, Tensor &tokens)
      : at(text.data()), end(at + text.size()), logits(logits), tokens(tokens) {
  }

  bool parse() {
    std::string key;
    if (!take('{'))
      return false;
    if (take('}'))
      return true;
    do {
      if (!string(key) || !take(':'))
        return false;
      Tensor *known = key == "logits"      ? &logits
                      : key == "input_ids" ? &tokens
                                           : nullptr;
      if (known ? known->found || !tensor(*known) : !skip(0))
        return false;
    } while (take(','));
    return take('}');
  }

private:
  bool take(char c) {
    while (at < end && strchr(" \t\r\n", *at) && *at)
      ++at;
    if (at == end || *at != c)
      return false;
    ++at;
    return true;
  }

  // Escapes stay as they are: no name of ours has any.
  bool string(std::string &out) {
    out.clear();
    if (!take('"'))
      return false;
    for (; at < end && *at != '"'; ++at) {
      if (*at == '\\' && end - at > 1)
        out += *at++;
      out += *at;
    }
    return at < end && *at++ == '"';
  }

  bool number(uint64_t &out) {
    const char *begin = (take(' '), at);
    for (out = 0; at < end && *at >= '0' && *at <= '9'; ++at) {
      if (at - begin == 18)
        return false;
      out = out * 10 + uint64_t(*at - '0');
    }
    return at != begin;
  }

  bool numbers(std::vector<uint64_t> &out) {
    if (!take('['))
      return false;
    if (take(']'))
      return true;
    do
      if (out.size() == 8 || !number(out.emplace_back()))
        return false;
    while (take(','));
    return take(']');
  }

  bool tensor(Tensor &t) {
    std::string key;
    std::vector<uint64_t> offsets;
    if (!take('{'))
      return false;
    do {
      if (!string(key) || !take(':'))
        return false;
      if (!(key == "dtype"          ? string(t.dtype)
            : key == "shape"        ? t.shape.empty() && numbers(t.shape)
            : key == "data_offsets" ? offsets.empty() && numbers(offsets)
                                    : skip(0)))
        return false;
    } while (take(','));
    if (!take('}') || offsets.size() != 2 || offsets[0] > offsets[1])
      return false;
    t.begin = offsets[0], t.end = offsets[1];
    return t.found = true;
  }

  bool skip(int depth) {
    std::string text;
    if (depth > 16)
      return false;
    if (take('{')) {
      if (take('}'))
        return true;
      do
        if (!string(text) || !take(':') || !skip(depth + 1))
          return false;
      while (take(','));
      return take('}');
    }
    if (take('[')) {
      if (take(']'))
        return true;
      do
        if (!skip(depth + 1))
          return false;
      while (take(','));
      return take(']');
    }
    if (at < end && *at == '"')
      return string(text);
    const char *begin = at; // a number or a word
    while (at < end && (isalnum((unsigned char)*at) || strchr("+-.", *at)))
      ++at;
    return at != begin;
  }

  const char *at, *end;
  Tensor &logits, &tokens;
};

ReferenceFile::~ReferenceFile() {
  if (fd > 0)
    close(fd);
}

Status ReferenceFile::bad(const std::string &what) const {
  return failure(BAD_INPUT, "'%.200s': %s", name.c_str(), what.c_str());
}

Status ReferenceFile::read(void *to, size_t bytes) {
  char *place = static_cast<char *>(to);
  while (bytes) {
    ssize_t n = ::read(fd, place, bytes);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return failure(RESOURCES, "cannot read '%.200s': %s", name.c_str(),
                     strerror(errno));
    if (n == 0)
      return bad("ends after " + std::to_string(data + at) +
                 " bytes, before all of its logits");
    place += n;
    bytes -= size_t(n);
    at += uint64_t(n);
  }
  return {};
}

Status ReferenceFile::seek(uint64_t offset) {
  if (seekable) {
    if (lseek(fd, off_t(data + offset), SEEK_SET) < 0)
      return failure(RESOURCES, "cannot read '%.200s': %s", name.c_str(),
                     strerror(errno));
    at = offset;
    return {};
  }
  if (offset < at)
    return bad("is no plain file, so its input_ids must stand before its "
               "logits");
  std::vector<char> skipped(std::min<uint64_t>(offset - at, 1 << 16));
  while (at < offset)
    if (Status s =
            read(skipped.data(),
                 size_t(std::min<uint64_t>(skipped.size(), offset - at)));
        !s.ok())
      return s;
  return {};
}

Status ReferenceFile::read_header(Tensor &logits, Tensor &tokens) {
  enum : uint64_t { MOST = 1 << 20 };
  uint64_t length = 0;
  if (Status s = read(&length, sizeof length); !s.ok())
    return s;
  struct stat st;
  uint64_t size = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
                      ? uint64_t(st.st_size)
                      : UINT64_MAX;
  if (length < 2 || length > std::min<uint64_t>(MOST, size))
    return bad("is no safetensors file: its first 8 bytes say that the header "
               "has " +
               std::to_string(length) + " bytes");
  std::string text(size_t(length), 0);
  if (Status s = read(text.data(), text.size()); !s.ok())
    return s;
  if (!Header(text, logits, tokens).parse())
    return bad("is no safetensors file: its header is not as expected");
  data = sizeof length + length;
  at = 0;
  if (std::max(logits.end, tokens.end) > size - std::min(size, data))
    return bad("has " + std::to_string(size) +
               " bytes, fewer than its header says");
  return {};
}

static std::string describe(const std::string &dtype,
                            const std::vector<uint64_t> &shape) {
  std::string out = dtype + " [";
  for (size_t i = 0; i < shape.size(); ++i)
    out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

Status ReferenceFile::check_shapes(const Tensor &logits, const Tensor &tokens,
                                   uint64_t rows, uint64_t vocab) const {
  if (!logits.found || !tokens.found)
    return bad(std::string("lacks the tensor ") +
               (logits.found ? "input_ids" : "logits") +
               "; 'eval --logits' writes it");
  const std::vector<uint64_t> expected[2] = {{rows, vocab}, {rows}};
  if (logits.dtype != "F32" || logits.shape != expected[0] ||
      logits.end - logits.begin != rows * vocab * 4)
    return bad("logits: expected " + describe("F32", expected[0]) +
               " (tokens of this input, vocabulary of this model), found " +
               describe(logits.dtype, logits.shape));
  bool wide = tokens.dtype == "I64";
  if ((!wide && tokens.dtype != "I32") || tokens.shape != expected[1] ||
      tokens.end - tokens.begin != rows * (wide ? 8 : 4))
    return bad("input_ids: expected " + describe("I32", expected[1]) +
               ", found " + describe(tokens.dtype, tokens.shape));
  return {};
}

Status ReferenceFile::open(const std::string &path, uint64_t rows,
                           int64_t vocab) {
  name = path;
  fd = path == "-" ? 0 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return failure(errno == EACCES ? RESOURCES : BAD_INPUT,
                   "cannot open '%.200s': %s", path.c_str(), strerror(errno));
  seekable = lseek(fd, 0, SEEK_CUR) >= 0;
  if (Status s = read_header(logits, tokens); !s.ok())
    return s;
  if (Status s = check_shapes(logits, tokens, rows, uint64_t(vocab)); !s.ok())
    return s;
  buffer.resize(size_t(vocab));
  return {};
}

Status ReferenceFile::check_ids(const std::vector<int32_t> &ids) {
  if (id == 0)
    if (Status s = seek(tokens.begin); !s.ok())
      return s;
  enum : size_t { BLOCK = 4096 };
  const size_t bytes = tokens.dtype == "I64" ? 8 : 4;
  uint8_t bits[BLOCK * 8];
  for (size_t i = 0; i < ids.size(); ++i, ++id) {
    if (i % BLOCK == 0)
      if (Status s =
              read(bits, std::min<size_t>(BLOCK, ids.size() - i) * bytes);
          !s.ok())
        return s;
    const uint8_t *from = bits + i % BLOCK * bytes;
    int64_t found;
    int32_t narrow;
    memcpy(&narrow, from, 4);
    if (bytes == 8)
      memcpy(&found, from, 8);
    else
      found = narrow;
    if (found != ids[i])
      return bad("is of other tokens: expected id " + std::to_string(ids[i]) +
                 " as token " + std::to_string(id) + ", found " +
                 std::to_string(found));
  }
  return {};
}

Status ReferenceFile::next_row(const float *&values) {
  if (row++ == 0)
    if (Status s = seek(logits.begin); !s.ok())
      return s;
  values = buffer.data();
  return read(buffer.data(), buffer.size() * 4);
}

Status ReferenceFile::bad_row(const char *what) const {
  return bad("row " + std::to_string(row - 1) + " of logits " + what);
}

} // namespace gm
