// See mapped.h. Reads /proc/self/smaps line by line.
#include "runtime/host/mapped.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gm {

Mapped mapped_at(const void *start) {
  Mapped mapped;
  FILE *f = fopen("/proc/self/smaps", "re");
  if (!f)
    return mapped;
  char line[512];
  bool here = false;
  while (fgets(line, sizeof line, f)) {
    char *end;
    unsigned long long from = strtoull(line, &end, 16);
    if (*end == '-') { // "from-to perms ..." begins a mapping
      if (here)
        break;
      here = from == reinterpret_cast<uintptr_t>(start);
    } else if (here && strncmp(line, "Rss:", 4) == 0) {
      mapped.resident = strtoull(line + 4, nullptr, 10) << 10;
    } else if (here && strncmp(line, "FilePmdMapped:", 14) == 0) {
      mapped.large = strtoull(line + 14, nullptr, 10) << 10;
    }
  }
  fclose(f);
  return mapped;
}

} // namespace gm
