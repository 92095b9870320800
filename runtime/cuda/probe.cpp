// See probe.h, and for how they are used runtime/host/probe.h.
#include "runtime/cuda/probe.h"
#include "runtime/cuda/graphs.h"
#include "runtime/cuda/own_kernels.h"
#include "runtime/host/probe.h"

#include <algorithm>

namespace gm {

const char PROBE_READ_NAME[] = "gm_probe_read";
const char PROBE_INT8_NAME[] = "gm_probe_int8";
const char PROBE_NOTHING_NAME[] = "gm_probe_nothing";

// For all cards and drivers that programs run on.
const char PROBE_PTX[] = R"(
.version 7.4
.target sm_80
.address_size 64

.visible .entry gm_probe_read(.param .u64 gm_from, .param .u64 gm_words,
  .param .u64 gm_result)
.maxntid 256, 1, 1
{
  .reg .pred %more, %never;
  .reg .b32 %w<16>, %sum, %n, %t;
  .reg .b64 %at, %end, %words, %stride, %i;

  ld.param.u64 %at, [gm_from];
  ld.param.u64 %words, [gm_words];
  shl.b64 %words, %words, 4;
  add.u64 %end, %at, %words;
  mov.u32 %n, %ctaid.x;
  mul.wide.u32 %i, %n, 4096;
  add.u64 %at, %at, %i;
  mov.u32 %t, %tid.x;
  mul.wide.u32 %i, %t, 16;
  add.u64 %at, %at, %i;
  mov.u32 %n, %nctaid.x;
  mul.wide.u32 %stride, %n, 4096;
  mov.u32 %sum, 0;

NEXT:
  ld.global.nc.L1::no_allocate.v4.u32 {%w0, %w1, %w2, %w3}, [%at];
  add.u64 %at, %at, %stride;
  ld.global.nc.L1::no_allocate.v4.u32 {%w4, %w5, %w6, %w7}, [%at];
  add.u64 %at, %at, %stride;
  ld.global.nc.L1::no_allocate.v4.u32 {%w8, %w9, %w10, %w11}, [%at];
  add.u64 %at, %at, %stride;
  ld.global.nc.L1::no_allocate.v4.u32 {%w12, %w13, %w14, %w15}, [%at];
  add.u64 %at, %at, %stride;
  xor.b32 %sum, %sum, %w0;
  xor.b32 %sum, %sum, %w1;
  xor.b32 %sum, %sum, %w2;
  xor.b32 %sum, %sum, %w3;
  xor.b32 %sum, %sum, %w4;
  xor.b32 %sum, %sum, %w5;
  xor.b32 %sum, %sum, %w6;
  xor.b32 %sum, %sum, %w7;
  xor.b32 %sum, %sum, %w8;
  xor.b32 %sum, %sum, %w9;
  xor.b32 %sum, %sum, %w10;
  xor.b32 %sum, %sum, %w11;
  xor.b32 %sum, %sum, %w12;
  xor.b32 %sum, %sum, %w13;
  xor.b32 %sum, %sum, %w14;
  xor.b32 %sum, %sum, %w15;
  setp.lt.u64 %more, %at, %end;
  @%more bra NEXT;

  setp.eq.u32 %never, %sum, 0x5A17C0DE;
  @!%never ret;
  ld.param.u64 %at, [gm_result];
  st.global.u32 [%at], %sum;
  ret;
}

.visible .entry gm_probe_int8(.param .u32 gm_rounds, .param .u64 gm_result)
.maxntid 256, 1, 1
{
  .reg .pred %more, %never;
  .reg .b32 %a<4>, %b<2>, %c<32>, %rounds, %t;
  .reg .b64 %at;

  ld.param.u32 %rounds, [gm_rounds];
  mov.u32 %t, %tid.x;
  mad.lo.u32 %a0, %t, 0x01030507, 0x11223344;
  mad.lo.u32 %a1, %t, 0x090B0D0F, 0x55667788;
  mad.lo.u32 %a2, %t, 0x11131517, 0x1A2B3C4D;
  mad.lo.u32 %a3, %t, 0x191B1D1F, 0x5E6F7081;
  mad.lo.u32 %b0, %t, 0x21232527, 0x13579BDF;
  mad.lo.u32 %b1, %t, 0x292B2D2F, 0x02468ACE;
  mov.u32 %c0, 0;
  mov.u32 %c1, 0;
  mov.u32 %c2, 0;
  mov.u32 %c3, 0;
  mov.u32 %c4, 0;
  mov.u32 %c5, 0;
  mov.u32 %c6, 0;
  mov.u32 %c7, 0;
  mov.u32 %c8, 0;
  mov.u32 %c9, 0;
  mov.u32 %c10, 0;
  mov.u32 %c11, 0;
  mov.u32 %c12, 0;
  mov.u32 %c13, 0;
  mov.u32 %c14, 0;
  mov.u32 %c15, 0;
  mov.u32 %c16, 0;
  mov.u32 %c17, 0;
  mov.u32 %c18, 0;
  mov.u32 %c19, 0;
  mov.u32 %c20, 0;
  mov.u32 %c21, 0;
  mov.u32 %c22, 0;
  mov.u32 %c23, 0;
  mov.u32 %c24, 0;
  mov.u32 %c25, 0;
  mov.u32 %c26, 0;
  mov.u32 %c27, 0;
  mov.u32 %c28, 0;
  mov.u32 %c29, 0;
  mov.u32 %c30, 0;
  mov.u32 %c31, 0;

NEXT:
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c0, %c1, %c2, %c3},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c0, %c1, %c2, %c3};
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c4, %c5, %c6, %c7},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c4, %c5, %c6, %c7};
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c8, %c9, %c10, %c11},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c8, %c9, %c10, %c11};
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c12, %c13, %c14, %c15},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c12, %c13, %c14, %c15};
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c16, %c17, %c18, %c19},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c16, %c17, %c18, %c19};
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c20, %c21, %c22, %c23},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c20, %c21, %c22, %c23};
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c24, %c25, %c26, %c27},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c24, %c25, %c26, %c27};
  mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%c28, %c29, %c30, %c31},
    {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c28, %c29, %c30, %c31};
  sub.u32 %rounds, %rounds, 1;
  setp.ne.u32 %more, %rounds, 0;
  @%more bra NEXT;

  xor.b32 %c0, %c0, %c1;
  xor.b32 %c0, %c0, %c2;
  xor.b32 %c0, %c0, %c3;
  xor.b32 %c0, %c0, %c4;
  xor.b32 %c0, %c0, %c5;
  xor.b32 %c0, %c0, %c6;
  xor.b32 %c0, %c0, %c7;
  xor.b32 %c0, %c0, %c8;
  xor.b32 %c0, %c0, %c9;
  xor.b32 %c0, %c0, %c10;
  xor.b32 %c0, %c0, %c11;
  xor.b32 %c0, %c0, %c12;
  xor.b32 %c0, %c0, %c13;
  xor.b32 %c0, %c0, %c14;
  xor.b32 %c0, %c0, %c15;
  xor.b32 %c0, %c0, %c16;
  xor.b32 %c0, %c0, %c17;
  xor.b32 %c0, %c0, %c18;
  xor.b32 %c0, %c0, %c19;
  xor.b32 %c0, %c0, %c20;
  xor.b32 %c0, %c0, %c21;
  xor.b32 %c0, %c0, %c22;
  xor.b32 %c0, %c0, %c23;
  xor.b32 %c0, %c0, %c24;
  xor.b32 %c0, %c0, %c25;
  xor.b32 %c0, %c0, %c26;
  xor.b32 %c0, %c0, %c27;
  xor.b32 %c0, %c0, %c28;
  xor.b32 %c0, %c0, %c29;
  xor.b32 %c0, %c0, %c30;
  xor.b32 %c0, %c0, %c31;
  setp.eq.u32 %never, %c0, 0x5A17C0DE;
  @!%never ret;
  ld.param.u64 %at, [gm_result];
  st.global.u32 [%at], %c0;
  ret;
}

.visible .entry gm_probe_nothing()
.maxntid 256, 1, 1
{
  ret;
}
)";

namespace {

// Enough time to measure, enough blocks to fill a multiprocessor, the launches
// of a graph, and how often its cache fits into what is read.
constexpr double ENOUGH_MS = 4;
enum { MOST_TIMES = 1 << 20, SM_BLOCKS = 8, LAUNCHES = 256, CACHES = 8 };

class CardProbe {
public:
  CardProbe() = default;
  CardProbe(const CardProbe &) = delete;
  CardProbe &operator=(const CardProbe &) = delete;
  ~CardProbe() {
    if (!card.is_open())
      return;
    for (CUdeviceptr memory : {buffer, result})
      if (memory)
        card.driver->cuMemFree_v2(memory);
    for (CUevent event : {begin, end})
      if (event)
        card.driver->cuEventDestroy_v2(event);
    if (stream)
      card.driver->cuStreamDestroy_v2(stream);
  }

  Status open(int64_t index) {
    if (Status s = card.open(index); !s.ok())
      return s;
    if (Status s = own.load(card, PROBE_PTX); !s.ok())
      return s;
    int cache = 0;
    if (Status s = card.ask(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, sms);
        !s.ok())
      return s;
    if (Status s = card.ask(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, cache); !s.ok())
      return s;
    blocks = unsigned(sms * SM_BLOCKS);
    const Driver &driver = *card.driver;
    size_t free = 0, all = 0;
    CUresult error = driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
    for (CUevent *event : {&begin, &end})
      if (!error)
        error = driver.cuEventCreate(event, 0);
    if (!error)
      error = driver.cuMemAlloc_v2(&result, 256);
    if (!error)
      error = driver.cuMemGetInfo_v2(&free, &all);
    if (error)
      return card.check(error, "measure the card");
    turn = uint64_t(blocks) * PROBE_THREADS * 4 * 16;
    bytes =
        std::min<uint64_t>(uint64_t(cache) * CACHES, free / 2) / turn * turn;
    if (bytes && driver.cuMemAlloc_v2(&buffer, bytes) != CUDA_SUCCESS)
      buffer = 0; // it was little and is gone: reads stay unmeasured
    if (buffer)
      error = driver.cuMemsetD8Async(buffer, 0, bytes, stream);
    return card.check(error, "measure the card");
  }

  Status read(double &rate) {
    CUfunction function;
    if (!buffer)
      return {};
    if (Status s = own.find(PROBE_READ_NAME, function); !s.ok())
      return s;
    const uint32_t turns = uint32_t(bytes / turn);
    return measure(double(turn), rate, [&](uint32_t times) {
      CUresult error = CUDA_SUCCESS;
      for (uint32_t n; times && !error; times -= n) {
        n = std::min(times, turns);
        uint64_t words = n * turn / 16;
        void *parameters[] = {&buffer, &words, &result};
        error = launch(function, blocks, parameters);
      }
      return error;
    });
  }

  Status int8(double &rate) {
    CUfunction function;
    if (Status s = own.find(PROBE_INT8_NAME, function); !s.ok())
      return s;
    const int64_t warps = int64_t(blocks) * PROBE_THREADS / 32,
                  ops = warps * PROBE_PRODUCTS * PROBE_PRODUCT_OPS;
    return measure(double(ops), rate, [&](uint32_t rounds) {
      void *parameters[] = {&rounds, &result};
      return launch(function, blocks, parameters);
    });
  }

  // Launches per second of a graph.
  Status launches(double &rate) {
    CUfunction function;
    if (Status s = own.find(PROBE_NOTHING_NAME, function); !s.ok())
      return s;
    Graphs graphs;
    graphs.start(card);
    if (Status s = graphs.begin(stream); !s.ok())
      return s;
    CUresult error = CUDA_SUCCESS;
    for (int i = 0; i < LAUNCHES && !error; ++i)
      error = launch(function, unsigned(sms), nullptr);
    CUgraphExec graph = nullptr;
    const Status ended = graphs.end(stream, !error, graph);
    if (error)
      return card.check(error, "measure the card");
    if (!ended.ok())
      return ended;
    Status s = measure(LAUNCHES, rate, [&](uint32_t times) {
      CUresult failed = CUDA_SUCCESS;
      for (uint32_t i = 0; i < times && !failed; ++i)
        failed = card.driver->cuGraphLaunch(graph, stream);
      return failed;
    });
    graphs.destroy(graph);
    return s;
  }

private:
  CUresult launch(CUfunction function, unsigned count, void **parameters) {
    return card.driver->cuLaunchKernel(function, count, 1, 1, PROBE_THREADS, 1,
                                       1, 0, stream, parameters, nullptr);
  }

  // How much of `work` a second is done by what `run` launches, which does it
  // as often as it is told.
  template <typename Run>
  Status measure(double work, double &rate, Run run) {
    const Driver &driver = *card.driver;
    for (uint32_t times = 1;;) {
      float ms = 0;
      CUresult error = driver.cuEventRecord(begin, stream);
      if (!error)
        error = run(times);
      if (!error)
        error = driver.cuEventRecord(end, stream);
      if (!error)
        error = driver.cuEventSynchronize(end);
      if (!error)
        error = driver.cuEventElapsedTime(&ms, begin, end);
      if (error)
        return card.check(error, "measure the card");
      if (ms >= ENOUGH_MS || times >= MOST_TIMES) {
        rate = ms > 0 ? work * times / (double(ms) * 1e-3) : 0;
        return {};
      }
      const double more = 1.2 * ENOUGH_MS / std::max(double(ms), 1e-3);
      times *= uint32_t(std::clamp(more, 2.0, 16.0));
    }
  }

  Card card; // outlives all that is on it
  OwnKernels own;
  CUstream stream = nullptr;
  CUevent begin = nullptr, end = nullptr;
  CUdeviceptr buffer = 0, result = 0;
  uint64_t turn = 0, bytes = 0; // that all threads read at once; of the buffer
  unsigned blocks = 0;
  int sms = 0;
};

} // namespace

Status probe_device(int64_t index, Probe &found) {
  CardProbe probe;
  found = {};
  found.is_device = true;
  double launches = 0;
  if (Status s = probe.open(index); !s.ok())
    return s;
  if (Status s = probe.read(found.read_all); !s.ok())
    return s;
  if (Status s = probe.int8(found.int8_all); !s.ok())
    return s;
  if (Status s = probe.launches(launches); !s.ok())
    return s;
  found.launch = launches > 0 ? 1e9 / launches : 0;
  return {};
}

} // namespace gm
