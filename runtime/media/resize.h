// Resizes pictures with exactly the bytes of Pillow's bicubic filter, which is
// what the reference's processor uses (docs/model/vision.md#2.3).
#pragma once

#include "runtime/media/picture.h"

namespace gm::media {

// `from` at height x width, one axis after the other, bytes to bytes; an axis
// that keeps its size is left alone. Along rows first, unless columns shrink by
// more than twice as many pixels as rows do. Weights are integers of 22
// fractional bits and sums are exact (in double, below 2^53), so no order of
// them and no machine changes a bit. Memory: the picture between the passes,
// and some 50 bytes per pixel of a side. USAGE for sides out of bounds
// (picture.h). `to` may be `from`.
Status resize(const Picture &from, int64_t height, int64_t width, Picture &to);

} // namespace gm::media
