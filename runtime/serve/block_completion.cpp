// See block_completion.h.
#include "runtime/serve/block_completion.h"

namespace gm {

void BlockCompletion::open(Block &&block) {
  shut();
  block.id = new_id(block.kind);
  blocks.push_back(std::move(block));
  is_open = true;
  if (generation.stream)
    begin_block(blocks.size() - 1);
}

void BlockCompletion::shut() {
  if (is_open && generation.stream)
    end_block(blocks.size() - 1);
  is_open = false;
}

void BlockCompletion::add(Block::Kind kind, const std::string &piece,
                          const std::vector<Drawn> &tokens) {
  if (piece.empty())
    return;
  if (!is_open || blocks.back().kind != kind)
    open({kind});
  Block &block = blocks.back();
  block.text += piece;
  if (kind == Block::Text)
    block.tokens.insert(block.tokens.end(), tokens.begin(), tokens.end());
  if (generation.stream)
    more(blocks.size() - 1, piece, tokens);
}

void BlockCompletion::add(const Delta &delta) {
  add(Block::Thought, delta.thought, {});
  add(Block::Text, delta.text, delta.tokens);
  for (const CallDelta &call : delta.calls) {
    if (!call.id.empty())
      open({Block::Call, "", call.id, call.name});
    add(Block::Call, call.arguments, {});
  }
}

void BlockCompletion::make_blocks() {
  add(made[0].all);
  shut();
}

void BlockCompletion::give(size_t, const Delta &delta, bool first) {
  if (first)
    begin();
  add(delta);
}

void BlockCompletion::close(size_t, const char *) { shut(); }

} // namespace gm
