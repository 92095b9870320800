// What the libraries that a dynamic program takes along (Prelink.cmake) would
// ask of a libc newer than 2.34, the oldest that such programs run with.
// Hidden, so that libraries which the process loads later keep their own.
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <dlfcn.h>
#include <link.h>
#include <sys/random.h>

namespace {

struct Search {
  uintptr_t address;
  dl_find_object &found;
};

// Whether the object holds the address, and where its exceptions are listed.
int look(dl_phdr_info *object, size_t, void *data) {
  Search &search = *static_cast<Search *>(data);
  bool inside = false;
  void *table = nullptr;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr) &segment = object->dlpi_phdr[i];
    const uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD)
      inside |= search.address - begin < segment.p_memsz;
    else if (segment.p_type == PT_GNU_EH_FRAME)
      table = reinterpret_cast<void *>(begin);
  }
  if (!inside)
    return 0;
  search.found = {};
  search.found.dlfo_eh_frame = table;
  return table ? 1 : -1;
}

} // namespace

extern "C" {

// 2.35, asked by the unwinder, which takes -1 as the end of all frames. It
// reads no more than dlfo_eh_frame.
[[gnu::visibility("hidden")]] int
_dl_find_object(void *address, dl_find_object *found) noexcept {
  Search search{reinterpret_cast<uintptr_t>(address), *found};
  return dl_iterate_phdr(look, &search) == 1 ? 0 : -1;
}

// 2.36, asked by std::random_device.
[[gnu::visibility("hidden")]] uint32_t arc4random() noexcept {
  uint32_t value = 0;
  ssize_t got;
  do
    got = getrandom(&value, sizeof value, 0);
  while (got < 0 && errno == EINTR);
  if (got != sizeof value) // no kernel that libc runs on refuses
    abort();
  return value;
}
}
