// A model that a library has opened: the program's file, its scheduler, and
// what requests are read with. Knows runtime/app and runtime/serve; must not
// know the C API's handles.
#pragma once

#include "runtime/serve/demand.h"

#include <memory>
#include <string>

namespace gm::lib {

struct Settings {
  const char *path = nullptr; // as Program::open_library
  Options machine;            // of slots, too
  int64_t queue = 256;
  int64_t media_bytes = 0; // 0: no media
};

class Model {
public:
  Model() = default;
  // Its listeners read `context` to the last.
  ~Model() { scheduler.reset(); }
  Model(const Model &) = delete;

  Status open(const Settings &settings);

  Program program;
  std::unique_ptr<Grammars> grammars;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<ServedMedia> media;
  std::unique_ptr<Context> context;
  std::string info; // JSON, see gemma_info
  bool chats() const;
};

} // namespace gm::lib
