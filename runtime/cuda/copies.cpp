// See copies.h.
#include "runtime/cuda/copies.h"

#include <algorithm>

namespace gm {

bool CopyTable::add(uint64_t from, uint64_t to, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes; done += CHUNK) {
    if (copies[0].from == most)
      return false;
    copies[++copies[0].from] = {from + done, to + done,
                                std::min<uint64_t>(CHUNK, bytes - done)};
  }
  return true;
}

const char COPY_NAME[] = "gm_copy";

// For all cards and drivers that programs run on. A block takes every n-th
// entry: the part that both sides have aligned by 16 bytes, of what is left
// words, then bytes. The last block to end writes the flag, behind all that the
// others wrote.
const char COPY_PTX[] = R"(
.version 7.4
.target sm_80
.address_size 64

.visible .entry gm_copy(.param .u64 gm_copy_table, .param .u64 gm_copy_counter)
.maxntid 256, 1, 1
{
  .reg .pred %none, %is16, %is4, %out, %other;
  .reg .b16 %byte;
  .reg .b32 %w<4>, %n;
  .reg .b64 %table, %count, %i, %step, %thread, %entry, %from, %to, %bytes;
  .reg .b64 %low, %at, %end, %a, %b;

  ld.param.u64 %table, [gm_copy_table];
  mov.u32 %n, %ctaid.x;
  cvt.u64.u32 %i, %n;
  mov.u32 %n, %nctaid.x;
  cvt.u64.u32 %step, %n;
  mov.u32 %n, %tid.x;
  cvt.u64.u32 %thread, %n;
  ld.global.u64 %count, [%table];

NEXT:
  setp.ge.u64 %none, %i, %count;
  @%none bra END;
  mad.lo.u64 %entry, %i, 24, %table;
  ld.global.u64 %from, [%entry+24];
  ld.global.u64 %to, [%entry+32];
  ld.global.u64 %bytes, [%entry+40];
  add.u64 %i, %i, %step;
  or.b64 %low, %from, %to;
  mov.u64 %end, 0;

  and.b64 %a, %low, 15;
  setp.ne.u64 %is16, %a, 0;
  @%is16 bra WORDS;
  and.b64 %end, %bytes, -16;
  shl.b64 %at, %thread, 4;
LOOP16:
  setp.ge.u64 %out, %at, %end;
  @%out bra WORDS;
  add.u64 %a, %from, %at;
  add.u64 %b, %to, %at;
  ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%a];
  st.global.v4.u32 [%b], {%w0, %w1, %w2, %w3};
  add.u64 %at, %at, 4096;
  bra LOOP16;

WORDS:
  and.b64 %a, %low, 3;
  setp.ne.u64 %is4, %a, 0;
  @%is4 bra BYTES;
  shl.b64 %at, %thread, 2;
  add.u64 %at, %at, %end;
  and.b64 %end, %bytes, -4;
LOOP4:
  setp.ge.u64 %out, %at, %end;
  @%out bra BYTES;
  add.u64 %a, %from, %at;
  add.u64 %b, %to, %at;
  ld.global.u32 %w0, [%a];
  st.global.u32 [%b], %w0;
  add.u64 %at, %at, 1024;
  bra LOOP4;

BYTES:
  add.u64 %at, %thread, %end;
LOOP1:
  setp.ge.u64 %out, %at, %bytes;
  @%out bra NEXT;
  add.u64 %a, %from, %at;
  add.u64 %b, %to, %at;
  ld.global.u8 %byte, [%a];
  st.global.u8 [%b], %byte;
  add.u64 %at, %at, 256;
  bra LOOP1;

END:
  bar.sync 0;
  ld.param.u64 %b, [gm_copy_counter];
  setp.eq.u64 %out, %b, 0;
  @%out ret;
  setp.ne.u64 %other, %thread, 0;
  @%other ret;
  fence.acq_rel.sys;
  atom.global.acq_rel.gpu.add.u32 %n, [%b], 1;
  add.u32 %n, %n, 1;
  cvt.u64.u32 %a, %n;
  setp.ne.u64 %other, %a, %step;
  @%other ret;
  mov.u32 %n, 0;
  st.global.u32 [%b], %n;
  ld.global.u64 %count, [%table+8];
  ld.global.u64 %a, [%table+16];
  fence.acq_rel.sys;
  st.release.sys.global.u64 [%a], %count;
  ret;
}
)";

} // namespace gm
