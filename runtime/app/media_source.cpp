// See media_source.h.
#include "runtime/app/media_source.h"

#include "runtime/app/text_input.h"
#include "runtime/app/unicode.h"
#include "runtime/media/kinds.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <string_view>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gm {
namespace {

using std::string_view;

bool starts(string_view text, string_view scheme) {
  return text.size() >= scheme.size() &&
         strncasecmp(text.data(), scheme.data(), scheme.size()) == 0;
}

// As messages quote it.
std::string shortened(const std::string &named) {
  return "'" + (named.size() > 100 ? named.substr(0, 97) + "..." : named) + "'";
}

// %41 is A; the offset of a % without two digits behind it, or npos.
size_t percent_decode(string_view text, std::string &out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1,
              low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return i;
    out += char(high << 4 | low);
    i += 2;
  }
  return text.npos;
}

int base64_digit(char c) {
  return c >= 'A' && c <= 'Z'   ? c - 'A'
         : c >= 'a' && c <= 'z' ? c - 'a' + 26
         : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+' || c == '-' ? 62
         : c == '/' || c == '_' ? 63
                                : -1;
}

// Either alphabet, blanks and line breaks anywhere, padding or none; the offset
// of what is none of it, or npos.
size_t base64_decode(string_view text, std::string &out) {
  uint32_t bits = 0;
  size_t digits = 0, i = 0;
  for (; i < text.size() && text[i] != '='; ++i) {
    if (isspace((unsigned char)text[i]))
      continue;
    const int digit = base64_digit(text[i]);
    if (digit < 0)
      return i;
    bits = bits << 6 | uint32_t(digit);
    if (++digits % 4 == 0)
      out.append({char(bits >> 16), char(bits >> 8), char(bits)});
  }
  for (size_t behind = i; behind < text.size(); ++behind)
    if (text[behind] != '=' && !isspace((unsigned char)text[behind]))
      return behind;
  if (digits % 4 == 1)
    return i;
  if (digits % 4 == 2)
    out += char(bits >> 4);
  if (digits % 4 == 3)
    out.append({char(bits >> 10), char(bits >> 2)});
  return text.npos;
}

Status read_data_url(string_view url, std::string &bytes) {
  const size_t comma = url.find(',');
  if (comma == url.npos)
    return failure(USAGE, "a data: URL without a comma: expects "
                          "data:TYPE;base64,BYTES");
  const string_view head = url.substr(0, comma), data = url.substr(comma + 1);
  constexpr string_view kBase64 = ";base64";
  const bool packed =
      head.size() >= kBase64.size() &&
      starts(head.substr(head.size() - kBase64.size()), kBase64);
  std::string plain;
  if (const size_t bad = percent_decode(data, plain); bad != data.npos)
    return failure(USAGE,
                   "a data: URL whose %% at offset %zu has no two digits "
                   "behind it",
                   comma + 1 + bad);
  if (!packed) {
    bytes = std::move(plain);
    return {};
  }
  if (const size_t bad = base64_decode(plain, bytes); bad != plain.npos)
    return failure(USAGE,
                   "a data: URL that is no base64 at byte %zu of its "
                   "data",
                   bad);
  return {};
}

Status path_of_file_url(const std::string &url, std::string &path) {
  string_view rest = string_view(url).substr(5);
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    const string_view host = rest.substr(0, rest.find('/'));
    if (!host.empty() && (host.size() != 9 || !starts(host, "localhost")))
      return failure(UNSUPPORTED,
                     "%s is a file of another machine: expects file:///PATH",
                     shortened(url).c_str());
    rest.remove_prefix(host.size());
  }
  rest = rest.substr(0, rest.find_first_of("?#"));
  if (!rest.starts_with("/"))
    return failure(USAGE, "%s has no whole path: expects file:///PATH",
                   shortened(url).c_str());
  if (percent_decode(rest, path) != rest.npos || path.find('\0') != path.npos)
    return failure(USAGE,
                   "%s has a %% without two digits behind it, or one that "
                   "stands for no character",
                   shortened(url).c_str());
  return {};
}

// Whether nothing is called so, so that it may be the bytes themselves.
bool is_no_file(const std::string &path) {
  return access(path.c_str(), F_OK) != 0 &&
         (errno == ENOENT || errno == ENAMETOOLONG || errno == ENOTDIR);
}

bool is_base64_of_media(const std::string &text, std::string &bytes) {
  if (base64_decode(text, bytes) == text.npos) {
    const auto kind = media::kind_of(
        {reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()});
    if (kind.kind != media::Kind::Unknown && kind.kind != media::Kind::Other)
      return true;
  }
  bytes.clear();
  return false;
}

Status check_size(const MediaSource &source, size_t most) {
  if (source.bytes.empty())
    return failure(BAD_INPUT, "%s is empty", source.name.c_str());
  if (source.bytes.size() > most)
    return failure(BAD_INPUT,
                   "%s has more than %zu bytes, the most that is "
                   "read",
                   source.name.c_str(), most);
  return {};
}

} // namespace

Status read_carried(const std::string &named, MediaSource &source,
                    size_t most) {
  source = {};
  if (starts(named, "data:")) {
    source.name = "the data: URL";
    if (Status s = read_data_url(named, source.bytes); !s.ok())
      return s;
    return check_size(source, most);
  }
  source.name = "the base64 text";
  if (is_base64_of_media(named, source.bytes))
    return check_size(source, most);
  return failure(UNSUPPORTED,
                 "expects a data: URL (data:image/png;base64,...) or base64 of "
                 "a picture or a sound; paths and other URLs are not opened, "
                 "got %s",
                 shortened(named).c_str());
}

Status read_media(const std::string &named, MediaSource &source, size_t most) {
  source = {};
  std::string path = named;
  if (named.empty())
    return failure(USAGE, "expects a file, got an empty name");
  if (starts(named, "data:"))
    return read_carried(named, source, most);
  if (starts(named, "file:")) {
    path.clear();
    if (Status s = path_of_file_url(named, path); !s.ok())
      return s;
  } else if (const size_t at = named.find("://");
             at != named.npos && at > 0 && at <= 10 &&
             std::all_of(named.begin(), named.begin() + long(at),
                         [](unsigned char c) { return isalnum(c); })) {
    return failure(UNSUPPORTED,
                   "%s is on a network, and programs fetch nothing: download "
                   "it and give its path (for example: curl -LO URL)",
                   shortened(named).c_str());
  } else if (named != "-" && is_no_file(named) &&
             is_base64_of_media(named, source.bytes)) {
    source.name = "the base64 text";
    return check_size(source, most);
  }
  if (path.size() > 4095)
    return failure(BAD_INPUT,
                   "%s is no file, and no base64 of a picture or a sound",
                   shortened(path).c_str());
  source.name = name_of_input(path);
  InputLimit limit;
  limit.bytes = most;
  if (Status s = read_input(path, source.bytes, limit); !s.ok())
    return s;
  struct stat facts;
  source.lasting =
      path != "-" && stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode);
  return check_size(source, most);
}

std::string in_folder(const std::string &named, const std::string &folder) {
  const bool is_url = named.find("://") < 16 || starts(named, "data:") ||
                      starts(named, "file:");
  if (is_url || folder.empty() || named.empty() || named[0] == '/' ||
      named == "-" || named.size() > 1024)
    return named;
  return folder + named;
}

} // namespace gm
