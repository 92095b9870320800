// See media_plan.h.
#include "runtime/app/media_plan.h"
#include "runtime/manifest_generated.h"
#include "runtime/media/target_size.h"

#include <algorithm>

namespace gm {
namespace mf = gemmac::manifest;

namespace {

// Of a decoder, per pixel of the largest picture: what decode_picture.h says.
// Resizing, which comes behind, takes less.
constexpr int64_t kBytesPerPixel = 12;
// Tables of resizing and of decoders.
constexpr int64_t kTables = int64_t(8) << 20;
// Of a sound: the file, which MP3 holds twice, and 31 s of it at the highest
// rate.
constexpr int64_t kSoundBytes = 3 * media::kMostFileBytes;
static_assert(31 * media::kMostRate * 4 + kTables < 2 * media::kMostFileBytes);

} // namespace

void MediaCounts::add_names(const std::vector<std::string> &names) {
  for (const std::string &name : names) {
    const auto size = int64_t(name.size());
    if (size < 4096) // a path
      continue;
    const int64_t longest = std::max(longest_name, size);
    name_bytes += size + longest - longest_name;
    longest_name = longest;
  }
}

Flag image_tokens_flag(int64_t &tokens) {
  return {"--image-tokens",
          "",
          "N",
          "most tokens that a picture becomes: 70, 140, 280, 560 or 1120 "
          "(default: the checkpoint's)",
          &tokens,
          1,
          1 << 20};
}

Flag image_pixels_flag(int64_t &pixels) {
  return {"--image-pixels",
          "",
          "N",
          "most pixels of a picture before it is scaled; the memory plan has "
          "12 bytes for each (default: " +
              std::to_string(kUsualPixels) + ")",
          &pixels,
          1,
          double(media::kMostPixels)};
}

// One is read after the other.
int64_t media_bytes(bool pictures, bool sounds, int64_t image_pixels) {
  return std::max(pictures ? media::kMostFileBytes +
                                 kBytesPerPixel * image_pixels + kTables
                           : 0,
                  sounds ? kSoundBytes : 0);
}

int64_t image_budget(const File &file, int64_t image_tokens) {
  const mf::Medium *image = medium_of(file, "image");
  return image_tokens ? image_tokens : image ? image->budget() : 0;
}

Status reserve_media(const File &file, const MediaCounts &counts,
                     Options &options) {
  const mf::Medium *video = medium_of(file, "video");
  if ((counts.images && !medium_of(file, "image")) || (counts.frames && !video))
    return failure(UNSUPPORTED, "this program cannot see: its checkpoint has "
                                "no vision tower, or it was left out");
  if (counts.sounds && !medium_of(file, "audio"))
    return failure(UNSUPPORTED, "this program cannot hear: its checkpoint has "
                                "no audio tower, or it was left out");
  const int64_t budget = image_budget(file, counts.image_tokens);
  if (counts.images && !media::is_budget(budget))
    return failure(USAGE,
                   "--image-tokens must be 70, 140, 280, 560 or 1120, got "
                   "%lld",
                   (long long)budget);
  const int64_t frame = counts.frames ? video->budget() : 0;
  options.image_rows = std::max(counts.images ? budget : 0, frame);
  options.sound_rows = counts.sounds ? kMostSoundRows : 0;
  options.soft_rows = budget * counts.images + frame * counts.frames +
                      options.sound_rows * counts.sounds;
  options.block = std::max(options.block, options.image_rows);
  options.media_bytes =
      media_bytes(options.image_rows, options.sound_rows, counts.image_pixels);
  options.media_bytes += counts.name_bytes;
  return {};
}

} // namespace gm
