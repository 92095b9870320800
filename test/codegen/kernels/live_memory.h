// Which memory lies behind a pointer that a case of the bodies gives to a
// kernel: whoever runs kernels elsewhere (device_body.h) carries it there and
// back. Knows neither cases nor kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <new>
#include <optional>
#include <vector>

namespace gemmac::test {

class LiveMemory {
public:
  struct Place {
    uint8_t *begin;
    size_t bytes;
    size_t offset; // of the pointer; of an alias modulo 2^64
  };

  static LiveMemory &instance() {
    static LiveMemory memory;
    return memory;
  }
  void add(void *begin, size_t bytes) {
    memories[static_cast<uint8_t *>(begin)] = bytes;
  }
  void remove(void *begin) {
    memories.erase(static_cast<uint8_t *>(begin));
    std::erase_if(aliases, [&](const auto &a) { return a.second == begin; });
  }
  // From now on `pointer`, which lies outside, stands for memory from `begin`
  // on.
  void alias(const uint8_t *pointer, uint8_t *begin) {
    aliases[pointer] = begin;
  }
  std::optional<Place> find(const void *pointer) const {
    auto *at = static_cast<const uint8_t *>(pointer);
    if (auto alias = aliases.find(at); alias != aliases.end())
      return placeOf(at, alias->second);
    auto after = memories.upper_bound(const_cast<uint8_t *>(at));
    if (after == memories.begin())
      return std::nullopt;
    auto [begin, bytes] = *std::prev(after);
    if (size_t(at - begin) >= bytes)
      return std::nullopt;
    return placeOf(at, begin);
  }

private:
  Place placeOf(const uint8_t *pointer, uint8_t *begin) const {
    return {begin, memories.at(begin),
            reinterpret_cast<uintptr_t>(pointer) -
                reinterpret_cast<uintptr_t>(begin)};
  }
  std::map<uint8_t *, size_t> memories;
  std::map<const uint8_t *, uint8_t *> aliases;
};

template <class T>
struct LiveAllocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};
  LiveAllocator() = default;
  template <class U>
  LiveAllocator(const LiveAllocator<U> &) {}
  T *allocate(size_t n) {
    void *memory = ::operator new(n * sizeof(T), alignment);
    LiveMemory::instance().add(memory, n * sizeof(T));
    return static_cast<T *>(memory);
  }
  void deallocate(T *memory, size_t) {
    LiveMemory::instance().remove(memory);
    ::operator delete(memory, alignment);
  }
  friend bool operator==(LiveAllocator, LiveAllocator) { return true; }
};

// What cases give to kernels, aligned to 64 bytes.
template <class T>
using Array = std::vector<T, LiveAllocator<T>>;

} // namespace gemmac::test
