// The pictures and sounds of requests: decoded once on the thread that read the
// request, kept as long as there is room, and encoded by the scheduler when a
// step needs their rows. Knows media and the engine; must not know JSON, HTTP
// or how a conversation is rendered.
#pragma once

#include "runtime/app/media.h"
#include "runtime/app/messages.h"
#include "runtime/serve/scheduler.h"

#include <list>
#include <memory>
#include <mutex>

namespace gm {

// One of them. All but `medium`, which is the scheduler's, stays as it is.
struct ServedMedium {
  Medium::Kind kind;
  std::string source; // the file's bytes
  size_t hash;        // of these
  Medium medium;
  std::vector<int64_t> parts;  // as Medium::parts
  int64_t rows = 0, first = 0; // number of its first row
  uint64_t serial = 0;         // from 1 on, no other's ever
  int64_t bytes = 0;           // that it holds
};

struct ServedMediaSettings {
  MediaStyle style;
  bool none = false;                  // there is no room for any
  int64_t bytes = 128ll << 20;        // that all of them hold
  int64_t numbers = INT32_MAX;        // of rows
  static constexpr size_t kMost = 64; // in a request
};

class ServedMedia {
public:
  using List = std::vector<std::shared_ptr<ServedMedium>>;

  // Room in the plan for what the program takes: the rows of one picture and
  // one sound, and what decoding one costs. No pictures where the context is
  // smaller than one, none at all (settings.none) where there is no memory.
  static Status reserve(const Program &program, ServedMediaSettings &settings,
                        Options &options);

  // `program` is started with what was reserved. Outlives the scheduler.
  ServedMedia(Program &program, Scheduler &scheduler,
              const ServedMediaSettings &settings);

  bool takes(Medium::Kind kind) const;
  // Decodes those that are not known, one request's after the other's; from any
  // thread. Opens nothing. RESOURCES if others hold the room, else the sender's
  // mistake.
  Status read(const std::vector<NamedMedium> &named, List &out);
  // Puts their rows in place of what stands for them in `ids`; `shown` as for
  // place_media.
  Status place(const std::vector<int32_t> &ids, const List &media, Items &items,
               std::vector<int32_t> &shown) const;

private:
  // What the engine holds, of the scheduler's thread.
  struct Room {
    Engine &engine;
    uint64_t held = 0; // ServedMedium::serial, 0: nothing
  };
  static Status bring(Room &room, const List &media, const Item *items,
                      int64_t &count, int32_t &first);

  Status check(const NamedMedium &named) const;
  Status read_one(const NamedMedium &named, std::shared_ptr<ServedMedium> &out);
  Status number(ServedMedium &medium);
  bool make_room(int64_t bytes);

  Program &program;
  Scheduler &scheduler;
  const ServedMediaSettings settings;
  const std::shared_ptr<Room> room;

  std::mutex mutex; // of all below, and of decoding: the plan has room for one
  std::list<std::shared_ptr<ServedMedium>> known; // the last used come first
  int64_t held = 0;                               // bytes of them
  int64_t numbers = 0;                            // given since `forget`
  uint64_t serials = 0;
};

} // namespace gm
