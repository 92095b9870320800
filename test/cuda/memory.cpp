// What kernels may touch outside their CTA.
#include "test/cuda/memory.h"

#include "runtime/cuda/driver_api.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <unistd.h>

namespace cuemu {

namespace {

/// Says what a host access to device memory is before it ends the process as
/// it would without us.
void onSegv(int signal, siginfo_t *info, void *) {
  if (memory().isDevice(u64(info->si_addr))) {
    char text[120];
    int n = snprintf(text, sizeof text,
                     "cuda emulator: the host reads or writes device memory "
                     "at %#llx\n",
                     static_cast<unsigned long long>(u64(info->si_addr)));
    (void)!write(2, text, size_t(n));
  }
  ::signal(signal, SIG_DFL); // the access is repeated
}

} // namespace

Memory::Memory() {
  file = memfd_create("device memory", MFD_CLOEXEC);
  void *seen = MAP_FAILED, *own = MAP_FAILED;
  if (file >= 0 && ftruncate(file, off_t(BYTES)) == 0) {
    seen = mmap(nullptr, BYTES, PROT_NONE, MAP_SHARED | MAP_NORESERVE, file, 0);
    own = mmap(nullptr, BYTES, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_NORESERVE, file, 0);
  }
  if (seen == MAP_FAILED || own == MAP_FAILED)
    throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "no addresses for device memory");
  base = next = u64(seen);
  delta = u64(own) - base;
  struct sigaction before;
  if (sigaction(SIGSEGV, nullptr, &before) == 0 &&
      !(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_DFL) {
    struct sigaction action = {};
    action.sa_sigaction = onSegv;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
  }
}

void Memory::insert(Span span) {
  auto at = std::upper_bound(
      spans.begin(), spans.end(), span.begin,
      [](u64 begin, const Span &s) { return begin < s.begin; });
  spans.insert(at, span);
}

u64 Memory::allocate(u64 bytes) {
  u64 whole = (bytes + 255) / 256 * 256;
  if (inUse + whole > limit || next - base + whole + 256 > BYTES)
    return 0;
  u64 address = next;
  next += whole + 256; // nothing lies right behind an allocation
  inUse += whole;
  insert({address, address + bytes, false, false});
  memset(view(address), 0xee, std::min<u64>(bytes, 256 << 20));
  return address;
}

void *Memory::allocateHost(u64 bytes) {
  void *made = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED)
    return nullptr;
  memset(made, 0xee, bytes);
  insert({u64(made), u64(made) + bytes, true, false});
  return made;
}

bool Memory::free(u64 address, bool host) {
  for (auto it = spans.begin(); it != spans.end(); ++it) {
    if (it->begin != address || it->host != host || it->registered)
      continue;
    u64 bytes = it->end - it->begin;
    spans.erase(it);
    if (host)
      return munmap(reinterpret_cast<void *>(address), bytes) == 0;
    inUse -= (bytes + 255) / 256 * 256;
    u64 from = (address - base + 4095) / 4096 * 4096,
        to = (address - base + bytes) / 4096 * 4096;
    if (to > from)
      fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(from),
                off_t(to - from));
    return true;
  }
  return false;
}

namespace {

/// Whether the process may read and write all of [ADDRESS, END).
bool mapped(u64 address, u64 end) {
  std::ifstream maps("/proc/self/maps"); // ascending
  for (std::string line; address < end && std::getline(maps, line);) {
    unsigned long long from, to;
    char rights[3];
    if (sscanf(line.c_str(), "%llx-%llx %2[rw-]", &from, &to, rights) == 3 &&
        from <= address && address < to) {
      if (strcmp(rights, "rw") != 0)
        return false;
      address = to;
    }
  }
  return address >= end;
}

} // namespace

int Memory::registerHost(u64 address, u64 bytes) {
  const u64 end = address + bytes;
  if (!bytes || end < address || (address | bytes) % u64(getpagesize()) ||
      isDevice(address))
    return CUDA_ERROR_INVALID_VALUE;
  for (const Span &span : spans)
    if (span.begin < end && address < span.end)
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  if (!mapped(address, end))
    return CUDA_ERROR_INVALID_VALUE;
  insert({address, end, true, true});
  return CUDA_SUCCESS;
}

int Memory::unregisterHost(u64 address) {
  auto it = std::find_if(spans.begin(), spans.end(), [&](const Span &span) {
    return span.begin == address && span.registered;
  });
  if (it == spans.end())
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  spans.erase(it);
  return CUDA_SUCCESS;
}

const Span *Memory::find(u64 address, u64 bytes) const {
  auto it = std::upper_bound(spans.begin(), spans.end(), address,
                             [](u64 a, const Span &s) { return a < s.begin; });
  if (it == spans.begin())
    return nullptr;
  --it;
  return address + bytes <= it->end && address + bytes >= address ? &*it
                                                                  : nullptr;
}

std::string Memory::explain(u64 address, u64 bytes) const {
  char text[160];
  auto number = [](u64 x) { return static_cast<unsigned long long>(x); };
  auto it = std::upper_bound(spans.begin(), spans.end(), address,
                             [](u64 a, const Span &s) { return a < s.begin; });
  const Span *before = it == spans.begin() ? nullptr : &*--it;
  bool near = before && isDevice(address) == !before->host &&
              address - before->begin < (1ull << 40);
  if (near && (isDevice(address) || address < before->end + 4096))
    snprintf(text, sizeof text,
             "%llu bytes at offset %llu of an allocation of %llu",
             number(bytes), number(address - before->begin),
             number(before->end - before->begin));
  else if (isDevice(address))
    snprintf(text, sizeof text, "%#llx is device memory that nobody allocated",
             number(address));
  else
    snprintf(text, sizeof text,
             "%#llx is no device address (a host pointer or garbage)",
             number(address));
  return text;
}

Memory &memory() {
  static Memory *made = new Memory; // outlives the program's own destructors
  return *made;
}

} // namespace cuemu
