// Host addresses as names of device memory: generated code and the core compute
// with those of the plan, whatever a card calls them. Must not know what lies
// there.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gm {

class Addresses {
public:
  // [first, first + bytes) is device memory from `device` on.
  void add(const void *first, uint64_t bytes, uint64_t device) {
    ranges[count++] = {uint64_t(first), bytes, device};
  }
  // 0: `address` names none.
  uint64_t find(uint64_t address) const {
    for (size_t i = 0; i < count; ++i)
      if (address - ranges[i].first < ranges[i].bytes)
        return address - ranges[i].first + ranges[i].device;
    return 0;
  }
  uint64_t find(const void *address) const { return find(uint64_t(address)); }

private:
  struct Range {
    uint64_t first, bytes, device;
  };
  Range ranges[3]; // the allocation, the weights around the PLE table
  size_t count = 0;
};

} // namespace gm
