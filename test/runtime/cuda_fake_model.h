// The fake model as generated code for a card: segments that launch the kernels
// of cuda_fake_kernels.cpp, as PTX.
#pragma once

#include "runtime/abi.h"

namespace fake {

enum { BODY, ATTEND_FEW, ATTEND_MANY, TAIL, LOGITS, TOP, FAULT, KERNELS };
extern const gm_kernel device_kernels[KERNELS];
// Ends in 0.
extern "C" const char fake_ptx[];

// `images` end in one without data.
gm_program device_program(const gm_image *images);

extern int recorded[GM_LOGITS + 1]; // times that segments were called
extern bool fault;                  // the body launches FAULT, too

} // namespace fake
