// The pictures, sounds and films of a prompt: room for them in the plan, and
// their soft rows among the ids of a rendered conversation. Knows the engine;
// must not know how a conversation is rendered or a medium decoded.
#pragma once

#include "runtime/app/items.h"
#include "runtime/app/medium.h"

namespace gm {

struct MediaFlags : MediaStyle {
  std::vector<std::string> images, sounds, films; // as read_media takes them

  // `piped`: the standard input may be one of them.
  std::vector<Flag> flags(bool piped = true);
  bool any() const {
    return !images.empty() || !sounds.empty() || !films.empty();
  }
  // The first flag of those that are given.
  const char *first_flag() const {
    return !images.empty()   ? "--image"
           : !sounds.empty() ? "--audio"
                             : "--video";
  }
  // One of them comes from the standard input, which is no text then.
  bool take_standard_input() const;
};

// "-", or a list of pictures that comes from there.
bool is_standard_input(const std::string &medium);

// What stands for a medium in a prompt.
struct MediumRows {
  Medium::Kind kind;
  int64_t first; // number of its first row
  const std::vector<int64_t> &parts;
};
// Puts the rows of media, with the tokens around them, in place of the ids that
// stand for them. BAD_INPUT if there are more or fewer of these. `shown`: the
// ids that are in `items`, with those of soft rows.
Status place_media(const File &file, const std::vector<MediumRows> &media,
                   const std::vector<int32_t> &ids, Items &items,
                   std::vector<int32_t> *shown);

// Media in the order of their places in the conversation. Each soft row has a
// number of its own, which no other row ever gets: what a slot holds can be
// compared with what a prompt has.
class Media {
public:
  Media(Program &program, const MediaStyle &style)
      : program(program), style(style) {}
  Media(const Media &) = delete; // items refer to it

  // Behind those that are there; Medium::open. RUN_ERROR for what
  // `reserve_any` had no room for.
  Status add(Medium::Kind kind, const std::string &named, const char *flag);
  // Pictures, then sounds, then films, as they stand in front of a text.
  Status add(const MediaFlags &flags);
  size_t size() const { return list.size(); }
  void erase(size_t first, size_t count);
  const Medium &operator[](size_t i) const { return list[i].medium; }

  // Either room for all that there are at once, before the program is planned,
  // and after its start `encode`; or room for any one of them, whose rows are
  // made when a step needs them: they need `measure` and no `encode`.
  Status reserve(Options &options) const;
  // Pictures and films are left out if the context is smaller than one.
  void reserve_any(Options &options);
  // Medium::measure of those that are not measured.
  Status measure();
  // Decodes and encodes everything, one after the other.
  Status encode();

  // place_media, of the first `count` of them, which must have been measured or
  // encoded; `items` must not outlive this.
  Status place(const std::vector<int32_t> &ids, size_t count, Items &items,
               std::vector<int32_t> *shown = nullptr);
  // Each time that a tower ran for one of them, in their order.
  std::vector<Encoding> encodings() const;
  // How many items more than ids there will be.
  int64_t added(size_t count) const;

private:
  struct Placed {
    Medium medium;
    int64_t first = -1; // number of its first row; -1: not measured
  };
  // Items::bring.
  Status bring(const Item *items, int64_t &count, int32_t &first);

  Program &program;
  const MediaStyle &style;
  std::vector<Placed> list;
  bool one = false;      // there is room for any one
  int64_t too_large = 0; // but not for pictures, which have so many rows
  int64_t numbers = 0;   // that were given to rows
  // Rows that the engine holds.
  int64_t held_first = 0, held_end = 0;
};

} // namespace gm
