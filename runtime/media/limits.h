// What a picture, a sound and a film may have at most. Every size is held
// against these before memory is asked for, so hostile input costs at most what
// stands here. Knows nothing else.
#pragma once

#include <cstdint>

namespace gm::media {

// Of a decoded or resized picture: 8192 x 8192, 192 MiB as RGB.
inline constexpr int64_t kMostPixels = int64_t(1) << 26;
inline constexpr int64_t kMostSide = 65535; // pixels

// Of what is cut into patches, padding included: 192 MiB as f32. The largest
// budget makes a sixth of it.
inline constexpr int64_t kMostPatchPixels = int64_t(1) << 24;
// Of a patch, or of a cell of 8 x 8 of them that is one row: what gemmac
// compiles.
inline constexpr int kMostPatchSide = 64 * 8;

// Of a frame of a film: 7680 x 4320 fits.
inline constexpr int64_t kMostFramePixels = int64_t(1) << 25;
// Frames of a film that are looked at: 9 hours at 30 a second.
inline constexpr int64_t kMostFrames = int64_t(1) << 20;

// Of all frames of an animated picture together, and of all passes over a
// picture that comes in many: half a minute of work.
inline constexpr int64_t kMostFilmPixels = int64_t(1) << 33;
inline constexpr int64_t kMostPassPixels = int64_t(1) << 32;

// Bytes of a file that is decoded, all of it in memory.
inline constexpr int64_t kMostFileBytes = int64_t(64) << 20;
// Of a film from a pipe, which waits in a temporary file: ten minutes of 1280 x
// 720 at 30 frames a second.
inline constexpr int64_t kMostPipeBytes = int64_t(24) << 30;

// Of a decoded sound, in samples of one channel: 23 minutes at 48 kHz.
inline constexpr int64_t kMostSamples = int64_t(1) << 26;
// Of all channels together: 4 of the longest.
inline constexpr int64_t kMostSoundValues = int64_t(1) << 28;
inline constexpr int64_t kLeastRate = 1000, kMostRate = 768000; // Hz
inline constexpr int64_t kMostChannels = 64;

} // namespace gm::media
