// What kernels may touch outside their CTA: allocations of device memory and
// pinned host memory. Must not know kernels or streams.
//
// Device memory is mapped twice: its addresses, as programs see them, cannot
// be touched (PROT_NONE), the emulator goes through another view. No address
// is given out twice, so use after free is found.
#pragma once

#include "test/cuda/ptx.h"

namespace cuemu {

struct Span {
  u64 begin = 1, end = 0;
  bool host = false;
  bool registered = false; // of host: memory of the program's own
};

class Memory {
public:
  static constexpr u64 BYTES = 256ull << 30; // of addresses

  Memory();

  /// 0 when the limit of the device is reached. Holds 0xee.
  u64 allocate(u64 bytes);
  /// Pinned memory, the same address for host and device.
  void *allocateHost(u64 bytes);
  bool free(u64 address, bool host);
  /// Makes memory of the program visible to kernels, at the same address; or
  /// invisible again. Whole pages, all of them mapped for reading and writing.
  int registerHost(u64 address, u64 bytes); // a CUresult
  int unregisterHost(u64 address);

  /// The span that holds all of [ADDRESS, ADDRESS + BYTES), or null.
  const Span *find(u64 address, u64 bytes) const;
  /// Why there is none, in words.
  std::string explain(u64 address, u64 bytes) const;
  bool isDevice(u64 address) const { return address - base < BYTES; }
  /// Where the emulator reads and writes ADDRESS.
  u8 *view(u64 address) const {
    return reinterpret_cast<u8 *>(isDevice(address) ? address + delta
                                                    : address);
  }
  u64 used() const { return inUse; }
  u64 limit = 0; // bytes of the device

private:
  u64 base = 0, next = 0, delta = 0, inUse = 0;
  int file = -1;
  std::vector<Span> spans; // by address
  void insert(Span span);
};

/// The device's memory, for the whole process.
Memory &memory();

} // namespace cuemu
