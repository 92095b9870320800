// See Doctor.h.
#include "compiler/Doctor.h"

#include "codegen/Linker.h"
#include "codegen/OutputFile.h"
#include "codegen/Ptxas.h"
#include "compiler/Installed.h"
#include "compiler/Version.h"
#include "runtime/gemma.h"
#include "runtime/host/features.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <map>
#include <sys/statvfs.h>
#include <unistd.h>

namespace gemmac {

using State = Check::State;

static double gigabytes(uint64_t bytes) { return double(bytes) / 1e9; }

//===-- targets -----------------------------------------------------------===//

namespace {

// The cards of this machine, or why there are none.
struct Cards {
  std::vector<gm::DeviceFacts> all;
  std::string none;
};

} // namespace

static Cards findCards() {
  Cards cards;
  for (gm::DeviceFacts facts;;) {
    gm::Status s = gm::find_device(int64_t(cards.all.size()), facts);
    if (!s.ok()) {
      cards.none = s.text;
      return cards; // behind the last card: of no interest
    }
    cards.all.push_back(facts);
  }
}

// The version of CUDA (12040 of 12.4) whose drivers know a target's PTX, which
// counts from 7.0 in CUDA 11.0: "ptx74" is that of 11.4.
static int driverOf(const Target &target) {
  for (llvm::StringRef feature : target.features) {
    int ptx;
    if (feature.consume_front("ptx") && !feature.getAsInteger(10, ptx))
      return (ptx / 10 + 4) * 1000 + ptx % 10 * 10;
  }
  return 0;
}

// Why no card runs `target`, in short; empty: one does.
static std::string whyNotOn(const Cards &cards, const Target &target) {
  if (cards.all.empty())
    return llvm::StringRef(cards.none)
        .split("; ")
        .first.split(": ")
        .first.str();
  const int driver = driverOf(target);
  std::string why;
  for (const gm::DeviceFacts &card : cards.all) {
    if (card.sm >= target.sm && card.driver >= driver)
      return "";
    why = card.sm < target.sm
              ? fmt::format("{} has compute capability {}.{}, needed is {}.{}",
                            card.name, card.sm / 10, card.sm % 10,
                            target.sm / 10, target.sm % 10)
              : fmt::format("the driver is of CUDA {}.{}, needed is {}.{}",
                            card.driver / 1000, card.driver % 1000 / 10,
                            driver / 1000, driver % 1000 / 10);
  }
  return why;
}

static std::string whyNotHere(const Target &target) {
  if (target.arch != gm::this_arch)
    return fmt::format("this machine is {}", gm::this_arch);
  return fmt::format("this CPU lacks {}",
                     fmt::join(missingFeatures(target), ", "));
}

static TargetCheck examine(const Target &target, const Cards &cards) {
  TargetCheck check{.target = &target};
  check.host = &target == findTarget("host");
  if (Status s = checkRuntime(runtimeFolder(), target); !s)
    check.cannotMake = s.error().message;
  if (Status s = checkRuntime(runtimeFolder(), target, Form::SharedLibrary); !s)
    check.noLibrary = s.error().message;
  check.runs = runsHere(target);
  if (!check.runs) {
    check.cannotRun = target.device == Device::Cuda ? whyNotOn(cards, target)
                                                    : whyNotHere(target);
    check.runs = check.cannotRun.empty();
  }
  if (!check.runs && !target.emulator.empty())
    if (auto found = llvm::sys::findProgramByName(target.emulator))
      check.runsBy = *found;
  return check;
}

//===-- what gemmac needs -------------------------------------------------===//

static Check checkHost(const std::vector<TargetCheck> &targets) {
  Check check{.name = "host"};
  for (const TargetCheck &target : targets)
    if (target.host) {
      check.found = target.target->name;
      return check;
    }
  // The least that would do: the last of this architecture.
  check.state = State::Broken;
  check.found = fmt::format("this machine ({}) is none of the targets",
                            *gm::this_arch ? gm::this_arch : "unknown");
  for (const TargetCheck &target : targets)
    if (target.target->arch == gm::this_arch)
      check.found = fmt::format("this machine is none of the targets: for {} "
                                "{}",
                                target.target->name, target.cannotRun);
  check.advice = "compile for another machine with --target";
  return check;
}

static Check checkFiles(const std::vector<TargetCheck> &targets) {
  Check check{.name = "runtimes"};
  std::vector<std::string> have;
  for (const TargetCheck &target : targets) {
    const std::string &arch = target.target->arch;
    if (target.cannotMake.empty()) {
      if (!llvm::is_contained(have, arch))
        have.push_back(arch);
      continue;
    }
    // Without the host's nothing is made by default.
    const bool needed = target.host;
    if (check.state == State::Ok || needed)
      check.found = target.cannotMake;
    check.state =
        needed || check.state == State::Broken ? State::Broken : State::Missing;
  }
  for (const TargetCheck &target : targets)
    if (check.state == State::Ok && !target.noLibrary.empty()) {
      check.state = State::Missing;
      check.found = "no libraries can be made: " + target.noLibrary;
    }
  if (check.state != State::Ok)
    check.advice = "reinstall gemmac: bin/gemmac and lib/gemmac belong "
                   "together";
  if (check.state == State::Ok)
    check.found =
        fmt::format("{} in {}", fmt::join(have, ", "), runtimeFolder());
  return check;
}

static Check checkLibraries() {
  Check check{.name = "libraries"};
  std::map<std::string, std::vector<std::string>> folders;
  for (const LoadedLibrary &library : compilerLibraries())
    folders[llvm::sys::path::parent_path(library.path).str()].push_back(
        library.name);
  for (const auto &[folder, names] : folders)
    check.found += fmt::format("{}{} in {}", check.found.empty() ? "" : "; ",
                               fmt::join(names, ", "), folder);
  return check;
}

// What packing an E2B takes, rounded up (docs/performance.md); other sizes take
// as much, since tensors pass through in parts.
constexpr uint64_t leastMemory = 500'000'000;

static Check checkMemory() {
  Check check{.name = "memory"};
  const uint64_t have =
      std::min(gm::available_memory(), gm::available_addresses());
  check.found = fmt::format("{:.1f} GB available, {} threads", gigabytes(have),
                            gm::usable_cpus());
  if (have < leastMemory) {
    check.state = State::Missing;
    check.advice = fmt::format("compiling takes about {:.1f} GB, whatever the "
                               "model: end other programs, or raise the limit "
                               "of the container or of ulimit -v",
                               gigabytes(leastMemory));
  }
  return check;
}

// The least that a program needs: its code, and the weights of a small model.
constexpr uint64_t leastSpace = 64 << 20;

static Check checkOutput(const std::string &output) {
  Check check{.name = "output"};
  const Destination place = Destination::of(output);
  llvm::SmallString<128> folder(place.kind == Destination::Kind::Folder
                                    ? llvm::StringRef(output)
                                    : llvm::sys::path::parent_path(place.path));
  if (folder.empty())
    folder = ".";
  llvm::SmallString<128> real;
  if (!llvm::sys::fs::real_path(folder, real))
    folder = real;
  struct statvfs info;
  if (access(folder.c_str(), W_OK | X_OK) != 0 ||
      statvfs(folder.c_str(), &info) != 0) {
    check.state = State::Broken;
    check.found = fmt::format("'{}' cannot be written: {}", folder.c_str(),
                              strerror(errno));
    check.advice = "name another place with -o";
    return check;
  }
  const uint64_t space = uint64_t(info.f_bavail) * info.f_frsize;
  check.found =
      fmt::format("'{}' has {:.1f} GB free", folder.c_str(), gigabytes(space));
  if (space < leastSpace) {
    check.state = State::Broken;
    check.advice = "a program is as large as its weights: free space, or name "
                   "another place with -o";
  } else if (info.f_flag & ST_NOEXEC) {
    check.state = State::Missing;
    check.found += ", mounted noexec: programs cannot be run there";
    check.advice = "name another place with -o";
  }
  return check;
}

//===-- what some want ----------------------------------------------------===//

static Check checkPtxas() {
  Check check{.name = "ptxas"};
  Result<std::optional<Ptxas>> found = findPtxas("");
  if (found && *found) {
    check.found = fmt::format("{} ({})", (*found)->path, (*found)->version);
    return check;
  }
  check.state = State::Missing;
  check.found = found ? "not found: programs for cards start a second later"
                      : found.error().message;
  check.advice = "it is part of the CUDA toolkit and of PyPI's "
                 "nvidia-cuda-nvcc; name it with --ptxas or $CUDA_HOME";
  return check;
}

// One check for each emulator that a target which does not run here has.
static std::vector<Check>
checkEmulators(const std::vector<TargetCheck> &targets) {
  std::vector<Check> checks;
  for (const TargetCheck &target : targets) {
    const std::string &name = target.target->emulator;
    if (target.runs || name.empty() ||
        llvm::any_of(checks, [&](auto &c) { return c.name == name; }))
      continue;
    Check check{.name = name, .found = target.runsBy};
    if (target.runsBy.empty()) {
      check.state = State::Missing;
      check.found = fmt::format("not found: it runs {} programs here",
                                target.target->name);
      check.advice = "apt install qemu-user";
    }
    checks.push_back(check);
  }
  return checks;
}

static Check checkCards(const Cards &cards) {
  Check check{.name = "cards"};
  if (cards.all.empty()) {
    check.state = State::Missing;
    // What is missing; what to do.
    auto [missing, advice] = llvm::StringRef(cards.none).split("; ");
    check.found = missing.str(), check.advice = advice.str();
    return check;
  }
  for (const gm::DeviceFacts &card : cards.all)
    check.found += fmt::format(
        "{}{} (compute capability {}.{}, {:.0f} GB, driver of CUDA {}.{})",
        check.found.empty() ? "" : "; ", card.name, card.sm / 10, card.sm % 10,
        gigabytes(card.memory), card.driver / 1000, card.driver % 1000 / 10);
  return check;
}

//===-- all of it ---------------------------------------------------------===//

bool Diagnosis::works() const {
  return llvm::none_of(checks,
                       [](auto &c) { return c.state == State::Broken; });
}

Diagnosis examine(const DoctorOptions &options) {
  Diagnosis diagnosis;
  const Cards cards = findCards();
  for (const Target &target : targets())
    diagnosis.targets.push_back(examine(target, cards));
  const std::vector<TargetCheck> &targets = diagnosis.targets;
  diagnosis.checks = {
      checkHost(targets), checkFiles(targets),         checkLibraries(),
      checkMemory(),      checkOutput(options.output), checkPtxas()};
  llvm::append_range(diagnosis.checks, checkEmulators(targets));
  diagnosis.checks.push_back(checkCards(cards));
  return diagnosis;
}

static const char *wordOf(State state) {
  return state == State::Ok        ? "ok"
         : state == State::Missing ? "missing"
                                   : "broken";
}

std::string diagnosisText(const Diagnosis &diagnosis) {
  std::string text = versionText("gemmac") + "\n\n";
  for (const TargetCheck &t : diagnosis.targets) {
    std::string how =
        !t.cannotMake.empty() ? "cannot be made: " + t.cannotMake
        : t.runs
            ? t.host ? "made by default, runs here" : "can be made, runs here"
        : !t.runsBy.empty() ? "can be made, runs here by " + t.runsBy
                            : "can be made, does not run here: " + t.cannotRun;
    text += fmt::format("{:<14} {}\n", t.target->name, how);
  }
  text += "\n";
  for (const Check &check : diagnosis.checks) {
    text += fmt::format("{:<14} {:<8} {}\n", check.name, wordOf(check.state),
                        check.found);
    if (!check.advice.empty())
      text += fmt::format("{:<14} {:<8} {}\n", "", "", check.advice);
  }
  return text + (diagnosis.works()
                     ? "\ngemmac can make programs for this machine\n"
                     : "\ngemmac cannot make programs for this machine\n");
}

std::string diagnosisJson(const Diagnosis &diagnosis) {
  using Object = nlohmann::ordered_json;
  Object all;
  all["version"] = versionText("gemmac");
  all["works"] = diagnosis.works();
  all["targets"] = Object::array();
  for (const TargetCheck &t : diagnosis.targets) {
    Object target;
    target["name"] = t.target->name;
    target["host"] = t.host;
    target["makes"] = t.cannotMake.empty();
    target["cannot_make"] = t.cannotMake;
    target["runs"] = t.runs;
    target["runs_by"] = t.runsBy;
    target["cannot_run"] = t.cannotRun;
    target["lacks"] = t.target->arch == gm::this_arch
                          ? missingFeatures(*t.target)
                          : std::vector<std::string>();
    all["targets"].push_back(target);
  }
  all["checks"] = Object::array();
  for (const Check &check : diagnosis.checks)
    all["checks"].push_back({{"name", check.name},
                             {"state", wordOf(check.state)},
                             {"found", check.found},
                             {"advice", check.advice}});
  // A path need not be UTF-8.
  return all.dump(2, ' ', false, Object::error_handler_t::replace) + "\n";
}

} // namespace gemmac
