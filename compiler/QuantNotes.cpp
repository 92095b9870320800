#include "compiler/QuantNotes.h"

#include "targets/Formats.h"

#include <algorithm>
#include <map>

namespace gemmac {
namespace {

// Tensors of one source type in one format.
struct Group {
  int64_t tensors = 0;
  StoredError error;
  const PackNote *worst = nullptr; // largest change of a value
};

// "12 tensors of type Q4_K are stored as q8_0"
std::string stored(int64_t n, const std::string &type,
                   const std::string &format) {
  return fmt::format("{} tensor{} of type {} {} stored as {}", n,
                     n == 1 ? "" : "s", type, n == 1 ? "is" : "are", format);
}

} // namespace

QuantNotes quantNotes(std::vector<PackNote> notes) {
  std::sort(notes.begin(), notes.end(), [](const auto &a, const auto &b) {
    return std::tie(a.tensor, a.format) < std::tie(b.tensor, b.format);
  });
  QuantNotes result;
  std::map<std::pair<std::string, std::string>, Group> groups;
  for (const PackNote &note : notes) {
    const StoredError &e = note.error;
    const Format &format = formatOf(note.format);
    // Of values that nobody put on a grid hardly a block is exact.
    bool isGrid = !isBlockType(note.type) && e.exactBlocks * 2 > e.blocks;
    if (isGrid && e.exactBlocks < e.blocks)
      result.warnings.push_back(fmt::format(
          "'{}' is not stored without loss: {} of its {} blocks of {} are no "
          "multiples of a {} scale by -8 to 7, the others are; values change "
          "by up to {:.3g}",
          note.tensor, e.blocks - e.exactBlocks, e.blocks, format.block,
          format.scale == Format::Scale::BF16 ? "bf16" : "f16", e.largest));
    bool exact = e.exactBlocks == e.blocks;
    std::string how;
    if (exact && !isBlockType(note.type))
      how = ", a 4-bit grid";
    Group &group = groups[{note.typeName, note.format + how}];
    ++group.tensors;
    group.error.add(e);
    if (!group.worst || e.largest > group.worst->error.largest)
      group.worst = &note;
  }
  for (const auto &[key, group] : groups) {
    const StoredError &e = group.error;
    std::string text = stored(group.tensors, key.first, key.second);
    if (e.exactBlocks == e.blocks) {
      result.remarks.push_back(fmt::format("{}, every value exactly{}", text,
                                           e.largest > 0 ? " (as bf16)" : ""));
      continue;
    }
    text += fmt::format(
        ", which changes their values by up to {:.3g} ('{}'; rms {:.3g})",
        e.largest, group.worst->tensor, e.rms());
    if (isBlockType(group.worst->type))
      result.warnings.push_back(text + "; --quant=f32 keeps them exactly");
    else
      result.remarks.push_back(text);
  }
  return result;
}

} // namespace gemmac
