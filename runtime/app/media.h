// Pictures and sounds of a prompt: from what a user names to soft rows, and
// where these stand among the ids. Knows files, decoders and the engine; must
// not know how a conversation is rendered.
#pragma once

#include "runtime/app/items.h"
#include "runtime/app/program.h"

#include <string>
#include <vector>

namespace gm {

struct MediaFlags {
  std::vector<std::string> images, sounds; // as read_media takes them
  int64_t image_tokens = 0;                // 0: the checkpoint's
  std::string transparent = "drop";
  bool cut = false;

  std::vector<Flag> flags();
  bool any() const { return !images.empty() || !sounds.empty(); }
  // One of them comes from the standard input, which is no text then.
  bool take_standard_input() const;
};

// Most soft rows of a sound: 30 s.
inline constexpr int64_t kMostSoundRows = 750;

class Media {
public:
  Media(Program &program, const MediaFlags &flags)
      : program(program), flags(flags) {}

  // Room for what is asked for, before the program is planned. UNSUPPORTED if
  // the program cannot see or hear, USAGE for a budget that is none.
  Status reserve(Options &options) const;
  // Decodes and encodes everything, one after the other; the program is
  // started. Errors name the file. Says on standard error what was changed.
  Status encode();
  // Puts soft rows, with the tokens around them, in place of the ids that stand
  // for them, in their order. BAD_INPUT if there are more or fewer of these.
  Status place(const std::vector<int32_t> &ids, Items &items) const;

private:
  struct Span {
    bool picture;
    int64_t first, rows; // soft rows
  };
  int64_t budget() const;
  Status see(const std::string &named);
  Status hear(const std::string &named);
  Status append(bool picture, int64_t rows);

  Program &program;
  const MediaFlags &flags;
  std::vector<Span> spans; // pictures, then sounds
  int64_t used = 0;        // soft rows
};

} // namespace gm
