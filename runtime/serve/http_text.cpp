// See http_text.h.
#include "runtime/serve/http_text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstdio>
#include <ctime>
#include <sys/random.h>

namespace gm {

const char *reason_of(int status) {
  switch (status) {
  case 200:
    return "OK";
  case 204:
    return "No Content";
  case 400:
    return "Bad Request";
  case 401:
    return "Unauthorized";
  case 403:
    return "Forbidden";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  case 408:
    return "Request Timeout";
  case 413:
    return "Payload Too Large";
  case 415:
    return "Unsupported Media Type";
  case 429:
    return "Too Many Requests";
  case 431:
    return "Request Header Fields Too Large";
  case 500:
    return "Internal Server Error";
  case 501:
    return "Not Implemented";
  case 503:
    return "Service Unavailable";
  }
  return "Answer";
}

std::string random_hex(size_t count) {
  // A counter stands in for a machine that has no randomness yet: ids must
  // differ, and are no secrets.
  static thread_local uint64_t turn = 0;
  std::string out;
  while (out.size() < count) {
    uint64_t drawn;
    if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn)
      drawn = Random{uint64_t(time(nullptr)) + ++turn}.next();
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)drawn);
    out += text;
  }
  out.resize(count);
  return out;
}

std::string request_id(std::string_view given) {
  auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
  };
  if (!given.empty() && given.size() <= 128 &&
      std::all_of(given.begin(), given.end(), plain))
    return std::string(given);
  return "req_" + random_hex(24);
}

static char lower_of(char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; }

std::string bearer(std::string_view authorization) {
  const std::string_view scheme = "bearer ";
  if (authorization.size() < scheme.size() ||
      !std::equal(scheme.begin(), scheme.end(), authorization.begin(),
                  [](char a, char b) { return a == lower_of(b); }))
    return "";
  authorization.remove_prefix(
      std::min(authorization.find_first_not_of(' ', scheme.size()),
               authorization.size()));
  return std::string(authorization);
}

std::string media_type(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && (content_type.back() == ' '))
    content_type.remove_suffix(1);
  std::string out(content_type);
  std::transform(out.begin(), out.end(), out.begin(), lower_of);
  return out;
}

std::string answer_head(int status, const std::string &type, int64_t length,
                        bool chunks, bool keep, const std::string &id,
                        const HttpHeaders &more) {
  std::string out =
      "HTTP/1.1 " + std::to_string(status) + " " + reason_of(status) + "\r\n";
  auto add = [&](std::string_view name, std::string_view value) {
    ((out += name) += ": ").append(value) += "\r\n";
  };
  char date[64];
  const time_t now = time(nullptr);
  tm parts;
  if (gmtime_r(&now, &parts) &&
      strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts))
    add("date", date);
  if (!type.empty())
    add("content-type", type);
  if (length >= 0 && status != 204)
    add("content-length", std::to_string(length));
  else if (length < 0 && chunks)
    add("transfer-encoding", "chunked");
  add("cache-control", "no-store");
  add("x-content-type-options", "nosniff");
  add("connection", keep ? "keep-alive" : "close");
  if (!id.empty())
    add("x-request-id", id);
  for (const auto &[name, value] : more)
    add(name, value);
  return out += "\r\n";
}

void append_chunk(std::string_view piece, std::string &out) {
  char size[24];
  snprintf(size, sizeof size, "%zx\r\n", piece.size());
  ((out += size) += piece) += "\r\n";
}

std::string percent_decoded(std::string_view text) {
  auto digit = [](char c) {
    return c >= '0' && c <= '9'                       ? c - '0'
           : lower_of(c) >= 'a' && lower_of(c) <= 'f' ? lower_of(c) - 'a' + 10
                                                      : -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool coded = text[i] == '%' && i + 2 < text.size() &&
                       digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    out += coded ? char(digit(text[i + 1]) * 16 + digit(text[i + 2])) : text[i];
    i += coded ? 2 : 0;
  }
  return out;
}

std::string_view host_of(std::string_view authority) {
  if (size_t scheme = authority.find("://"); scheme != authority.npos)
    authority.remove_prefix(scheme + 3);
  if (!authority.empty() && authority[0] == '[')
    return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

bool is_literal(std::string_view host) {
  const std::string text(host);
  char address[16];
  return text == "localhost" ||
         inet_pton(AF_INET, text.c_str(), address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), address) == 1;
}

bool same_key(std::string_view a, std::string_view b) {
  volatile uint8_t differs = a.size() != b.size();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    differs = differs | uint8_t(a[i] ^ b[i]);
  return !differs;
}

} // namespace gm
