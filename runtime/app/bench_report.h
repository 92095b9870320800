// How `bench` shows its results: a table, a markdown table, or JSON.
#pragma once

#include "runtime/host/probe.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gm {

struct BenchModel {
  std::string name, format;
  uint64_t bytes = 0, parameters = 0; // of the weights
  bool synthetic = false;
};

struct BenchResult {
  std::string test; // "pp512"
  int64_t depth = 0, threads = 0, batch = 0, sequences = 1;
  bool kv_skip = true;
  std::vector<double> tok_s;                // one per repetition
  int64_t media_tokens = 0;                 // of a picture or a sound
  double bytes_per_token = 0;               // read from memory
  double ops_per_token = 0;                 // multiplications and additions
  bool has_probe = false, detailed = false; // detailed: show the probes
  Probe before, after;
};

class BenchReport {
public:
  enum Style { Table, Markdown, Json };

  // `media`: some results are of pictures and sounds, which have milliseconds.
  BenchReport(Style style, const BenchModel &model, bool media)
      : style(style), model(model), media(media) {}
  void begin();
  void add(const BenchResult &result);
  void end();

private:
  void row(const std::vector<std::string> &cells);
  void json(const BenchResult &result);

  Style style;
  BenchModel model;
  bool media;
  bool first = true;
};

// "pp512", or "pp512 @ d4096" with a depth.
std::string title_of(const BenchResult &result);
// One line for people.
std::string text_of(const Probe &probe, int64_t threads);

} // namespace gm
