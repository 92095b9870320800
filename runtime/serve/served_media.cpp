// See served_media.h.
#include "runtime/serve/served_media.h"
#include "runtime/app/media_source.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <string_view>

namespace gm {

namespace {

bool program_takes(const Program &program, Medium::Kind kind) {
  const auto *m = medium_of(program.file, Medium::kNames[kind]);
  return m && m->begin() >= 0 && m->soft() >= 0 && m->end() >= 0;
}

} // namespace

//===- room ---------------------------------------------------------------===//

Status ServedMedia::reserve(const Program &program,
                            ServedMediaSettings &settings, Options &options) {
  if (Status s = settings.style.check(); !s.ok())
    return s;
  if (settings.none)
    return {};
  MediaCounts counts;
  counts.image_tokens = settings.style.image_tokens;
  counts.image_pixels = settings.style.image_pixels;
  counts.sounds = program_takes(program, Medium::Sound);
  const int64_t context = options.context
                              ? options.context
                              : std::min<int64_t>(program.max_context(), 8192);
  counts.images =
      program_takes(program, Medium::Picture) &&
      image_budget(program.file, settings.style.image_tokens) <= context;
  if (!counts.images && !counts.sounds)
    return {};
  Options with = options;
  if (Status s = reserve_media(program.file, counts, with); !s.ok())
    return s;
  with.request_bytes += settings.bytes;
  Options all = with;
  prepare_for_scheduler(all);
  Plan plan;
  if (Status s = make_plan(program.file, all, plan); !s.ok())
    return s;
  if (check_plan(program.file, all, plan).ok()) {
    options = with;
    return {};
  }
  settings.none = true;
  return {};
}

ServedMedia::ServedMedia(Program &program, Scheduler &scheduler,
                         const ServedMediaSettings &settings)
    : program(program), scheduler(scheduler), settings(settings),
      room(std::make_shared<Room>(Room{*program.engine})) {}

bool ServedMedia::takes(Medium::Kind kind) const {
  const Plan &plan = program.plan;
  return !settings.none && kind != Medium::Film &&
         program_takes(program, kind) &&
         (kind == Medium::Sound ? plan.sound_rows : plan.image_rows) > 0;
}

//===- on the threads of requests -----------------------------------------===//

Status ServedMedia::check(const NamedMedium &named) const {
  if (named.kind == Medium::Film)
    return failure(UNSUPPORTED, "films are not read here, send pictures");
  if (Status s =
          Medium(program, settings.style, named.kind, "").open("the request");
      !s.ok())
    return s;
  if (takes(named.kind))
    return {};
  return failure(UNSUPPORTED,
                 settings.none ? "no room is kept here for pictures and "
                                 "sounds: --no-media, or too little memory"
                               : "the context is smaller than a "
                                 "picture: serve with a larger -c or a smaller "
                                 "--image-tokens");
}

Status ServedMedia::read(const std::vector<NamedMedium> &named, List &out) {
  if (named.size() > settings.kMost)
    return failure(BAD_INPUT, "%zu pictures and sounds, at most %zu are read",
                   named.size(), settings.kMost);
  for (const NamedMedium &each : named)
    if (Status s = check(each); !s.ok())
      return s;
  for (const NamedMedium &each : named) {
    std::lock_guard lock(mutex);
    std::shared_ptr<ServedMedium> medium;
    if (Status s = read_one(each, medium); !s.ok())
      return failure(s.code, "picture or sound %zu of the request: %.380s",
                     out.size() + 1, s.text);
    out.push_back(std::move(medium));
  }
  return {};
}

Status ServedMedia::read_one(const NamedMedium &named,
                             std::shared_ptr<ServedMedium> &out) {
  MediaSource source;
  if (Status s = read_carried(named.file, source); !s.ok())
    return s;
  const size_t hash = std::hash<std::string_view>()(source.bytes);
  auto at = std::find_if(known.begin(), known.end(), [&](const auto &m) {
    return m->hash == hash && m->kind == named.kind &&
           m->source == source.bytes;
  });
  if (at != known.end()) {
    known.splice(known.begin(), known, at);
    out = known.front();
    return {};
  }
  auto made = std::make_shared<ServedMedium>(
      ServedMedium{named.kind,
                   std::move(source.bytes),
                   hash,
                   Medium(program, settings.style, named.kind, ""),
                   {}});
  if (Status s = made->medium.decode(made->source); !s.ok())
    return s;
  made->parts = made->medium.parts();
  made->rows = made->medium.rows();
  made->bytes = int64_t(made->source.capacity()) + made->medium.kept_bytes() +
                int64_t(sizeof *made) + 1024;
  if (made->bytes > settings.bytes)
    return failure(
        BAD_INPUT, "it takes %lld KiB, more than the %lld of --media-ram",
        (long long)made->bytes >> 10, (long long)settings.bytes >> 10);
  if (!make_room(made->bytes))
    return failure(RESOURCES, "pictures and sounds of other requests fill "
                              "--media-ram, try again later");
  if (Status s = number(*made); !s.ok())
    return s;
  held += made->bytes;
  known.push_front(made);
  out = std::move(made);
  return {};
}

// What no request uses goes, the least recently used first.
bool ServedMedia::make_room(int64_t bytes) {
  for (auto at = known.end();
       held + bytes > settings.bytes && at != known.begin();) {
    --at;
    if (at->use_count() > 1)
      continue;
    held -= (*at)->bytes;
    at = known.erase(at);
  }
  return held + bytes <= settings.bytes;
}

// Prompts are compared by numbers of rows, so none has two meanings while a
// slot, a checkpoint or a request may hold it. When all have been given, nobody
// may use one, and the slots forget them.
Status ServedMedia::number(ServedMedium &medium) {
  if (medium.rows > settings.numbers)
    return failure(RESOURCES, "it has more rows than there are numbers");
  if (numbers + medium.rows > settings.numbers) {
    std::erase_if(known, [&](const auto &m) {
      const bool idle = m.use_count() == 1;
      held -= idle ? m->bytes : 0;
      return idle;
    });
    if (!known.empty())
      return failure(RESOURCES, "pictures and sounds are numbered anew when "
                                "those under way are done, try again later");
    scheduler.forget();
    numbers = 0;
  }
  medium.serial = ++serials;
  medium.first = numbers;
  numbers += medium.rows;
  return {};
}

Status ServedMedia::place(const std::vector<int32_t> &ids, const List &media,
                          Items &items, std::vector<int32_t> &shown) const {
  std::vector<MediumRows> rows;
  for (const auto &m : media)
    rows.push_back({m->kind, m->first, m->parts});
  if (!media.empty()) {
    items.soft = soft_rows(*program.engine);
    items.soft_count = int32_t(program.plan.soft_rows);
    items.bring = [room = room, media](const Item *from, int64_t &count,
                                       int32_t &first) {
      return bring(*room, media, from, count, first);
    };
  }
  return place_media(program.file, rows, ids, items, &shown);
}

//===- on the scheduler's thread ------------------------------------------===//

// Items::bring: the rows of one medium at a time.
Status ServedMedia::bring(Room &room, const List &media, const Item *items,
                          int64_t &count, int32_t &first) {
  const ServedMedium *wanted = nullptr;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = ~items[i].id;
    if (items[i].id >= 0 ||
        (wanted && row >= wanted->first && row < wanted->first + wanted->rows))
      continue;
    if (wanted) {
      count = i;
      break;
    }
    auto at = std::find_if(media.begin(), media.end(), [&](const auto &m) {
      return row >= m->first && row < m->first + m->rows;
    });
    wanted = at->get();
    if (room.held != wanted->serial) {
      room.held = 0; // it may fail half way
      if (Status s = (*at)->medium.encode(room.engine, 0); !s.ok())
        return s;
      room.held = wanted->serial;
    }
  }
  first = int32_t(wanted->first);
  return {};
}

} // namespace gm
