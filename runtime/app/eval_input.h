// What `eval` scores: the windows of an input, one after another, in memory
// that depends on the longest window and not on how many there are. A window is
// a sequence of tokens that is scored by itself. Knows nothing of the model.
#pragma once

#include "runtime/app/program.h"

#include <optional>
#include <string>
#include <vector>

namespace gm {

class EvalInput {
public:
  // So many tokens are kept as they are: 2 MiB.
  enum : size_t { HELD = 1u << 19 };
  struct Source {
    const TextInput *text;                 // settled
    std::optional<std::string> token_file; // instead of the text
    const std::vector<int32_t> *ids;       // instead of both: one window
    std::optional<std::string> split; // lines that hold only this part texts
    int64_t window;  // most tokens of a window; 0: each text is one
    int64_t context; // more tokens than this are an error, if there is one text
                     // and one window
    uint64_t held = HELD;
  };
  EvalInput(const Program &program, const Source &source)
      : program(program), source(source) {}

  // Opens the input and looks through all of it, unless it comes from a pipe
  // and has more than `held` tokens.
  Status survey();
  bool is_surveyed() const { return surveyed; }
  // After a survey of all of it.
  uint64_t tokens() const { return total; }
  uint64_t longest() const { return most; }

  // Begins at the first window; once only if it is not surveyed.
  Status rewind();
  // The next window, empty at the end. RUN_ERROR if it has more than `context`
  // tokens.
  Status next(std::vector<int32_t> &window, int64_t context);

private:
  // Windows that are complete, one after another.
  struct Windows {
    std::vector<int32_t> ids;
    std::vector<size_t> ends; // in `ids`
    size_t next = 0;          // of `ends`, that has not been given
  };

  void begin();
  Status read_more();
  Status take_text(std::string_view piece);
  void take_texts();
  void take_part(std::string_view text, bool text_ends);
  void take_ids(bool text_ends);
  void add(int32_t id);
  void end_window();
  std::string name() const;
  Status changed() const;
  Status too_long(int64_t context) const;

  const Program &program;
  const Source source;
  ByteReader reader;
  bool surveyed = false, all_held = false;
  uint64_t total = 0, most = 0, given = 0;

  // Where the reading is.
  std::optional<StreamEncoder> encoder;
  std::optional<IdParser> parser;
  bool ended = false, surveying = false, counts_only = false;
  uint64_t offset = 0;         // bytes that were checked to be UTF-8
  std::string half;            // the beginning of a character
  std::string waiting;         // text in which a separator may begin
  std::vector<int32_t> fresh;  // ids that are in no window yet
  bool text_begun = false;     // an id of this text was seen
  bool repeats_bos = false;    // <bos> stands in front of each of its windows
  std::vector<int32_t> window; // that is being filled, as far as it is kept
  uint64_t filled = 0;         // its length
  Windows ready;               // if all_held: all of them
};

} // namespace gm
