// An answer of one choice as a list of blocks, each of which is a thought, a
// text or a call: what Anthropic's messages and OpenAI's responses have in
// common. The forms of blocks and events are the derived classes'.
#pragma once

#include "runtime/serve/completion.h"

namespace gm {

class BlockCompletion : public Completion {
public:
  using Completion::Completion;

protected:
  struct Block {
    enum Kind { Thought, Text, Call } kind;
    std::string text = "";            // of a call: its arguments, a JSON object
    std::string call = "", name = ""; // of a call: its id
    std::vector<Drawn> tokens = {};   // of a text, if logprobs are asked
    std::string id = "";              // of the block
  };

  // Events of a stream, in this order: begin, for each block begin_block,
  // more ..., end_block, then end. `blocks` has what was given so far.
  virtual void begin() = 0;
  virtual void begin_block(size_t index) = 0;
  virtual void more(size_t index, const std::string &piece,
                    const std::vector<Drawn> &tokens) = 0;
  virtual void end_block(size_t index) = 0;
  virtual void end() = 0;
  // A new block's id; may be empty.
  virtual std::string new_id(Block::Kind kind) const = 0;

  // The blocks of a whole answer.
  void make_blocks();

  std::vector<Block> blocks;

private:
  void give(size_t, const Delta &delta, bool first) final;
  void close(size_t, const char *) final;
  void close_all() final { end(); }

  void add(const Delta &delta);
  void add(Block::Kind kind, const std::string &piece,
           const std::vector<Drawn> &tokens);
  void open(Block &&block);
  void shut();

  bool is_open = false; // the last block
};

} // namespace gm
