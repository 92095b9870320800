// A trace of every kernel call of every worker, in the format of Chrome's trace
// viewer (chrome://tracing, ui.perfetto.dev), and a summary per kernel family.
#pragma once

#include "runtime/app/encoding.h"
#include "runtime/app/output_file.h"
#include "runtime/app/program.h"
#include "runtime/app/work.h"

#include <string>
#include <vector>

namespace gm {

class Profile {
public:
  Profile() = default;
  Profile(const Profile &) = delete;
  ~Profile();

  // Creates the file and starts recording; one Profile records at a time. Takes
  // EVENTS events of 16 bytes per worker beyond the memory plan; when a
  // worker's are used up, recording ends, and `finish` says so.
  Status start(Program &program, const std::string &path);
  // Ends recording, between steps; writes the file, prints the summary to
  // stderr. `encodings`: media that were read and encoded meanwhile.
  Status finish(const std::vector<Encoding> &encodings = {});

  static constexpr int64_t EVENTS = 1 << 18;

private:
  friend class ProfileWriter;

  // A moment: a call begins (its index), or one of Kind.
  struct Event {
    int64_t ns;
    int32_t call;
  };
  enum Kind { END = -1, BARRIER = -2, PASSED = -3 };

  struct alignas(128) Worker {
    Event *events = nullptr;
    int64_t count = 0;
    bool inside = false; // of a segment
  };

  static void mark(gm_ctx *ctx, int32_t worker, int32_t call);
  static void barrier(gm_ctx *ctx, int32_t worker);
  void push(int32_t worker, int32_t call);
  int64_t complete_runs() const; // of segments, by all workers
  void stop();

  Engine *engine = nullptr; // while recording
  Hooks before = {};
  OutputFile file;
  std::vector<Worker> workers;
  std::vector<Extent> runs; // as worker 0 met them
  std::vector<uint32_t> cut;
  int64_t window = 0;
};

} // namespace gm
