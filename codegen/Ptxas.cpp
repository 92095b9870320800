// See Ptxas.h. The text, and the code that comes back, are files in memory that
// the program opens as /dev/fd/N: no name that others could take, and nothing
// to remove.
#include "codegen/Ptxas.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using llvm::StringRef;

namespace gemmac {

//===-- running it --------------------------------------------------------===//

namespace {

using Clock = std::chrono::steady_clock;

// Far more than it takes: the kernels of a model are assembled in 1 to 20 s.
constexpr std::chrono::seconds mostTime(600);
// Of what it says; the rest is read and dropped.
constexpr size_t mostText = 1 << 20;
// Where the program finds its input and output.
constexpr int inputFd = 3, outputFd = 4;

// Closed at the end; never inherited by a program.
struct Descriptor {
  int fd = -1;
  ~Descriptor() { reset(); }
  explicit Descriptor(int fd = -1) : fd(fd) {}
  Descriptor(const Descriptor &) = delete;
  void reset() {
    if (fd >= 0)
      close(fd);
    fd = -1;
  }
};

struct Ended {
  int code = 127;    // 128 + the number of a signal
  bool late = false; // killed after `mostTime`
  std::string said;  // on both standard streams
};

// After fork: only what may be called then. Never returns.
[[noreturn]] void become(char *const *arguments, pid_t parent, int said,
                         int input, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int ends[] = {open("/dev/null", O_RDWR | O_CLOEXEC), said, said, input,
                output};
  // dup2 clears close-on-exec; descriptors >= 10 cannot be overwritten by it.
  for (int &end : ends)
    if (end >= 0 && (end = fcntl(end, F_DUPFD_CLOEXEC, 10)) < 0)
      _exit(127);
  for (int i = 0; i < int(std::size(ends)); ++i)
    if (ends[i] >= 0 && dup2(ends[i], i) < 0)
      _exit(127);
  if (getppid() == parent)
    execv(arguments[0], arguments);
  _exit(127);
}

int millisecondsTo(Clock::time_point end) {
  auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
  return int(std::max<int64_t>(left.count(), 0));
}

// Reads to the end of a pipe; false if that does not come in time.
bool readUntil(Clock::time_point end, int from, std::string &text) {
  for (;;) {
    pollfd ready = {from, POLLIN, 0};
    const int n = poll(&ready, 1, millisecondsTo(end));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    char buffer[4096];
    const ssize_t got = read(from, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return true;
    text.append(buffer, std::min(size_t(got), mostText - text.size()));
  }
}

// The status of a process that should end now; false if it does not in time.
bool waitUntil(Clock::time_point end, pid_t id, int &status) {
  for (;;) {
    const pid_t ended = waitpid(id, &status, WNOHANG);
    if (ended == id)
      return true;
    if (ended < 0 && errno != EINTR)
      return false;
    if (millisecondsTo(end) == 0)
      return false;
    usleep(500);
  }
}

// Runs `arguments[0]` with `input` and `output` (-1: none) as its descriptors 3
// and 4. The program does not outlive this process.
Ended run(std::vector<std::string> arguments, int input, int output) {
  std::vector<char *> argv;
  for (std::string &argument : arguments)
    argv.push_back(argument.data());
  argv.push_back(nullptr);
  Ended result;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    result.said = strerror(errno);
    return result;
  }
  Descriptor from(ends[0]), to(ends[1]);
  const pid_t parent = getpid(), id = fork();
  if (id == 0)
    become(argv.data(), parent, to.fd, input, output);
  if (id < 0) {
    result.said = strerror(errno);
    return result;
  }
  to.reset();
  const Clock::time_point end = Clock::now() + mostTime;
  int status = 0;
  if (!readUntil(end, from.fd, result.said) || !waitUntil(end, id, status)) {
    result.late = true;
    kill(id, SIGKILL);
    while (waitpid(id, &status, 0) < 0 && errno == EINTR)
      continue;
  }
  result.code =
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

// Its first complaint, in one line of bounded length.
std::string complaint(const Ended &ended) {
  if (ended.late)
    return "it took more than 10 minutes";
  llvm::SmallVector<StringRef> lines;
  StringRef(ended.said).split(lines, '\n', -1, /*KeepEmpty=*/false);
  auto *line = llvm::find_if(lines, [](StringRef line) {
    return line.contains("fatal") || line.contains("error");
  });
  if (line == lines.end())
    line = lines.begin();
  std::string text;
  if (line != lines.end())
    for (char c : line->take_front(200))
      text += llvm::isPrint(c) ? c : ' ';
  StringRef trimmed = StringRef(text).trim();
  return trimmed.empty() ? fmt::format("exit code {}", ended.code)
                         : trimmed.str();
}

} // namespace

//===-- finding it --------------------------------------------------------===//

static std::string search() {
  std::vector<std::string> folders;
  if (const char *home = getenv("CUDA_HOME"); home && *home)
    folders.push_back(std::string(home) + "/bin");
  auto in = [](llvm::ArrayRef<StringRef> paths) {
    auto found = llvm::sys::findProgramByName("ptxas", paths);
    return found ? *found : std::string();
  };
  if (!folders.empty())
    if (std::string path = in({folders[0]}); !path.empty())
      return path;
  if (std::string path = in({}); !path.empty())
    return path;
  return in({"/usr/local/cuda/bin"});
}

// "release 13.0, V13.0.88": what is behind the V.
static std::string readVersion(StringRef said) {
  StringRef version = said.split(", V").second.take_while(
      [](char c) { return llvm::isDigit(c) || c == '.'; });
  return said.contains("Ptx") ? version.str() : std::string();
}

Result<std::optional<Ptxas>> findPtxas(const std::string &wanted) {
  if (wanted == "none")
    return std::optional<Ptxas>();
  const std::string path = wanted.empty() ? search() : wanted;
  if (path.empty())
    return std::optional<Ptxas>();
  // Other programs are not run to see what they do.
  if (!llvm::sys::fs::is_regular_file(path) ||
      !llvm::sys::fs::can_execute(path))
    return makeError(ExitCode::Usage,
                     "--ptxas expects a program (NVIDIA's ptxas) or 'none', "
                     "got '{}', which {}",
                     path,
                     !llvm::sys::fs::exists(path) ? "does not exist"
                                                  : "cannot be run");
  const Ended ended = run({path, "--version"}, -1, -1);
  const std::string version = readVersion(ended.said);
  if (ended.code != 0 || version.empty())
    return makeError(ExitCode::Usage,
                     "--ptxas expects NVIDIA's ptxas or 'none', but '{}' does "
                     "not say that it is one ({})",
                     path, complaint(ended));
  return std::optional<Ptxas>({path, version});
}

//===-- what it makes -----------------------------------------------------===//

// "    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads": whether
// all such lines of -v say 0.
static bool needsLocalMemory(StringRef said) {
  llvm::SmallVector<StringRef> lines;
  said.split(lines, '\n');
  return llvm::any_of(lines, [](StringRef line) {
    return line.contains(" bytes stack frame") &&
           !line.ltrim().starts_with("0 bytes stack frame");
  });
}

static std::string readAll(int fd) {
  struct stat info = {};
  if (fstat(fd, &info) != 0)
    return {};
  std::string bytes(size_t(info.st_size), '\0');
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t got = pread(fd, &bytes[at], bytes.size() - at, off_t(at));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return {};
    at += size_t(got);
  }
  return bytes;
}

static bool writeAll(int fd, StringRef bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    bytes = bytes.drop_front(size_t(n));
  }
  return true;
}

Result<std::string> assemble(const Ptxas &ptxas, const std::string &ptx,
                             int32_t sm) {
  Descriptor input(memfd_create("gemmac.ptx", MFD_CLOEXEC)),
      output(memfd_create("gemmac.cubin", MFD_CLOEXEC));
  if (input.fd < 0 || output.fd < 0 || !writeAll(input.fd, ptx))
    return makeError(ExitCode::Resources, "cannot keep the text in memory: {}",
                     strerror(errno));
  const Ended ended = run({ptxas.path, fmt::format("-arch=sm_{}", sm), "-v",
                           "-o", fmt::format("/dev/fd/{}", outputFd),
                           fmt::format("/dev/fd/{}", inputFd)},
                          input.fd, output.fd);
  if (StringRef(ended.said).contains("is not defined for option 'gpu-name'"))
    return makeError(ExitCode::Unsupported, "it does not know sm_{}", sm);
  if (ended.code != 0)
    return Error{ExitCode::Run, complaint(ended)};
  if (needsLocalMemory(ended.said))
    return Error{ExitCode::Run, "a kernel has too few registers"};
  std::string code = readAll(output.fd);
  if (!StringRef(code).starts_with("\x7f"
                                   "ELF"))
    return Error{ExitCode::Run, "it made no machine code"};
  return code;
}

} // namespace gemmac
