// What the environment says about the emulated machine:
//
//   GM_CUDA_SM=90            compute capability; tensor cores follow (80)
//   GM_CUDA_DRIVER=12000     version of the driver (13000)
//   GM_CUDA_DEVICES=0        number of devices (1)
//   GM_CUDA_MEMORY=8G        memory of the device (16G)
//   GM_CUDA_SMS=132          multiprocessors (4)
//   GM_CUDA_SEED=7           random orders of CTAs and warps (0: in order), and
//                            other bytes in shared memory never written
//   GM_CUDA_THREADS=2        host threads for CTAs of plain launches (1)
//   GM_CUDA_UNINITIALISED=1  report reads of shared memory never written;
//                            products of few rows read absent rows of tiles,
//                            whose sums nobody uses
//   GM_CUDA_ON_FAULT=abort   abort at the first report (else the launch fails)
//   GM_CUDA_REPORT=1         print what ran when the process ends
//   GM_CUDA_PTX=FILE         this text for the image with the same first kernel
#include "test/cuda/settings.h"

#include <cstdlib>

namespace cuemu {

namespace {

u64 number(const char *name, u64 otherwise) {
  const char *text = getenv(name);
  if (!text || !*text)
    return otherwise;
  char *end = nullptr;
  u64 value = strtoull(text, &end, 0);
  return *end == 'G'   ? value << 30
         : *end == 'M' ? value << 20
         : *end == 'K' ? value << 10
                       : value;
}

} // namespace

void Settings::setSm(int value) {
  sm = value;
  bool hopper = sm >= 90;
  tensorBlock = hopper ? 16 : 8;
  tensorBits = hopper ? 25 : 24;
  tensorZero = hopper ? -133 : -132;
}

Settings &settings() {
  static Settings made = [] {
    Settings s;
    s.setSm(int(number("GM_CUDA_SM", 80)));
    s.seed = number("GM_CUDA_SEED", 0);
    s.threads = int(number("GM_CUDA_THREADS", 1));
    s.uninitialised = number("GM_CUDA_UNINITIALISED", 0) != 0;
    const char *fault = getenv("GM_CUDA_ON_FAULT");
    if (const char *ptx = getenv("GM_CUDA_PTX"))
      s.ptx = ptx;
    s.abortOnFault = fault && std::string(fault) == "abort";
    return s;
  }();
  return made;
}

Machine &machine() {
  static Machine made = [] {
    Machine m;
    m.driver = int(number("GM_CUDA_DRIVER", 13000));
    m.devices = int(number("GM_CUDA_DEVICES", 1));
    m.memory = number("GM_CUDA_MEMORY", 16ull << 30);
    m.sms = int(number("GM_CUDA_SMS", 4));
    m.report = number("GM_CUDA_REPORT", 0) != 0;
    return m;
  }();
  return made;
}

} // namespace cuemu
