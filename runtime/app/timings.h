// How long an answer took, for people: --timings of run and chat.
#pragma once

#include "runtime/app/encoding.h"
#include "runtime/gemma.h"
#include "runtime/host/clock.h"

#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

namespace gm {

// A line on stderr for each kind of medium.
inline void print_encodings(const std::vector<Encoding> &encodings) {
  for (const char *kind : {"picture", "sound", "frame"}) {
    int64_t count = 0, read = 0, encoded = 0, soft = 0;
    for (const Encoding &e : encodings)
      if (kind == std::string_view(e.kind)) {
        ++count;
        read += e.ready - e.begin;
        encoded += e.end - e.ready;
        soft += e.soft;
      }
    if (count)
      fprintf(stderr,
              "timings: %lld %s%s read in %.1f ms, encoded in %.1f ms to %lld "
              "soft tokens (%.1f tok/s)\n",
              (long long)count, kind, count > 1 ? "s" : "", double(read) * 1e-6,
              double(encoded) * 1e-6, (long long)soft,
              double(soft) * 1e9 / double(encoded));
  }
}

class Timings {
public:
  explicit Timings(size_t prompt) : prompt(prompt) {}
  void token() {
    last = now_ns();
    first = count++ ? first : last;
  }
  // On stderr. The first token comes with the prompt.
  void print(uint64_t seed, const Loaded &loaded) const {
    auto rate = [](size_t tokens, int64_t ns) {
      return ns > 0 ? double(tokens) * 1e9 / double(ns) : 0;
    };
    fprintf(stderr,
            "timings: %zu tokens read, first token after %.1f ms (%.1f tok/s); "
            "%zu generated in %.1f ms (%.1f tok/s); seed %llu\n",
            prompt, double(first - begin) * 1e-6, rate(prompt, first - begin),
            count, double(last - first) * 1e-6,
            rate(count ? count - 1 : 0, last - first),
            static_cast<unsigned long long>(seed));
    if (loaded.copied)
      fprintf(stderr, "timings: weights copied into memory in %.2f s\n",
              loaded.seconds);
  }

private:
  size_t prompt, count = 0;
  int64_t begin = now_ns(), first = begin, last = begin;
};

} // namespace gm
