// See synthetic.h.
#include "runtime/cuda/synthetic.h"

namespace gm {

const char SYNTHETIC_NAME[] = "gm_synthetic";

// For all cards and drivers that programs run on.
const char SYNTHETIC_PTX[] = R"(
.version 7.4
.target sm_80
.address_size 64

.visible .entry gm_synthetic(.param .u64 gm_to, .param .u64 gm_words,
  .param .u32 gm_first, .param .u32 gm_keep, .param .u32 gm_set)
.maxntid 256, 1, 1
{
  .reg .pred %out;
  .reg .b32 %a, %b, %word, %shifted, %first, %keep, %set;
  .reg .b64 %to, %words, %i, %step, %at;

  ld.param.u64 %to, [gm_to];
  ld.param.u64 %words, [gm_words];
  ld.param.u32 %first, [gm_first];
  ld.param.u32 %keep, [gm_keep];
  ld.param.u32 %set, [gm_set];
  mov.u32 %a, %ctaid.x;
  mov.u32 %b, %tid.x;
  mul.wide.u32 %i, %a, 256;
  cvt.u64.u32 %at, %b;
  add.u64 %i, %i, %at;
  mov.u32 %a, %nctaid.x;
  mul.wide.u32 %step, %a, 256;

NEXT:
  setp.ge.u64 %out, %i, %words;
  @%out ret;
  cvt.u32.u64 %word, %i;
  add.u32 %word, %word, %first;
  shr.u32 %shifted, %word, 16;
  xor.b32 %word, %word, %shifted;
  mul.lo.u32 %word, %word, 0x7FEB352D;
  shr.u32 %shifted, %word, 15;
  xor.b32 %word, %word, %shifted;
  mul.lo.u32 %word, %word, 0x846CA68B;
  shr.u32 %shifted, %word, 16;
  xor.b32 %word, %word, %shifted;
  and.b32 %word, %word, %keep;
  or.b32 %word, %word, %set;
  shl.b64 %at, %i, 2;
  add.u64 %at, %at, %to;
  st.global.u32 [%at], %word;
  add.u64 %i, %i, %step;
  bra NEXT;
}
)";

} // namespace gm
