// See bench_report.h.
#include "runtime/app/bench_report.h"
#include "runtime/app/cli.h"
#include "runtime/app/statistics.h"

#include <algorithm>
#include <cstdio>

namespace gm {
namespace {

std::string fixed(double x, int digits) {
  char text[64];
  snprintf(text, sizeof text, "%.*f", digits, x);
  return text;
}

// Percent of the lower of two probes; negative if there is none.
double percent(double value, double before, double after) {
  double probe = std::min(before, after);
  return probe > 0 ? 100 * value / probe : -1;
}

struct Shares {
  double read, int8;
};

Shares shares_of(const BenchResult &r, double tok_s) {
  return {
      percent(tok_s * r.bytes_per_token, r.before.read_all, r.after.read_all),
      percent(tok_s * r.ops_per_token, r.before.int8_all, r.after.int8_all)};
}

// The last one only beside media.
const char *const headings[] = {
    "model",  "size",     "params", "format",    "threads", "test", "t/s",
    "median", "GB/token", "% read", "GOP/token", "% int8",  "ms"};
enum { MODEL, FORMAT = 3, TEST = 5 };

// Of each repetition, for all soft tokens of the medium.
std::vector<double> milliseconds(const BenchResult &r) {
  std::vector<double> ms;
  for (double tok_s : r.tok_s)
    ms.push_back(1000 * double(r.media_tokens) / tok_s);
  return ms;
}

std::string json_probe(const Probe &p) {
  if (p.is_device)
    return "{\"read_gb_s\": " + fixed(p.read_all * 1e-9, 3) +
           ", \"int8_gops\": " + fixed(p.int8_all * 1e-9, 2) +
           ", \"launch_us\": " + fixed(p.launch * 1e-3, 4) + "}";
  return "{\"read_1_gb_s\": " + fixed(p.read_one * 1e-9, 3) +
         ", \"read_gb_s\": " + fixed(p.read_all * 1e-9, 3) +
         ", \"int8_1_gops\": " + fixed(p.int8_one * 1e-9, 2) +
         ", \"int8_gops\": " + fixed(p.int8_all * 1e-9, 2) +
         ", \"core_to_core_ns\": " + fixed(p.core_to_core, 2) + "}";
}

} // namespace

std::string title_of(const BenchResult &r) {
  return r.depth ? r.test + " @ d" + std::to_string(r.depth) : r.test;
}

std::string text_of(const Probe &p, int64_t threads) {
  if (p.is_device)
    return "read " + (p.read_all > 0 ? fixed(p.read_all * 1e-9, 1) : "-") +
           " GB/s, int8 " + fixed(p.int8_all * 1e-9, 0) + " GOPS, " +
           fixed(p.launch * 1e-3, 2) + " us a launch";
  auto pair = [&](double one, double all, double unit, int digits) {
    if (all <= 0)
      return std::string("-");
    return (threads > 1 && one > 0 ? fixed(one * unit, digits) + " / "
                                   : std::string()) +
           fixed(all * unit, digits);
  };
  std::string text =
      "read " + pair(p.read_one, p.read_all, 1e-9, 1) + " GB/s, int8 " +
      pair(p.int8_one, p.int8_all, 1e-9, 0) + " GOPS with " +
      (threads > 1 ? "1 / " + std::to_string(threads) + " threads"
                   : std::string("1 thread"));
  if (p.core_to_core > 0)
    text += ", core to core " + fixed(p.core_to_core, 0) + " ns";
  return text;
}

void BenchReport::row(const std::vector<std::string> &cells) {
  // Longest usual content; only the test's text may be longer.
  const size_t widths[] = {std::max<size_t>(model.name.size(), 5),
                           9,
                           8,
                           std::max<size_t>(model.format.size(), 6),
                           7,
                           16,
                           21,
                           8,
                           8,
                           6,
                           9,
                           6,
                           20};
  std::string line;
  for (size_t i = 0; i < cells.size() - !media; ++i) {
    size_t width = widths[i], length = 0;
    for (char c : cells[i])
      length += (c & 0xC0) != 0x80; // characters of UTF-8
    std::string space(width > length ? width - length : 0, ' ');
    bool left = i == MODEL || i == FORMAT || i == TEST;
    std::string cell = left ? cells[i] + space : space + cells[i];
    line += style == Markdown ? "| " + cell + " " : (i ? "  " : "") + cell;
  }
  printf("%s%s\n", line.c_str(), style == Markdown ? "|" : "");
}

void BenchReport::begin() {
  if (style == Json) {
    printf("[");
    return;
  }
  row({std::begin(headings), std::end(headings)});
  if (style != Markdown)
    return;
  std::string line;
  for (int i = 0; i < int(std::size(headings)) - !media; ++i)
    line += i == MODEL || i == FORMAT || i == TEST ? "| --- " : "| --: ";
  printf("%s|\n", line.c_str());
}

void BenchReport::add(const BenchResult &r) {
  if (style == Json)
    return json(r);
  Summary s = summarize(r.tok_s);
  Shares shares = shares_of(r, s.mean);
  const Summary ms = summarize(milliseconds(r));
  auto share = [](double x) { return x < 0 ? "-" : fixed(x, 1); };
  double gib = double(model.bytes) / double(1 << 30);
  row({model.name,
       gib < 0.1 ? fixed(gib * 1024, 2) + " MiB" : fixed(gib, 2) + " GiB",
       model.parameters < 100000000
           ? fixed(double(model.parameters) * 1e-6, 2) + " M"
           : fixed(double(model.parameters) * 1e-9, 2) + " B",
       model.format, std::to_string(r.threads), title_of(r),
       fixed(s.mean, 2) + " ± " + fixed(s.deviation, 2), fixed(s.median, 2),
       fixed(r.bytes_per_token * 1e-9, 3), share(shares.read),
       fixed(r.ops_per_token * 1e-9, 3), share(shares.int8),
       r.media_tokens ? fixed(ms.mean, 2) + " ± " + fixed(ms.deviation, 2)
                      : "-"});
  fflush(stdout);
}

void BenchReport::json(const BenchResult &r) {
  Summary s = summarize(r.tok_s);
  Shares shares = shares_of(r, s.mean);
  std::string out = first ? "\n" : ",\n";
  first = false;
  auto number = [&](const char *name, double x) {
    out += std::string(", \"") + name + "\": " + exact(x);
  };
  auto whole = [&](const char *name, uint64_t x) {
    out += std::string(", \"") + name + "\": " + std::to_string(x);
  };
  out += "{\"test\": " + json_string(r.test);
  whole("depth", uint64_t(r.depth));
  whole("parallel", uint64_t(r.sequences));
  whole("threads", uint64_t(r.threads));
  out += ", \"tok_s\": [";
  for (size_t i = 0; i < r.tok_s.size(); ++i)
    out += (i ? ", " : "") + exact(r.tok_s[i]);
  out += "]";
  number("mean", s.mean);
  number("stddev", s.deviation);
  number("median", s.median);
  number("min", s.least);
  number("max", s.most);
  if (r.media_tokens) {
    whole("media_tokens", uint64_t(r.media_tokens));
    const Summary ms = summarize(milliseconds(r));
    number("ms_mean", ms.mean);
    number("ms_stddev", ms.deviation);
    number("ms_median", ms.median);
  }
  out += ", \"model\": " + json_string(model.name) +
         ", \"format\": " + json_string(model.format) +
         ", \"synthetic\": " + (model.synthetic ? "true" : "false");
  whole("weights_bytes", model.bytes);
  whole("parameters", model.parameters);
  whole("batch", uint64_t(r.batch));
  out += std::string(", \"kv_skip\": ") + (r.kv_skip ? "true" : "false");
  number("bytes_per_token", r.bytes_per_token);
  number("ops_per_token", r.ops_per_token);
  auto share = [&](const char *name, double x) {
    out += std::string(", \"") + name + "\": " + (x < 0 ? "null" : exact(x));
  };
  share("percent_read", shares.read);
  share("percent_int8", shares.int8);
  if (r.detailed)
    out += ", \"probe\": {\"before\": " + json_probe(r.before) +
           ", \"after\": " + json_probe(r.after) + "}";
  printf("%s}", out.c_str());
  fflush(stdout);
}

void BenchReport::end() {
  if (style == Json)
    printf("\n]\n");
}

} // namespace gm
