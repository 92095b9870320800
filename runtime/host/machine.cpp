// What this machine offers: cores and memory, within the limits of affinity
// mask, control groups and resource limits. Works without /proc and /sys.
#include "runtime/core/threads.h"
#include "runtime/gemma.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

namespace gm {
namespace {

// Reads at most `size` - 1 bytes of a small file of /proc or /sys below `root`.
bool read_text(const char *root, const char *path, char *text, size_t size) {
  char full[4800];
  if (snprintf(full, sizeof full, "%s%s", root, path) >= int(sizeof full))
    return false;
  int fd = open(full, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  size_t n = 0;
  while (n < size - 1) {
    ssize_t got = read(fd, text + n, size - 1 - n);
    if (got <= 0)
      break;
    n += size_t(got);
  }
  close(fd);
  text[n] = 0;
  return n > 0;
}

// The number after the line start `key`, or `otherwise`.
uint64_t field(const char *text, const char *key, uint64_t otherwise) {
  size_t n = strlen(key);
  for (const char *line = text; line; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, key, n) == 0 && (line[n] == ' ' || line[n] == ':'))
      return strtoull(line + n + 1, nullptr, 10);
    if (!*line)
      break;
  }
  return otherwise;
}

// A control group: its folder below the root of the machine.
struct ControlGroup {
  const char *machine, *folder;
  bool v2;

  bool read(const char *name, char *text, size_t size) const {
    char path[4600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return read_text(machine, path, text, size);
  }
};

// Calls visit(group) for this process's group of `controller` and each
// group above it, in the second (v2) and first (v1) hierarchy.
template <typename Visit>
void each_group(const char *machine, const char *controller, Visit visit) {
  char text[4096];
  if (!read_text(machine, "/proc/self/cgroup", text, sizeof text))
    return;
  char *rest = text;
  while (char *line = strsep(&rest, "\n")) {
    char *first = strchr(line, ':');
    char *second = first ? strchr(first + 1, ':') : nullptr;
    if (!second)
      continue;
    *second = 0;
    bool v2 = first[1] == 0;
    bool named = false;
    for (char *list = first + 1; char *name = strsep(&list, ",");)
      named |= strcmp(name, controller) == 0;
    if (!v2 && !named)
      continue;
    char path[4400];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s%s%s", v2 ? "" : "/",
             v2 ? "" : controller, second + 1);
    size_t root = strlen("/sys/fs/cgroup") + (v2 ? 0 : 1 + strlen(controller));
    for (;;) {
      size_t n = strlen(path);
      if (n > root && path[n - 1] == '/')
        path[n - 1] = 0;
      visit(ControlGroup{machine, path, v2});
      char *slash = strrchr(path + root, '/');
      if (!slash)
        break;
      *slash = 0;
    }
  }
}

// The number in a file of a group; UINT64_MAX for "max" and for none.
uint64_t number_in(const ControlGroup &group, const char *name) {
  char text[64];
  return group.read(name, text, sizeof text) && strncmp(text, "max", 3) != 0
             ? strtoull(text, nullptr, 10)
             : UINT64_MAX;
}

// Bytes that a group may still take; its file pages can be dropped. Above
// memory.high it would be slowed down instead of stopped.
uint64_t left_in_group(const ControlGroup &group) {
  uint64_t most = group.v2 ? std::min(number_in(group, "memory.max"),
                                      number_in(group, "memory.high"))
                           : number_in(group, "memory.limit_in_bytes");
  uint64_t now =
      number_in(group, group.v2 ? "memory.current" : "memory.usage_in_bytes");
  if (most == UINT64_MAX || now == UINT64_MAX)
    return UINT64_MAX;
  char stat[8192];
  uint64_t file = 0;
  if (group.read("memory.stat", stat, sizeof stat))
    file = group.v2
               ? field(stat, "active_file", 0) + field(stat, "inactive_file", 0)
               : field(stat, "total_active_file", 0) +
                     field(stat, "total_inactive_file", 0);
  now -= std::min(now, file);
  return most - std::min(most, now);
}

// Whole CPUs of the quota of a group, at least 1.
int64_t quota_of_group(const ControlGroup &group) {
  char text[64], period[64];
  double quota = 0, per = 0;
  if (group.v2) {
    if (!group.read("cpu.max", text, sizeof text) ||
        sscanf(text, "%lf %lf", &quota, &per) != 2)
      return INT64_MAX;
  } else {
    if (!group.read("cpu.cfs_quota_us", text, sizeof text) ||
        !group.read("cpu.cfs_period_us", period, sizeof period))
      return INT64_MAX;
    quota = strtod(text, nullptr);
    per = strtod(period, nullptr);
  }
  if (quota <= 0 || per <= 0)
    return INT64_MAX;
  return std::max<int64_t>(1, int64_t(quota / per));
}

// A CPU counts if none of its siblings with a lower number is in the mask.
int64_t physical_cores(const char *machine, const cpu_set_t &mask) {
  int64_t cores = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask))
      continue;
    char path[128], list[1024];
    snprintf(path, sizeof path,
             "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             cpu);
    bool first = true;
    if (read_text(machine, path, list, sizeof list))
      for (char *rest = list; char *range = strsep(&rest, ",");) {
        int low = atoi(range);
        const char *dash = strchr(range, '-');
        int high = dash ? atoi(dash + 1) : low;
        for (int other = low; other <= high && other < cpu; ++other)
          first &= !CPU_ISSET(other, &mask);
      }
    cores += first;
  }
  return cores;
}

} // namespace

bool program_path(char *path, size_t size) {
  // /proc may be absent (chroot); the kernel also passes the path it executed.
  ssize_t n = readlink("/proc/self/exe", path, size - 1);
  if (n > 0) {
    path[n] = 0;
    return true;
  }
  const char *name = reinterpret_cast<const char *>(getauxval(AT_EXECFN));
  return name && snprintf(path, size, "%s", name) < int(size);
}

uint64_t available_memory(const char *root) {
  uint64_t left = 0;
  char text[4096];
  if (read_text(root, "/proc/meminfo", text, sizeof text))
    left = field(text, "MemAvailable", 0) * 1024;
  struct sysinfo info;
  if (left == 0 && sysinfo(&info) == 0)
    left = uint64_t(info.freeram + info.bufferram) * info.mem_unit;
  each_group(root, "memory", [&](const ControlGroup &group) {
    left = std::min(left, left_in_group(group));
  });
  return left;
}

uint64_t available_addresses() {
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return UINT64_MAX;
  char text[256];
  uint64_t pages = read_text("", "/proc/self/statm", text, sizeof text)
                       ? strtoull(text, nullptr, 10)
                       : 0;
  uint64_t used = pages * uint64_t(sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<uint64_t>(limit.rlim_cur, used);
}

int64_t usable_cpus() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  return sched_getaffinity(0, sizeof mask, &mask) == 0
             ? CPU_COUNT(&mask)
             : sysconf(_SC_NPROCESSORS_ONLN);
}

int64_t default_threads(const char *root) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  int64_t n = sched_getaffinity(0, sizeof mask, &mask) == 0
                  ? physical_cores(root, mask)
                  : sysconf(_SC_NPROCESSORS_ONLN);
  each_group(root, "cpu", [&](const ControlGroup &group) {
    n = std::min(n, quota_of_group(group));
  });
  return std::clamp<int64_t>(n, 1, MAX_THREADS);
}

} // namespace gm
