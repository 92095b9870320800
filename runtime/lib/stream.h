// What a generation gives, piece by piece, from the scheduler's thread to the
// one that asks. Knows ids, thoughts, texts and calls; must not know requests
// or handles.
#pragma once

#include "runtime/serve/completion.h"

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace gm::lib {

struct Piece {
  int32_t kind = 0; // GEMMA_TEXT, ...
  size_t call = 0;
  std::string text;
  std::vector<int32_t> ids;
};

// Outlives the model.
class Stream {
public:
  // Joins a text with the piece before it that nobody has taken.
  void push(Piece piece);
  void end(int32_t finish, const Status &why, const Usage &cost,
           std::vector<int32_t> ids);
  // False: nothing came in time (milliseconds; negative: it waits).
  bool next(int64_t milliseconds, Piece &out);

  // Behind the last piece; `finish` 0: not yet.
  struct End {
    int32_t finish = 0;
    Status status;
    Usage usage;
  };
  End ending() const;

private:
  mutable std::mutex mutex;
  std::condition_variable come;
  std::deque<Piece> pieces;
  End ended;
};

// Hears what the scheduler draws. `context` is that of the scheduler.
std::shared_ptr<Listener> listen(const Context &context,
                                 const Generation &generation,
                                 const Reading &reading,
                                 std::shared_ptr<Stream> stream);

} // namespace gm::lib
