// How long an answer took, for people: --timings of run and chat.
#pragma once

#include "runtime/gemma.h"
#include "runtime/host/clock.h"

#include <cstdint>
#include <cstdio>

namespace gm {

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
