// Generation of tokens in one slot: prefill in chunks, then token by token with
// sampling. Used by `run` and `chat`; knows no text.
#pragma once

#include "runtime/app/constraint.h"
#include "runtime/app/draw.h"
#include "runtime/app/items.h"
#include "runtime/app/pace.h"
#include "runtime/app/program.h"

#include <functional>
#include <memory>
#include <vector>

namespace gm {

struct GenerateOptions {
  Sampling sampling;
  Random random;
  int64_t most = -1; // tokens; -1: until a stop id or the end of the context
  bool ignore_stop = false;
  // What every answer has to be, as its state in front of one; null: anything.
  std::shared_ptr<const Constraint> constraint;
  bool no_kv_skip = false; // compute all layers for all rows of the prompt
};

enum class End { Stop, Length, Context, Interrupted, Unread };

class Generator {
public:
  // `program` is started, with Options.all_logits unless top_is_enough.
  Generator(Program &program, const GenerateOptions &options);

  // Continues slot 0, which holds `length()` tokens, with `prompt` and
  // generates. `give` receives every generated id, a stop id included, and
  // says whether anybody still reads (if not: End::Unread). Checkpoint 0 keeps
  // the slot as it is when it holds `keep` tokens (not inside a block), if the
  // prompt gets there. With blocks: started with Options.block.
  Status run(const Items &prompt, const std::function<bool(int32_t)> &give,
             End &end, int64_t keep = -1);

  // Tokens that the slot holds; the last generated one is not among them.
  int64_t length() const { return position; }
  // Forgets everything after the first `tokens`, or after those of checkpoint
  // 0, or everything, whichever is the most that is not more than `tokens`.
  Status rewind(int64_t tokens);
  // Slot 0 was made to hold other rows; `length()` is of these.
  void restored() { position = slot_length(*program.engine, 0); }
  bool is_stop(int32_t id) const { return rules.is_stop(id); }

private:
  Status feed(const Items &items, size_t first, int64_t count, int32_t *next);
  Status read(const Items &prompt, int64_t keep, int32_t &next);
  const uint32_t *allowed();
  bool complete();

  Program &program;
  GenerateOptions options;
  const bool has_blocks;
  const TokenRules rules;
  Draw draw;
  DrawScratch scratch;
  std::unique_ptr<Constraint> constraint; // of the answer that is written
  std::vector<uint32_t> now;              // what it and `rules` allow next
  std::vector<Row> rows;
  int64_t position = 0;
  int32_t soft_first = 0; // the row that Items::soft begins with
  Pace pace;
};

} // namespace gm
