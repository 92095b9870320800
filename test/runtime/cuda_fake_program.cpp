// The fake model for a card as a program: what ships, but for its kernels.
#include "test/runtime/cuda_fake_model.h"

static const gm_image images[] = {
    {0, 0, reinterpret_cast<const uint8_t *>(fake::fake_ptx)}, {}};
extern "C" const gm_program gm_model = fake::device_program(images);
