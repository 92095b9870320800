// See sandbox.h. Landlock says which files and ports may be touched, seccomp
// which system calls made; a kernel may have one, both or none.
#include "runtime/serve/sandbox.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gm {
namespace {

//===- Landlock -----------------------------------------------------------===//

// The header of Debian 12 knows Landlock's second version; later kernels shut
// more. Numbers of linux/landlock.h.
enum : uint64_t {
  FS_WRITE = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
             LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
             LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
             LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
  FS_REFER = 1ull << 13,    // version 2
  FS_TRUNCATE = 1ull << 14, // version 3
  NET_BIND_TCP = 1ull << 0, // version 4
  NET_CONNECT_TCP = 1ull << 1,
};
struct Ruleset {
  uint64_t handled_fs, handled_net;
};

// Access below `folder`. A folder that is not there needs no rule.
bool allow_below(int ruleset, const std::string &folder, uint64_t access) {
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (rule.parent_fd < 0)
    return false;
  const long failed = syscall(SYS_landlock_add_rule, ruleset,
                              LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  close(rule.parent_fd);
  return !failed;
}

// Where NVIDIA's driver keeps kernels that it compiled.
std::string kernel_cache() {
  if (const char *path = getenv("CUDA_CACHE_PATH"))
    return path;
  const char *home = getenv("HOME");
  return home && *home ? std::string(home) + "/.nv" : "";
}

// The version of Landlock that is in force now; 0: none is.
int enter_landlock(const SandboxRules &rules) {
  const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0,
                               LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1)
    return 0;
  const uint64_t write = FS_WRITE | (version >= 2 ? uint64_t(FS_REFER) : 0) |
                         (version >= 3 ? uint64_t(FS_TRUNCATE) : 0);
  const Ruleset wanted = {write | LANDLOCK_ACCESS_FS_EXECUTE,
                          NET_BIND_TCP | NET_CONNECT_TCP};
  const int ruleset =
      int(syscall(SYS_landlock_create_ruleset, &wanted,
                  version >= 4 ? sizeof wanted : sizeof wanted.handled_fs, 0));
  if (ruleset < 0)
    return 0;
  if (!rules.writable.empty())
    allow_below(ruleset, rules.writable, write);
  // What /dev has may be written, not be made. Terminals and pipes are open
  // already.
  if (rules.device) {
    allow_below(ruleset, "/dev",
                LANDLOCK_ACCESS_FS_WRITE_FILE |
                    (version >= 3 ? uint64_t(FS_TRUNCATE) : 0));
    allow_below(ruleset, kernel_cache(), write);
  }
  const bool entered = !syscall(SYS_landlock_restrict_self, ruleset, 0);
  close(ruleset);
  return entered ? int(version) : 0;
}

//===- seccomp ------------------------------------------------------------===//

// Calls that answer EPERM: programs, other processes, the system, and what
// other calls can be made through. By name: not every architecture has all.
const char *const REFUSED[] = {
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "kcmp",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "mount_setattr",
    "pivot_root",
    "chroot",
    "setns",
    "unshare",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "keyctl",
    "add_key",
    "request_key",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "settimeofday",
    "clock_settime",
    "sethostname",
    "setdomainname",
    "open_by_handle_at",
};
// And those that touch files, where Landlock cannot shut folders.
const char *const CHANGES[] = {
    "unlink", "unlinkat", "rename",    "renameat", "renameat2", "link",
    "linkat", "symlink",  "symlinkat", "mkdir",    "mkdirat",   "rmdir",
    "mknod",  "mknodat",  "truncate",  "creat",    "chmod",     "fchmodat",
    "chown",  "fchownat", "lchown",
};

bool refuse(scmp_filter_ctx filter, const char *name) {
  const int call = seccomp_syscall_resolve_name(name);
  return call == __NR_SCMP_ERROR ||
         !seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
}

bool refuse_sockets(scmp_filter_ctx filter, bool device) {
  // connect and sendto need a socket of their own: those that are accepted
  // have somebody at the other end.
  if (!device)
    return refuse(filter, "socket");
  return !seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                           SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
}

// Opening a file in order to write it: a rule for each bit that says so.
bool refuse_writing(scmp_filter_ctx filter) {
  for (unsigned bit : {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC}) {
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
                         SCMP_A2(SCMP_CMP_MASKED_EQ, bit, bit)) ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 1,
                         SCMP_A1(SCMP_CMP_MASKED_EQ, bit, bit)))
      return false;
  }
  return refuse(filter, "openat2"); // its flags lie in memory
}

bool enter_seccomp(const SandboxRules &rules, bool files_are_shut) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (!filter)
    return false;
  auto refuse_one = [&](const char *name) { return refuse(filter, name); };
  bool made = std::all_of(std::begin(REFUSED), std::end(REFUSED), refuse_one) &&
              refuse_sockets(filter, rules.device);
  if (made && !files_are_shut && rules.writable.empty() && !rules.device)
    made = std::all_of(std::begin(CHANGES), std::end(CHANGES), refuse_one) &&
           refuse_writing(filter);
  made = made && !seccomp_load(filter);
  seccomp_release(filter);
  return made;
}

} // namespace

Status enter_sandbox(const SandboxRules &rules, std::string &said) {
  if (!rules.writable.empty()) {
    const int folder = open(rules.writable.c_str(), O_PATH | O_DIRECTORY);
    if (folder < 0)
      return failure(USAGE, "'%s' is no folder that files can be saved in: %s",
                     rules.writable.c_str(), strerror(errno));
    close(folder);
  }
  // Both ask that no program gains rights by being started.
  const bool asked = !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const int landlock = asked ? enter_landlock(rules) : 0;
  const bool seccomp = asked && enter_seccomp(rules, landlock > 0);
  if (!landlock && !seccomp) {
    said = "none: this kernel has neither Landlock nor seccomp";
    return {};
  }
  said = "no program can be started";
  if (seccomp)
    said += ", no connection opened";
  else if (landlock >= 4)
    said += ", no TCP connection opened";
  if (landlock || (rules.writable.empty() && !rules.device))
    said += ", no file written";
  if (landlock && !rules.writable.empty())
    said += " but below " + rules.writable;
  said += landlock && seccomp ? " (Landlock, seccomp)"
          : landlock          ? " (Landlock; this kernel has no seccomp)"
                              : " (seccomp; this kernel has no Landlock)";
  return {};
}

} // namespace gm
