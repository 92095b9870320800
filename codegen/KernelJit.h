// Runs one kernel body in this process: for tests and timing. Programs never
// need it. Must not know MLIR.
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"
#include "targets/Layouts.h"

#include <memory>
#include <string>

namespace gemmac {

// An object file for `target` with `void gm_call(void **pointers, int32_t
// *integers)`, which calls the body of `spec` with its parameters in the order
// of kernelParameters(spec), each from its list.
Result<std::string> compileCallable(const KernelSpec &spec,
                                    const Target &target);

class KernelJit {
public:
  // The machine must be able to run `target`.
  static Result<std::unique_ptr<KernelJit>> create(const KernelSpec &spec,
                                                   const Target &target);
  ~KernelJit();

  void call(void **pointers, int32_t *integers) const {
    entry(pointers, integers);
  }

private:
  struct Session;
  KernelJit();

  std::unique_ptr<Session> session;
  void (*entry)(void **, int32_t *) = nullptr;
};

} // namespace gemmac
