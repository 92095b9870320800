// See MachineCode.h.
#include "compiler/MachineCode.h"

#include "support/Threads.h"

#include "llvm/ADT/STLExtras.h"

#include <atomic>

namespace gemmac {

Result<std::optional<Ptxas>> ptxasFor(const Target &target,
                                      const std::string &wanted,
                                      bool makesProgram,
                                      const Messages &messages) {
  const std::optional<Ptxas> none;
  if (target.cubins.empty() && !wanted.empty() && wanted != "none")
    return makeError(ExitCode::Usage, "--ptxas expects a CUDA target, got '{}'",
                     target.name);
  if (target.cubins.empty() || !makesProgram)
    return none;
  Result<std::optional<Ptxas>> found = findPtxas(wanted);
  if (!found && !wanted.empty())
    return found;
  if (!found)
    messages.warn({found.error().message + "; the program has PTX alone"});
  const std::optional<Ptxas> ptxas = found ? *found : none;
  if (!ptxas)
    messages.remark({"kernels are PTX alone, which the driver translates at "
                     "each start: no ptxas (--ptxas)"});
  return ptxas;
}

std::vector<DeviceImage> makeMachineCode(const Ptxas &ptxas,
                                         const Target &target,
                                         const std::string &ptx, int threads,
                                         const Messages &messages) {
  std::vector<std::optional<Result<std::string>>> made(target.cubins.size());
  std::atomic<size_t> next = 0;
  runOnThreads(std::min(threads, int(made.size())), [&] {
    for (size_t i = next++; i < made.size(); i = next++)
      made[i] = assemble(ptxas, ptx, target.cubins[i]);
  });
  std::vector<DeviceImage> images;
  std::string names;
  const std::string called = ptxas.path + " (" + ptxas.version + ")";
  for (auto [sm, code] : llvm::zip_equal(target.cubins, made)) {
    if (*code) {
      images.push_back({sm, std::move(**code)});
      names += fmt::format("{}sm_{}", names.empty() ? "" : ", ", sm);
    } else if (code->error().code == ExitCode::Unsupported) {
      messages.remark({fmt::format("no machine code for sm_{}, which {} does "
                                   "not know: cards run PTX",
                                   sm, called)});
    } else {
      messages.warn({fmt::format("no machine code for sm_{}, so cards run PTX: "
                                 "{}: {}",
                                 sm, called, code->error().message)});
    }
  }
  messages.remark({fmt::format("kernels are PTX{}{} by {}",
                               names.empty() ? ", no machine code"
                                             : " and machine code for ",
                               names, called)});
  return images;
}

} // namespace gemmac
