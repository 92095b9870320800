// See verify.h.
#include "runtime/app/verify.h"
#include "runtime/manifest_generated.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace gm {

namespace mf = gemmac::manifest;

namespace {

// Bytes of a file and the hash that they should have.
struct Part {
  std::string name; // "weight 'embed'"
  int fd;
  uint64_t offset, bytes, hash;
  // After work:
  bool done = false;
  uint64_t found = 0, read = 0;
  int problem = 0; // errno
};

std::string name_of(const char *kind, const flatbuffers::String *name) {
  return std::string(kind) + " '" + (name ? name->c_str() : "") + "'";
}

std::vector<Part> parts_of(const File &file) {
  const mf::Program &p = *file.manifest;
  std::vector<Part> parts;
  if (p.sections())
    for (const mf::Section *s : *p.sections())
      parts.push_back({name_of("section", s->name()), file.fd, s->offset(),
                       s->bytes(), s->hash()});
  if (p.weights() && !p.weightless())
    for (const mf::Weight *w : *p.weights())
      parts.push_back({name_of("weight", w->name()), file.weights_fd,
                       file.weights_offset + w->offset(), w->bytes(),
                       w->hash()});
  return parts;
}

class Work {
public:
  explicit Work(std::vector<Part> &parts) : parts(parts), order(parts.size()) {
    for (size_t i = 0; i < parts.size(); ++i) {
      order[i] = i;
      total += parts[i].bytes;
    }
    // Largest first, so that the threads end together.
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return parts[a].bytes > parts[b].bytes;
    });
  }

  void run(int64_t threads) {
    std::vector<std::thread> others;
    try {
      for (int64_t t = 1; t < threads; ++t)
        others.emplace_back([this] { hash_parts(false); });
    } catch (const std::system_error &) { // fewer threads do it as well
    }
    hash_parts(true);
    for (std::thread &thread : others) {
      show();
      thread.join();
    }
    if (shown && terminal)
      fprintf(stderr, "\r\033[K");
  }

private:
  enum : size_t { CHUNK = 1 << 20 };

  void hash_parts(bool shows) {
    std::unique_ptr<uint8_t[]> buffer(new uint8_t[CHUNK]);
    std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t *)> state(
        XXH3_createState(), XXH3_freeState);
    for (size_t i = next++; i < order.size(); i = next++)
      hash_part(parts[order[i]], buffer.get(), state.get(), shows);
  }

  void hash_part(Part &part, uint8_t *buffer, XXH3_state_t *state, bool shows) {
    XXH3_64bits_reset(state);
    while (part.read < part.bytes && !part.problem) {
      size_t n = size_t(std::min<uint64_t>(CHUNK, part.bytes - part.read));
      ssize_t got = pread(part.fd, buffer, n, off_t(part.offset + part.read));
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0) {
        part.problem = got < 0 ? errno : -1; // -1: the file ends
        break;
      }
      XXH3_64bits_update(state, buffer, size_t(got));
      part.read += uint64_t(got);
      done += uint64_t(got);
      if (shows)
        show();
    }
    part.found = XXH3_64bits_digest(state);
    part.done = true;
  }

  // On a terminal a line that changes, elsewhere one every ten percent; only of
  // work that takes more than a second.
  void show() {
    Clock::time_point now = Clock::now();
    int percent = int(double(done.load()) / double(total) * 100);
    if (now - start < std::chrono::seconds(1) || total == 0)
      return;
    if (terminal && now - last > std::chrono::milliseconds(100)) {
      last = now;
      shown = true;
      double seconds = std::chrono::duration<double>(now - start).count();
      fprintf(stderr, "\rverifying: %d %% of %.1f MB, %.2f GB/s  ", percent,
              double(total) / 1e6, double(done.load()) / seconds / 1e9);
      fflush(stderr);
    } else if (!terminal && percent / 10 > tenth) {
      tenth = percent / 10;
      fprintf(stderr, "verifying: %d %% of %.1f MB\n", percent,
              double(total) / 1e6);
    }
  }

  using Clock = std::chrono::steady_clock;
  std::vector<Part> &parts;
  std::vector<size_t> order;
  uint64_t total = 0;
  std::atomic<size_t> next = 0;
  std::atomic<uint64_t> done = 0;
  const Clock::time_point start = Clock::now();
  Clock::time_point last{};
  int tenth = 0;
  const bool terminal = isatty(STDERR_FILENO);
  bool shown = false;
};

Status damage(const File &file, const Part &part, size_t others) {
  char more[48] = "", what[80];
  if (others)
    snprintf(more, sizeof more, ", and so %s %zu more",
             others == 1 ? "is" : "are", others);
  if (part.problem)
    snprintf(what, sizeof what, "the file ends after %" PRIu64 " of them",
             part.read);
  else
    snprintf(what, sizeof what, "hash %016" PRIx64 ", expected %016" PRIx64,
             part.found, part.hash);
  return failure(BAD_INPUT,
                 "%.80s of '%.200s' is damaged%s: %" PRIu64
                 " bytes at offset %" PRIu64
                 "%s: %s; make the program again with gemmac",
                 part.name.c_str(), file.path, more, part.bytes, part.offset,
                 part.fd == file.fd ? "" : " of its weight file", what);
}

} // namespace

Status verify_file(const File &file, int64_t threads, Verified &verified) {
  std::vector<Part> parts = parts_of(file);
  Work(parts).run(threads);
  const Part *first = nullptr;
  size_t bad = 0;
  verified = {};
  for (const Part &part : parts) {
    if (part.problem > 0)
      return failure(RESOURCES, "cannot read %.80s of '%.200s': %s",
                     part.name.c_str(), file.path, strerror(part.problem));
    if (part.problem || part.found != part.hash) {
      first = first ? first : &part;
      ++bad;
    }
    verified.bytes += part.bytes;
  }
  if (first)
    return damage(file, *first, bad - 1);
  const mf::Program &p = *file.manifest;
  verified.weights = p.weights() && !p.weightless() ? p.weights()->size() : 0;
  verified.sections = p.sections() ? p.sections()->size() : 0;
  return {};
}

} // namespace gm
