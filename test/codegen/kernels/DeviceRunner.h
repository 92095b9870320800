// Runs one kernel of a CUDA target in the emulator of the driver (test/cuda),
// for tests. Knows no test framework.
#pragma once

#include "support/Result.h"
#include "targets/Kernels.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gemmac {

// Devices share cases, because their bodies are the same source and the
// emulator is slow: whether the N-th case is this target's. CPUs run all.
bool isTurnOf(const Target &target, size_t n);

class DeviceRunner {
public:
  // Host memory that is copied to the device for a run, and back. Operands
  // begin `offset` bytes behind its begin.
  struct Memory {
    void *data;
    size_t bytes, offset;
  };

  static Result<std::unique_ptr<DeviceRunner>> create(const KernelSpec &spec,
                                                      const Target &target);
  ~DeviceRunner();

  // Launches units [begin, end). `which`: for every address parameter but the
  // numbers of the step its memory, -1: null. `integers` by name: the i32
  // parameters, `begin` and `end`, and the step's `rows`; its `tiles`,
  // `splits_local` and `splits_global` where they are less than enough. "" or
  // what is wrong.
  std::string run(const std::vector<Memory> &memory,
                  const std::vector<int64_t> &which,
                  const std::map<std::string, int32_t> &integers);

private:
  struct Loaded;
  DeviceRunner();

  KernelSpec spec;
  std::unique_ptr<Loaded> loaded;
};

} // namespace gemmac
