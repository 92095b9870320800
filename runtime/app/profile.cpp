// See profile.h. Recording costs a clock reading and a store per call.
#include "runtime/app/profile.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <sys/mman.h>

namespace gm {

// Generated code calls back without data of ours.
static Profile *active = nullptr;

//===- recording ----------------------------------------------------------===//

void Profile::push(int32_t worker, int32_t call) {
  Worker &w = workers[size_t(worker)];
  if (w.count < EVENTS)
    w.events[w.count++] = {moment(*engine), call};
}

void Profile::mark(gm_ctx *ctx, int32_t worker, int32_t call) {
  Profile &p = *active;
  Worker &w = p.workers[size_t(worker)];
  if (worker == 0 && !w.inside && p.runs.size() < p.runs.capacity()) {
    p.runs.push_back(extent_of(*ctx, p.window));
    if (p.cut.empty())
      p.cut.assign(ctx->cut, ctx->cut + ctx->workers + 1);
  }
  w.inside = call != END;
  p.push(worker, call);
}

void Profile::barrier(gm_ctx *ctx, int32_t worker) {
  active->push(worker, BARRIER);
  active->before.barrier(ctx, worker);
  active->push(worker, PASSED);
}

Status Profile::start(Program &program, const std::string &path) {
  if (Status s = file.create(path); !s.ok())
    return s;
  window = program.manifest().model()->window();
  workers.resize(size_t(program.plan.threads));
  runs.reserve(EVENTS / 4);
  for (Worker &w : workers) {
    void *p = mmap(nullptr, EVENTS * sizeof(Event), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
      return failure(RESOURCES, "no memory for the events of --profile");
    w.events = static_cast<Event *>(p);
  }
  active = this;
  engine = program.engine;
  before = watch(*engine, {barrier, mark});
  return {};
}

void Profile::stop() {
  if (engine)
    watch(*engine, before);
  engine = nullptr;
}

Profile::~Profile() {
  stop();
  for (Worker &w : workers)
    if (w.events)
      munmap(w.events, EVENTS * sizeof(Event));
}

int64_t Profile::complete_runs() const {
  int64_t least = int64_t(runs.size());
  for (const Worker &w : workers)
    least = std::min<int64_t>(
        least, std::count_if(w.events, w.events + w.count,
                             [](const Event &e) { return e.call == END; }));
  return least;
}

//===- writing ------------------------------------------------------------===//

namespace {

struct Total {
  int64_t calls = 0; // of worker 0
  int64_t ns = 0;    // of all workers
  double bytes = 0;
};

// The entry that a call belongs to, and its class.
struct Place {
  const gm_entry *entry;
  const char *rows;

  bool is(const char *name) const {
    return entry && !strcmp(entry->name, name);
  }
  bool is_tower() const { return is("patches") || is("image") || is("audio"); }
  // Where the kernels of the summary belong.
  const char *group() const { return is_tower() ? entry->name : rows; }
};

Place place_of(int32_t call) {
  for (int32_t i = 0; i < gm_model.entries; ++i) {
    const gm_entry &e = gm_model.entry[i];
    if (call >= e.few_calls[0] && call < e.few_calls[1])
      return {&e, "few"};
    if (call >= e.many_calls[0] && call < e.many_calls[1])
      return {&e, "many"};
  }
  return {nullptr, ""};
}

} // namespace

// Turns the moments of one worker after the other into events with durations.
class ProfileWriter {
public:
  explicit ProfileWriter(Profile &profile)
      : profile(profile), most_runs(profile.complete_runs()) {
    if (profile.workers[0].count)
      origin = profile.workers[0].events[0].ns;
  }

  Status write(const std::vector<Encoding> &encodings);
  void print() const;

private:
  using Event = Profile::Event;

  void put(const char *format, ...) __attribute__((format(printf, 2, 3)));
  void span(const char *category, const std::string &name, int64_t begin,
            int64_t end, const std::string &arguments);
  void medium(const Encoding &encoding);
  void worker(int32_t w);
  void close_call(int64_t ns);
  void close_phase(int64_t ns);
  void waited(int64_t begin, int64_t end);
  void begin_segment(const Event &event);
  void end_segment(int64_t ns);
  void flush();

  Profile &profile;
  int64_t most_runs;
  int64_t origin = 0;
  std::map<std::string, Total> totals;
  int64_t between = 0; // ns of all workers between steps
  std::string out;
  Status status;
  bool first = true;

  // The state of the worker that is written.
  int32_t w = 0;
  int64_t run = 0; // number of the current segment
  Place place = {nullptr, ""};
  Place last = {nullptr, ""};
  bool inside = false;
  int32_t call = -1; // open, or -1
  int64_t call_begin = 0, segment_begin = 0, phase_begin = 0, barrier_begin = 0,
          last_end = 0, phases = 0;
};

void ProfileWriter::flush() {
  if (status.ok() && !out.empty())
    status = profile.file.write(out.data(), out.size());
  out.clear();
}

void ProfileWriter::put(const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  out.append(text, size_t(std::clamp(n, 0, int(sizeof text) - 1)));
  if (out.size() > (1 << 16))
    flush();
}

// Times of the format are microseconds.
void ProfileWriter::span(const char *category, const std::string &name,
                         int64_t begin, int64_t end,
                         const std::string &arguments) {
  put("%s{\"name\": %s, \"cat\": \"%s\", \"ph\": \"X\", \"pid\": 1, \"tid\": "
      "%d, \"ts\": %.3f, \"dur\": %.3f, \"args\": {%s}}",
      first ? "\n" : ",\n", json_string(name).c_str(), category, w,
      double(begin - origin) * 1e-3, double(end - begin) * 1e-3,
      arguments.c_str());
  first = false;
}

void ProfileWriter::close_call(int64_t ns) {
  if (call < 0)
    return;
  const gm_call &at = gm_model.call[call];
  const gm_work &c = facts_of(at);
  const Extent &extent = profile.runs[size_t(run)];
  UnitRange units = units_of(c, extent, profile.cut.data(), w);
  double bytes = bytes_of(c, extent);
  if (c.axis != GM_ALL)
    bytes *=
        units.all ? double(units.end - units.begin) / double(units.all) : 0;
  std::string family = gm_model.names + c.family, on = gm_model.names + at.on;
  char arguments[128];
  snprintf(arguments, sizeof arguments,
           "\"bytes\": %.0f, \"units\": %lld, \"rows\": %d", bytes,
           (long long)(units.end - units.begin), extent.rows);
  span("call", on.empty() ? family : family + " " + on, call_begin, ns,
       arguments);
  Total &total = totals[family + " (" + place.group() + ")"];
  total.calls += w == 0;
  total.ns += ns - call_begin;
  total.bytes += bytes;
  call = -1;
}

void ProfileWriter::close_phase(int64_t ns) {
  span("phase", "phase " + std::to_string(phases++), phase_begin, ns, "");
}

void ProfileWriter::waited(int64_t begin, int64_t end) {
  span("barrier", "barrier", begin, end, "");
  Total &total = totals["barrier"];
  total.calls += w == 0;
  total.ns += end - begin;
}

void ProfileWriter::begin_segment(const Event &event) {
  inside = true;
  place = place_of(event.call);
  // Body, tail and head of one step have a barrier between them, as have the
  // two segments of a picture.
  const bool follows = place.is("image")
                           ? last.is("patches")
                           : last.entry && last.entry != place.entry &&
                                 !last.is_tower() && !place.is_tower() &&
                                 !place.is("body");
  if (follows)
    waited(last_end, event.ns);
  else if (last.entry)
    between += event.ns - last_end;
  segment_begin = phase_begin = event.ns;
  phases = 0;
}

void ProfileWriter::end_segment(int64_t ns) {
  close_call(ns);
  close_phase(ns);
  const Extent &extent = profile.runs[size_t(run)];
  span("segment",
       std::string(place.entry ? place.entry->name : "segment") + " (" +
           place.rows + ")",
       segment_begin, ns, "\"rows\": " + std::to_string(extent.rows));
  last = place;
  last_end = ns;
  inside = false;
  ++run;
}

void ProfileWriter::worker(int32_t number) {
  w = number;
  run = 0;
  last = {nullptr, ""};
  put("%s{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": %d, "
      "\"args\": {\"name\": \"worker %d\"}}",
      first ? "\n" : ",\n", w, w);
  first = false;
  const Profile::Worker &worker = profile.workers[size_t(w)];
  for (int64_t i = 0; i < worker.count && run < most_runs; ++i) {
    const Event &event = worker.events[i];
    if (!inside)
      begin_segment(event);
    switch (event.call) {
    case Profile::END:
      end_segment(event.ns);
      break;
    case Profile::BARRIER:
      close_call(event.ns);
      close_phase(event.ns);
      barrier_begin = event.ns;
      break;
    case Profile::PASSED:
      waited(barrier_begin, event.ns);
      phase_begin = event.ns;
      break;
    default:
      close_call(event.ns);
      call = event.call;
      call_begin = event.ns;
    }
  }
}

// On the first worker's line, around the segments that encode it.
void ProfileWriter::medium(const Encoding &e) {
  w = 0;
  span("medium", std::string(e.kind) + " " + e.name, e.begin, e.end,
       "\"rows\": " + std::to_string(e.rows) +
           ", \"soft\": " + std::to_string(e.soft));
  span("medium", "read", e.begin, e.ready, "");
}

Status ProfileWriter::write(const std::vector<Encoding> &encodings) {
  put("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [");
  for (const Encoding &e : encodings)
    origin = std::min(origin, e.begin);
  for (const Encoding &e : encodings)
    medium(e);
  for (size_t i = 0; i < profile.workers.size(); ++i)
    worker(int32_t(i));
  put("\n]}\n");
  flush();
  return status.ok() ? profile.file.finish() : status;
}

void ProfileWriter::print() const {
  std::vector<std::pair<std::string, Total>> rows(totals.begin(), totals.end());
  rows.push_back({"between steps", {0, between, 0}});
  std::sort(rows.begin(), rows.end(),
            [](auto &a, auto &b) { return a.second.ns > b.second.ns; });
  double all = 0, count = double(profile.workers.size());
  for (auto &[name, total] : rows)
    all += double(total.ns);
  fprintf(stderr, "%-24s %8s %10s %7s %8s\n", "profile", "calls", "ms", "share",
          "GB/s");
  for (auto &[name, total] : rows) {
    fprintf(stderr, "%-24s %8lld %10.2f %5.1f %%", name.c_str(),
            (long long)total.calls, double(total.ns) / count * 1e-6,
            all > 0 ? 100 * double(total.ns) / all : 0);
    // Bytes per wall time of all workers together.
    if (total.bytes > 0 && total.ns > 0)
      fprintf(stderr, " %8.1f", total.bytes / (double(total.ns) / count));
    fprintf(stderr, "\n");
  }
}

static void print_media(const std::vector<Encoding> &encodings) {
  if (!encodings.empty())
    fprintf(stderr, "%-24s %8s %10s %10s\n", "media", "soft", "read ms",
            "encoded ms");
  for (const Encoding &e : encodings)
    fprintf(stderr, "%-24s %8lld %10.2f %10.2f\n",
            (std::string(e.kind) + " " + e.name).c_str(), (long long)e.soft,
            double(e.ready - e.begin) * 1e-6, double(e.end - e.ready) * 1e-6);
}

Status Profile::finish(const std::vector<Encoding> &encodings) {
  stop();
  bool full = std::any_of(workers.begin(), workers.end(),
                          [](const Worker &x) { return x.count == EVENTS; });
  ProfileWriter writer(*this);
  if (Status s = writer.write(encodings); !s.ok())
    return s;
  writer.print();
  print_media(encodings);
  if (full)
    fprintf(stderr,
            "note: the profile ends early: room for %lld events per thread\n",
            (long long)EVENTS);
  return {};
}

} // namespace gm
