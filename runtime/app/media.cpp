// See media.h.
#include "runtime/app/media.h"
#include "runtime/manifest_generated.h"

#include <algorithm>

namespace gm {
namespace mf = gemmac::manifest;

std::vector<Flag> MediaFlags::flags(bool piped) {
  std::vector<Flag> flags = {
      {"--image", "", "FILE",
       std::string("a picture in front of the text (PNG, JPEG, WebP, GIF): a "
                   "path, ") +
           (piped ? "- for the standard input, " : "") +
           "a file: or data: URL; may be given again",
       &images},
      {"--audio", "", "FILE",
       "a sound in front of the text (WAV, FLAC, MP3, Ogg Vorbis), likewise",
       &sounds},
      {"--video", "", "FILE",
       "a film in front of the text: Y4M (ffmpeg -f yuv4mpegpipe), animated "
       "GIF or WebP, a folder of pictures, or @LIST, a text file with the path "
       "of a picture on each line (relative to the list); at most 32 frames of "
       "it are seen",
       &films},
  };
  for (const Flag &flag : style_flags())
    flags.push_back(flag);
  return flags;
}

bool is_standard_input(const std::string &medium) {
  return medium == "-" || medium == "@-";
}

bool MediaFlags::take_standard_input() const {
  return std::any_of(images.begin(), images.end(), is_standard_input) ||
         std::any_of(sounds.begin(), sounds.end(), is_standard_input) ||
         std::any_of(films.begin(), films.end(), is_standard_input);
}

Status Media::add(Medium::Kind kind, const std::string &named,
                  const char *flag) {
  Medium medium(program, style, kind, named);
  if (Status s = medium.open(flag); !s.ok())
    return s;
  if (too_large && kind != Medium::Sound)
    return failure(RUN_ERROR,
                   "%s: a picture has up to %lld tokens, more than the "
                   "context holds; chat with a larger -c or a smaller "
                   "--image-tokens",
                   flag, (long long)too_large);
  list.push_back({std::move(medium)});
  return {};
}

Status Media::add(const MediaFlags &flags) {
  for (const auto &[kind, files, flag] :
       {std::tuple{Medium::Picture, &flags.images, "--image"},
        std::tuple{Medium::Sound, &flags.sounds, "--audio"},
        std::tuple{Medium::Film, &flags.films, "--video"}})
    for (const std::string &file : *files)
      if (Status s = add(kind, file, flag); !s.ok())
        return s;
  return {};
}

void Media::erase(size_t first, size_t count) {
  auto at = list.begin() + ptrdiff_t(first);
  list.erase(at, at + ptrdiff_t(count));
}

//===- room ---------------------------------------------------------------===//

Status Media::reserve(Options &options) const {
  MediaCounts counts;
  counts.image_tokens = style.image_tokens;
  counts.image_pixels = style.image_pixels;
  for (const Placed &each : list) {
    const Medium &m = each.medium;
    (m.what() == Medium::Sound     ? counts.sounds
     : m.what() == Medium::Picture ? counts.images
                                   : counts.frames) +=
        m.what() == Medium::Film ? m.frame_count() : 1;
    counts.add_names({m.source()});
  }
  return reserve_media(program.file, counts, options);
}

std::vector<Encoding> Media::encodings() const {
  std::vector<Encoding> all;
  for (const Placed &each : list)
    all.insert(all.end(), each.medium.encodings().begin(),
               each.medium.encodings().end());
  return all;
}

void Media::reserve_any(Options &options) {
  one = true;
  auto takes = [&](Medium::Kind kind) {
    const mf::Medium *m = medium_of(program.file, Medium::kNames[kind]);
    return m && m->begin() >= 0 && m->soft() >= 0 && m->end() >= 0;
  };
  if (takes(Medium::Sound))
    options.soft_rows = options.sound_rows = kMostSoundRows;
  options.media_bytes = media_bytes(0, options.sound_rows, 0);
  int64_t rows = 0, most = 0; // of a part, of a whole
  for (Medium::Kind kind : {Medium::Picture, Medium::Film})
    if (takes(kind)) {
      const int64_t part = Medium(program, style, kind, "").most_part();
      rows = std::max(rows, part);
      most = std::max(most,
                      kind == Medium::Film ? media::kFilmFrames * part : part);
    }
  const int64_t context = options.context
                              ? options.context
                              : std::min<int64_t>(program.max_context(), 8192);
  if (rows > context) {
    too_large = rows;
    return;
  }
  options.image_rows = rows;
  options.soft_rows = std::max(options.soft_rows, most);
  options.block = std::max(options.block, rows);
  options.media_bytes =
      media_bytes(rows, options.sound_rows, style.image_pixels);
}

//===- rows ---------------------------------------------------------------===//

Status Media::measure() {
  for (Placed &each : list)
    if (each.first < 0) {
      if (Status s = each.medium.measure(); !s.ok())
        return s;
      each.first = numbers;
      numbers += each.medium.rows();
    }
  return {};
}

Status Media::encode() {
  for (Placed &each : list) {
    const bool known = each.first >= 0;
    if (!known)
      each.first = numbers;
    if (Status s = each.medium.encode(*program.engine, each.first); !s.ok())
      return s;
    if (!known)
      numbers += each.medium.rows();
  }
  return {};
}

Status Media::bring(const Item *items, int64_t &count, int32_t &first) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = ~items[i].id;
    if (items[i].id >= 0 || (row >= held_first && row < held_end))
      continue;
    auto at = std::find_if(list.begin(), list.end(), [&](const Placed &p) {
      return row >= p.first && row < p.first + p.medium.rows();
    });
    const int64_t end = at->first + at->medium.rows();
    const bool fits =
        held_end == at->first && end - held_first <= program.plan.soft_rows;
    // Those in front of it in this step stay.
    if (!fits && std::any_of(items, items + i,
                             [](const Item &item) { return item.id < 0; })) {
      count = i;
      break;
    }
    if (!fits)
      held_first = held_end = at->first;
    if (Status s = at->medium.encode(*program.engine, at->first - held_first);
        !s.ok())
      return failure(s.code,
                     "%.380s; it is read again because its tokens have to be "
                     "computed",
                     s.text);
    held_end = end;
  }
  first = int32_t(held_first);
  return {};
}

int64_t Media::added(size_t count) const {
  int64_t more = 0;
  for (size_t i = 0; i < count; ++i) {
    const Medium &m = list[i].medium;
    // The text has begin and end around the frames of a film.
    more += m.rows() - int64_t(m.parts().size()) +
            (m.what() == Medium::Film ? 0 : 2);
  }
  return more;
}

Status Media::place(const std::vector<int32_t> &ids, size_t count, Items &items,
                    std::vector<int32_t> *shown) {
  items.soft = program.engine ? soft_rows(*program.engine) : nullptr;
  items.soft_count = int32_t(one ? program.plan.soft_rows : numbers);
  if (one)
    items.bring = [this](const Item *from, int64_t &some, int32_t &first) {
      return bring(from, some, first);
    };
  std::vector<MediumRows> rows;
  for (size_t i = 0; i < count; ++i)
    rows.push_back(
        {list[i].medium.what(), list[i].first, list[i].medium.parts()});
  return place_media(program.file, rows, ids, items, shown);
}

namespace {

struct PartRows {
  int64_t first, count;
};

// Of one kind: what stands in front of them, for them and behind them, and
// which of them comes next.
struct Places {
  const mf::Medium *facts = nullptr;
  std::vector<PartRows> parts = {};
  size_t next = 0;
};

} // namespace

// Fills `places`, one for each kind, with what has to be placed.
static void find_parts(const File &file, const std::vector<MediumRows> &media,
                       Places *places) {
  for (int kind = 0; kind < Medium::Kinds; ++kind)
    places[kind].facts = medium_of(file, Medium::kNames[kind]);
  for (const MediumRows &medium : media) {
    int64_t first = medium.first;
    for (int64_t rows : medium.parts) {
      places[medium.kind].parts.push_back({first, rows});
      first += rows;
    }
  }
}

Status place_media(const File &file, const std::vector<MediumRows> &media,
                   const std::vector<int32_t> &ids, Items &items,
                   std::vector<int32_t> *shown) {
  static const char *const words[Medium::Kinds] = {"sounds", "pictures",
                                                   "frames of films"};
  Places places[Medium::Kinds];
  find_parts(file, media, places);
  auto put = [&](Item item, int32_t id) {
    items.list.push_back(item);
    if (shown)
      shown->push_back(id);
  };
  for (int32_t id : ids) {
    int kind = 0;
    while (kind < Medium::Kinds &&
           !(places[kind].facts && places[kind].facts->soft() == id))
      ++kind;
    // Ids of a prompt without media stay what they are.
    if (kind == Medium::Kinds || media.empty()) {
      put({id}, id);
      continue;
    }
    Places &p = places[kind];
    if (p.next == p.parts.size())
      return failure(BAD_INPUT,
                     "the prompt has more places for %s than there "
                     "are",
                     words[kind]);
    const PartRows part = p.parts[p.next++];
    const mf::Medium &m = *p.facts;
    if (kind != Medium::Film)
      put({m.begin()}, m.begin());
    for (int64_t r = 0; r < part.count; ++r)
      put({int32_t(-1 - part.first - r),
           kind == Medium::Sound ? 0 : int32_t(part.count - r)},
          id);
    if (kind != Medium::Film)
      put({m.end()}, m.end());
  }
  for (int kind = 0; kind < Medium::Kinds; ++kind)
    if (places[kind].next != places[kind].parts.size())
      return failure(BAD_INPUT, "the prompt has %zu places too few for its %s",
                     places[kind].parts.size() - places[kind].next,
                     words[kind]);
  return {};
}

} // namespace gm
