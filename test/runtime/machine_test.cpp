// What a machine offers, from /proc and /sys as kernels and containers show
// them: control groups of both versions, nested, in namespaces, with and
// without limits.
#include "runtime/gemma.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sched.h>
#include <string>

using namespace gm;

namespace {

constexpr uint64_t MIB = 1 << 20;

class Machine : public testing::Test {
protected:
  void SetUp() override {
    char name[] = "/tmp/gm_machine_test.XXXXXX";
    root = mkdtemp(name);
    put("/proc/meminfo", "MemTotal: 16384000 kB\nMemFree: 1000 kB\n"
                         "MemAvailable:    8192000 kB\nBuffers: 5 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root); }

  void put(const std::string &path, const std::string &text) {
    std::filesystem::create_directories(
        std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  // A group of version 2.
  void group(const std::string &path, const std::string &most,
             const std::string &now, const std::string &stat = "") {
    std::string folder = "/sys/fs/cgroup" + path + "/";
    put(folder + "memory.max", most + "\n");
    put(folder + "memory.current", now + "\n");
    put(folder + "memory.stat", stat);
  }
  uint64_t memory() { return available_memory(root.c_str()) / MIB; }
  int64_t threads() { return default_threads(root.c_str()); }

  std::string root;
};

std::string mib(uint64_t n) { return std::to_string(n * MIB); }

TEST_F(Machine, WithoutGroups) {
  EXPECT_EQ(memory(), 8000u);
  put("/proc/self/cgroup", "");
  EXPECT_EQ(memory(), 8000u);
}

TEST_F(Machine, Version2) {
  put("/proc/self/cgroup", "0::/user.slice/app.scope\n");
  group("/user.slice/app.scope", "max", mib(50));
  EXPECT_EQ(memory(), 8000u);
  // File pages can be dropped; those of tmpfs are among neither.
  group("/user.slice/app.scope", mib(1000), mib(400),
        "anon 5\nfile " + mib(300) + "\nshmem " + mib(100) +
            "\ninactive_anon 7\nactive_file " + mib(50) + "\ninactive_file " +
            mib(150) + "\n");
  EXPECT_EQ(memory(), 800u);
  // The least of all above counts.
  group("/user.slice", mib(600), mib(100));
  EXPECT_EQ(memory(), 500u);
  put("/sys/fs/cgroup/user.slice/app.scope/memory.high", mib(450) + "\n");
  EXPECT_EQ(memory(), 250u);
  // More used than allowed.
  group("/user.slice", mib(600), mib(700));
  EXPECT_EQ(memory(), 0u);
}

TEST_F(Machine, Version2InANamespace) {
  put("/proc/self/cgroup", "0::/\n");
  group("", mib(512), mib(12));
  EXPECT_EQ(memory(), 500u);
  // The host's path in a container that has its own mount.
  put("/proc/self/cgroup", "0::/docker/0123456789abcdef\n");
  EXPECT_EQ(memory(), 500u);
  put("/proc/self/cgroup", "0::/../../outside\n");
  EXPECT_EQ(memory(), 500u);
}

TEST_F(Machine, Version1) {
  put("/proc/self/cgroup", "12:cpuset:/\n5:memory:/docker/abc\n"
                           "4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n");
  std::string folder = "/sys/fs/cgroup/memory/docker/abc/";
  put(folder + "memory.limit_in_bytes", "9223372036854771712\n");
  put(folder + "memory.usage_in_bytes", mib(100));
  EXPECT_EQ(memory(), 8000u);
  put(folder + "memory.limit_in_bytes", mib(700));
  put(folder + "memory.stat", "active_file 1\ntotal_active_file " + mib(10) +
                                  "\ntotal_inactive_file " + mib(20) + "\n");
  EXPECT_EQ(memory(), 630u);
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", mib(300));
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", mib(100));
  EXPECT_EQ(memory(), 200u);
}

TEST_F(Machine, Hybrid) {
  // Version 2 without controllers beside version 1.
  put("/proc/self/cgroup", "5:memory:/app\n0::/app\n");
  put("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", mib(400));
  put("/sys/fs/cgroup/memory/app/memory.usage_in_bytes", mib(100));
  put("/sys/fs/cgroup/unified/app/cgroup.procs", "1\n");
  EXPECT_EQ(memory(), 300u);
}

TEST_F(Machine, Quota) {
  cpu_set_t mask;
  sched_getaffinity(0, sizeof mask, &mask);
  const int64_t all = CPU_COUNT(&mask); // no topology: each its own core
  EXPECT_EQ(threads(), all);
  put("/proc/self/cgroup", "0::/a/b\n");
  put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(threads(), all);
  put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(threads(), 1);
  put("/sys/fs/cgroup/a/cpu.max", "50000 100000\n"); // at least one
  EXPECT_EQ(threads(), 1);
  put("/proc/self/cgroup", "4:cpu,cpuacct:/a\n");
  EXPECT_EQ(threads(), all);
  put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(threads(), all);
  put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(threads(), 1);
}

TEST_F(Machine, Siblings) {
  cpu_set_t mask;
  sched_getaffinity(0, sizeof mask, &mask);
  std::string list;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mask))
      list += (list.empty() ? "" : ",") + std::to_string(cpu);
  // All threads of one core.
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mask))
      put("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
              "/topology/thread_siblings_list",
          list + "\n");
  EXPECT_EQ(threads(), 1);
}

} // namespace
