// See Verify.h.
#include "compiler/Verify.h"

#include "compiler/Progress.h"
#include "compiler/importer/Json.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gemmac {

//===-- the text ----------------------------------------------------------===//

static Result<std::string> readText(const std::string &path) {
  constexpr uint64_t most = 256 << 20; // what a program reads
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return makeError(ExitCode::BadInput, "--verify cannot read '{}': {}", path,
                     file.getError().message());
  llvm::StringRef text = (*file)->getBuffer();
  if (text.empty())
    return makeError(ExitCode::BadInput,
                     "--verify expects a text, but '{}' is empty", path);
  if (text.size() > most)
    return makeError(ExitCode::BadInput,
                     "--verify reads at most 256 MiB, but '{}' has {} bytes",
                     path, text.size());
  const auto *at = text.bytes_begin();
  if (!llvm::isLegalUTF8String(&at, text.bytes_end()))
    return makeError(
        ExitCode::BadInput,
        "--verify expects UTF-8, but '{}' has other bytes at offset {}", path,
        at - text.bytes_begin());
  return text.str();
}

Status checkVerify(const std::string &text, const Target &target) {
  if (!runsHere(target))
    return makeError(
        ExitCode::Machine,
        "--verify runs the program, but this machine cannot run target '{}'; "
        "compile without it, and on a machine of the target compare with "
        "'PROGRAM eval --kl' and the logits of a --quant=f32 program",
        target.name);
  Result<std::string> read = readText(text);
  return read ? Status(Done{}) : read.error();
}

//===-- files -------------------------------------------------------------===//

RemovedFile::RemovedFile(std::string path) : path(std::move(path)) {
  llvm::sys::RemoveFileOnSignal(this->path);
}
RemovedFile::~RemovedFile() {
  unlink(path.c_str());
  llvm::sys::DontRemoveFileOnSignal(path);
}

Status checkSpace(const std::string &output, uint64_t own, uint64_t exact) {
  const uint64_t code = 64 << 20; // of both, more than enough
  std::string folder = llvm::sys::path::parent_path(output).str();
  struct statvfs info;
  if (statvfs(folder.empty() ? "." : folder.c_str(), &info))
    return Done{}; // creating the file says what is wrong
  const uint64_t have = uint64_t(info.f_bavail) * info.f_frsize;
  if (have >= own + exact + code)
    return Done{};
  auto mb = [](uint64_t bytes) { return bytes / 1000000; };
  return makeError(ExitCode::Resources,
                   "--verify needs {} MB beside '{}' for the program and "
                   "meanwhile {} MB for exact math, but {} MB are free; free "
                   "space, choose another -o, or compile without --verify",
                   mb(own), output, mb(exact), mb(have));
}

//===-- processes ---------------------------------------------------------===//

namespace {

// Both ends of a pipe, closed when done.
struct Pipe {
  int from = -1, to = -1;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) == 0)
      from = ends[0], to = ends[1];
  }
  ~Pipe() { closeFrom(), closeTo(); }
  Pipe(const Pipe &) = delete;
  void closeFrom() { closeEnd(from); }
  void closeTo() { closeEnd(to); }

private:
  static void closeEnd(int &fd) {
    if (fd >= 0)
      close(fd);
    fd = -1;
  }
};

// A running program; killed if it is still running at the end.
class Process {
public:
  // `input` and `output` (-1: /dev/null) become its standard streams, `extra`
  // (-1: none) its descriptor 3.
  Process(const std::string &program, std::vector<std::string> arguments,
          int input, int output, int extra)
      : program(program) {
    arguments.insert(arguments.begin(), program);
    std::vector<char *> argv;
    for (std::string &argument : arguments)
      argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_t parent = getpid();
    id = fork();
    if (id != 0)
      return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    // dup2 clears close-on-exec; descriptors >= 10 cannot be overwritten by it.
    int ends[3] = {input < 0 ? null : input, output < 0 ? null : output, extra};
    for (int &end : ends)
      if (end >= 0)
        end = fcntl(end, F_DUPFD_CLOEXEC, 10);
    if (getppid() != parent || ends[0] < 0 || ends[1] < 0 ||
        dup2(ends[0], 0) < 0 || dup2(ends[1], 1) < 0 ||
        (extra >= 0 && dup2(ends[2], 3) < 0))
      _exit(127);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  ~Process() { end(); }
  Process(const Process &) = delete;

  // Its exit code, 127 if it could not be started, 128 + a signal's number.
  int wait() {
    if (id <= 0)
      return 127;
    int status = 0;
    while (waitpid(id, &status, 0) < 0 && errno == EINTR)
      continue;
    id = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void end() {
    if (id > 0) {
      kill(id, SIGKILL);
      wait();
    }
  }

  const std::string program;

private:
  pid_t id = -1;
};

// Writing to a program that has ended must be an error, not a signal.
class NoPipeSignal {
public:
  NoPipeSignal() {
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
  }
  ~NoPipeSignal() {
    if (sigismember(&before, SIGPIPE) == 0) {
      timespec now = {};
      while (sigtimedwait(&pipe, nullptr, &now) > 0)
        continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

private:
  sigset_t pipe, before;
};

} // namespace

// Bytes read, less than `to` has room for at the end or after an error.
static size_t readAll(int fd, llvm::MutableArrayRef<char> to) {
  size_t got = 0;
  while (got < to.size()) {
    auto n = llvm::sys::fs::readNativeFile(fd, to.drop_front(got));
    if (!n || *n == 0) {
      llvm::consumeError(n.takeError());
      break;
    }
    got += *n;
  }
  return got;
}

static std::string readText(int fd) {
  llvm::SmallString<0> text;
  llvm::consumeError(llvm::sys::fs::readNativeFileToEOF(fd, text));
  return text.str().str();
}

static Error failed(const char *which, int code) {
  ExitCode as = code == 3   ? ExitCode::BadInput
                : code == 4 ? ExitCode::Unsupported
                : code == 5 ? ExitCode::Resources
                : code == 6 ? ExitCode::Machine
                            : ExitCode::Run;
  std::string how =
      code == 127  ? "could not be started"
      : code > 128 ? fmt::format("was ended by signal {}", code - 128)
                   : fmt::format("ended with exit code {} (see above)", code);
  return makeError(as, "--verify: the {} program {}", which, how);
}

//===-- memory ------------------------------------------------------------===//

// Numbers of the JSON object that a program has printed. One that is missing is
// an error, so that no check passes for want of a number.
static Result<std::vector<double>>
numbersOf(const char *which, const std::string &text,
          std::initializer_list<const char *> keys, double low) {
  Result<std::vector<double>> numbers = readNumbers(
      text, fmt::format("--verify: what the {} program has printed", which),
      keys, low);
  return numbers ? numbers : Error{ExitCode::Run, numbers.error().message};
}

// What the two programs need together must be there.
static Status checkMemory(const VerifyRequest &request,
                          const std::vector<std::string> &flags) {
  uint64_t need[2] = {}, have = 0;
  const char *const names[2] = {"compiled", "exact"};
  const std::string *programs[2] = {&request.program, &request.exact};
  for (int i = 0; i < 2; ++i) {
    Pipe out;
    std::vector<std::string> arguments = {"info", "--json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    Process process(*programs[i], arguments, -1, out.to, -1);
    out.closeTo();
    std::string text = readText(out.from);
    if (int code = process.wait())
      return failed(names[i], code);
    auto bytes =
        numbersOf(names[i], text, {"total_bytes", "available_bytes"}, 0);
    if (!bytes)
      return bytes.error();
    need[i] = uint64_t((*bytes)[0]);
    have = uint64_t((*bytes)[1]);
  }
  if (need[0] <= have && need[1] <= have - need[0])
    return Done{};
  auto mb = [](uint64_t bytes) { return fmt::format("{} MiB", bytes >> 20); };
  return makeError(ExitCode::Resources,
                   "--verify needs {} for the program and {} for exact math at "
                   "the same time, but {} are available; compile without "
                   "--verify, or use a machine with more memory",
                   mb(need[0]), mb(need[1]), mb(have));
}

//===-- the comparison ----------------------------------------------------===//

// Moves a safetensors file from one program to the other, showing how much of
// it has passed. False if the receiver has ended.
static bool forward(int from, int to, Progress &progress) {
  llvm::raw_fd_ostream out(to, /*shouldClose=*/false, /*unbuffered=*/true);
  std::vector<char> buffer(1 << 20);
  uint64_t length = 0, total = 0, done = 0;
  llvm::MutableArrayRef<char> head(reinterpret_cast<char *>(&length), 8);
  if (readAll(from, head) < 8)
    return true; // the sender has ended: it says why
  out.write(head.data(), 8);
  size_t n = readAll(from, llvm::MutableArrayRef(buffer).take_front(
                               std::min<uint64_t>(length, 1 << 16)));
  llvm::StringRef header(buffer.data(), n);
  header.substr(header.rfind("\"data_offsets\":["))
      .split(',')
      .second.consumeInteger(10, total);
  for (; n && !out.has_error(); n = readAll(from, buffer), done += n) {
    out.write(buffer.data(), n);
    progress.update(std::min(done, total), total);
  }
  bool received = !out.has_error();
  out.clear_error();
  return received;
}

// What `eval --kl --json` prints.
static Result<FidelityFacts> readFacts(const std::string &text) {
  FidelityFacts facts;
  auto numbers = numbersOf("compiled", text,
                           {"rows", "kl_mean", "kl_median", "kl_p99", "kl_max",
                            "same_top", "ppl", "ppl_ratio"},
                           std::numeric_limits<double>::lowest());
  if (!numbers)
    return numbers.error();
  facts.tokens = uint64_t(numbers->front());
  double *const fields[] = {&facts.klMean,  &facts.klMedian, &facts.klP99,
                            &facts.klMax,   &facts.sameTop,  &facts.ppl,
                            &facts.pplRatio};
  for (size_t i = 0; i < std::size(fields); ++i)
    *fields[i] = (*numbers)[i + 1];
  return facts;
}

Result<FidelityFacts> compareWithExact(const VerifyRequest &request) {
  Result<std::string> text = readText(request.text);
  if (!text)
    return text.error();
  std::vector<std::string> flags = {"-c", std::to_string(request.window)};
  if (request.threads)
    flags.insert(flags.end(),
                 {"-t", std::to_string(std::min(request.threads, 256))});
  if (Status s = checkMemory(request, flags); !s)
    return s.error();
  flags.insert(flags.end(), {"-f", request.text, "--window",
                             std::to_string(request.window)});
  auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return arguments;
  };
  Pipe logits, passed, result;
  Process exact(request.exact, with({"eval", "--logits", "/dev/fd/3"}), -1, -1,
                logits.to);
  Process compiled(request.program, with({"eval", "--json", "--kl", "-"}),
                   passed.from, result.to, -1);
  logits.closeTo(), passed.closeFrom(), result.closeTo();
  NoPipeSignal noSignal;
  Progress progress("comparing with exact math", request.quiet);
  bool received = forward(logits.from, passed.to, progress);
  if (!received)
    exact.end();
  else if (int code = exact.wait())
    return failed("exact", code);
  passed.closeTo();
  std::string output = readText(result.from);
  if (int code = compiled.wait())
    return failed("compiled", code);
  Result<FidelityFacts> facts = readFacts(output);
  if (!facts)
    return facts;
  if (!received || facts->tokens == 0)
    return Error{ExitCode::Run, "--verify: the compiled program has compared "
                                "no tokens"};
  progress.finish();
  facts->text = llvm::sys::path::filename(request.text).str();
  facts->textHash = llvm::xxh3_64bits(*text);
  facts->window = request.window;
  return facts;
}

std::string describe(const FidelityFacts &facts) {
  return fmt::format(
      "on '{}' ({} tokens) against exact math: KL divergence mean {:.3g}, 99 % "
      "{:.3g}; same top token {:.2f} %; perplexity times {:.6f}",
      facts.text, facts.tokens, facts.klMean, facts.klP99, facts.sameTop * 100,
      facts.pplRatio);
}

} // namespace gemmac
