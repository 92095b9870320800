// What a process that shut itself in can still do: each case is a child that
// enters the sandbox and then tries.
#include "runtime/serve/sandbox.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace gm {
namespace {

struct Folder {
  std::string path =
      std::filesystem::temp_directory_path() / "gm_sandbox.XXXXXX";
  Folder() { EXPECT_TRUE(mkdtemp(path.data())); }
  ~Folder() { std::filesystem::remove_all(path); }
};

// Makes of this process's kernel one that has no Landlock.
void forget_landlock() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
                   seccomp_syscall_resolve_name("landlock_create_ruleset"), 0);
  if (seccomp_load(filter))
    _exit(101);
  seccomp_release(filter);
}

// The exit code of a child that enters and then does `what`: its result; 100 if
// it cannot enter.
int inside(const SandboxRules &rules, const std::function<int()> &what,
           bool landlock = true) {
  const pid_t child = fork();
  if (!child) {
    if (!landlock)
      forget_landlock();
    std::string said;
    const Status entered = enter_sandbox(rules, said);
    _exit(entered.ok() ? what() : 100);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

// 1 if it was made, 0 if it was refused for want of rights, 2 otherwise.
int outcome(long result) {
  return result >= 0 ? 1 : errno == EPERM || errno == EACCES ? 0 : 2;
}
int write_file(const std::string &path) {
  return outcome(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
}

TEST(Sandbox, Programs) {
  EXPECT_EQ(inside({},
                   [] {
                     execl("/bin/true", "true", nullptr);
                     return outcome(-1);
                   }),
            0);
}

TEST(Sandbox, Files) {
  Folder folder;
  const std::string old = folder.path + "/old", fresh = folder.path + "/new";
  ASSERT_EQ(write_file(old), 1);
  for (bool landlock : {true, false}) {
    auto after = [&](const std::function<int()> &what) {
      return inside({}, what, landlock);
    };
    EXPECT_EQ(after([&] { return write_file(fresh); }), 0);
    EXPECT_EQ(after([&] { return write_file(old); }), 0);
    EXPECT_EQ(after([&] { return outcome(unlink(old.c_str())); }), 0);
    EXPECT_EQ(after([&] { return outcome(mkdir(fresh.c_str(), 0700)); }), 0);
    EXPECT_EQ(
        after([&] { return outcome(rename(old.c_str(), fresh.c_str())); }), 0);
    EXPECT_EQ(after([&] { return outcome(open(old.c_str(), O_RDONLY)); }), 1);
  }
  EXPECT_TRUE(std::filesystem::exists(old));
}

TEST(Sandbox, Writable) {
  Folder folder, other;
  std::string said;
  const SandboxRules rules = {folder.path};
  EXPECT_EQ(inside(rules, [&] { return write_file(folder.path + "/new"); }), 1);
  EXPECT_EQ(inside(rules,
                   [&] {
                     return outcome(rename((folder.path + "/new").c_str(),
                                           (folder.path + "/b").c_str()));
                   }),
            1);
  // A kernel without Landlock cannot tell folders apart, and says so.
  const int elsewhere =
      inside(rules, [&] { return write_file(other.path + "/new"); });
  EXPECT_EQ(inside(rules,
                   [&] {
                     std::string text;
                     (void)enter_sandbox(rules, text);
                     return int(text.find("but below") == text.npos);
                   }),
            elsewhere);
  const Status status = enter_sandbox({folder.path + "/none"}, said);
  EXPECT_EQ(status.code, USAGE);
  EXPECT_STREQ(status.text, ("'" + folder.path +
                             "/none' is no folder that files can be "
                             "saved in: No such file or directory")
                                .c_str());
}

// A listening socket accepts, and its connections work; nothing else begins.
TEST(Sandbox, Connections) {
  const int listening = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_FALSE(
      bind(listening, reinterpret_cast<sockaddr *>(&address), sizeof address));
  ASSERT_FALSE(listen(listening, 4));
  socklen_t size = sizeof address;
  ASSERT_FALSE(
      getsockname(listening, reinterpret_cast<sockaddr *>(&address), &size));
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_FALSE(
      connect(client, reinterpret_cast<sockaddr *>(&address), sizeof address));
  ASSERT_EQ(write(client, "a", 1), 1);
  EXPECT_EQ(inside({},
                   [&] {
                     const int one = accept(listening, nullptr, nullptr);
                     char byte = 0;
                     return int(read(one, &byte, 1) == 1 &&
                                write(one, "b", 1) == 1 && byte == 'a');
                   }),
            1);
  char byte = 0;
  EXPECT_EQ(read(client, &byte, 1), 1);
  EXPECT_EQ(byte, 'b');
  EXPECT_EQ(inside({}, [] { return outcome(socket(AF_INET, SOCK_STREAM, 0)); }),
            0);
  EXPECT_EQ(inside({}, [] { return outcome(socket(AF_INET6, SOCK_DGRAM, 0)); }),
            0);
  EXPECT_EQ(inside({}, [] { return outcome(socket(AF_UNIX, SOCK_STREAM, 0)); }),
            0);
  const SandboxRules device = {"", true};
  EXPECT_EQ(
      inside(device, [] { return outcome(socket(AF_UNIX, SOCK_STREAM, 0)); }),
      1);
  EXPECT_EQ(
      inside(device, [] { return outcome(socket(AF_INET, SOCK_STREAM, 0)); }),
      0);
  EXPECT_EQ(inside(device, [] { return outcome(open("/dev/null", O_RDWR)); }),
            1);
  close(client), close(listening);
}

TEST(Sandbox, SaysWhatIsShut) {
  auto says = [](const SandboxRules &rules, const char *expected,
                 bool landlock) {
    return inside(
        rules,
        [&] {
          std::string said; // a second sandbox inside the first
          (void)enter_sandbox(rules, said);
          return int(said == expected);
        },
        landlock);
  };
  Folder folder;
  EXPECT_EQ(says({},
                 "no program can be started, no connection opened, no file "
                 "written (seccomp; this kernel has no Landlock)",
                 false),
            1);
  EXPECT_EQ(says({folder.path},
                 "no program can be started, no connection opened "
                 "(seccomp; this kernel has no Landlock)",
                 false),
            1);
}

TEST(Sandbox, ThreadsThatStartLater) {
  Folder folder;
  EXPECT_EQ(inside({},
                   [&] {
                     int made = 2;
                     std::thread([&] {
                       made = write_file(folder.path + "/new");
                     }).join();
                     return made;
                   }),
            0);
}

} // namespace
} // namespace gm
