#include "test/codegen/kernels/DeviceRunner.h"

#include "codegen/DeviceKernel.h"
#include "runtime/abi.h"
#include "runtime/cuda/driver_api.h"
#include "test/cuda/settings.h"

#include <algorithm>
#include <climits>

namespace gemmac {

bool isTurnOf(const Target &target, size_t n) {
  if (target.device == Device::Cpu)
    return true;
  size_t devices = 0, own = 0;
  for (const Target &other : targets()) {
    if (other.name == target.name)
      own = devices;
    devices += other.device != Device::Cpu;
  }
  return n % devices == own;
}

struct DeviceRunner::Loaded {
  LaunchFacts launch;
  int32_t sm = 0;
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  ~Loaded() {
    if (module)
      cuModuleUnload(module);
  }
};

DeviceRunner::DeviceRunner() : loaded(std::make_unique<Loaded>()) {}
DeviceRunner::~DeviceRunner() = default;

static std::string textOf(CUresult result, const char *what) {
  if (result == CUDA_SUCCESS)
    return "";
  const char *name = nullptr;
  cuGetErrorName(result, &name);
  return std::string(what) + ": " + (name ? name : "unknown error");
}

// The first device, once.
static std::string useDevice() {
  static const std::string problem = [] {
    CUdevice device;
    CUcontext context;
    std::string text = textOf(cuInit(0), "cuInit");
    if (text.empty())
      text = textOf(cuDeviceGet(&device, 0), "cuDeviceGet");
    if (text.empty())
      text = textOf(cuDevicePrimaryCtxRetain(&context, device), "context");
    if (text.empty())
      text = textOf(cuCtxSetCurrent(context), "cuCtxSetCurrent");
    return text;
  }();
  return problem;
}

Result<std::unique_ptr<DeviceRunner>>
DeviceRunner::create(const KernelSpec &spec, const Target &target) {
  Result<DeviceCode> code = compileDeviceKernel(spec, target);
  if (!code)
    return code.error();
  std::unique_ptr<DeviceRunner> runner(new DeviceRunner);
  runner->spec = spec;
  Loaded &loaded = *runner->loaded;
  cuemu::settings().setSm(loaded.sm = target.sm);
  loaded.launch = code->launch;
  std::string problem = useDevice();
  if (problem.empty()) {
    char log[512] = "";
    CUjit_option names[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
    problem = textOf(
        cuModuleLoadDataEx(&loaded.module, code->ptx.c_str(), 2, names, values),
        "cuModuleLoadDataEx");
    if (!problem.empty())
      problem += std::string(": ") + log;
  }
  if (problem.empty())
    problem = textOf(cuModuleGetFunction(&loaded.function, loaded.module,
                                         kernelSymbol(spec).c_str()),
                     "cuModuleGetFunction");
  int local = 0;
  if (problem.empty())
    problem =
        textOf(cuFuncGetAttribute(&local, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES,
                                  loaded.function),
               "cuFuncGetAttribute");
  if (problem.empty() && local > 0)
    problem = "the kernel has " + std::to_string(local) +
              " bytes of local memory a thread: an array that is not unrolled";
  if (problem.empty() && loaded.launch.shared > 48 << 10)
    problem = textOf(
        cuFuncSetAttribute(loaded.function,
                           CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                           loaded.launch.shared),
        "cuFuncSetAttribute");
  if (!problem.empty())
    return Error{ExitCode::Unsupported, kernelSymbol(spec) + ": " + problem};
  return runner;
}

namespace {
// Device memory with a copy of some host memory.
struct Copy {
  CUdeviceptr address = 0;
  std::string make(const void *from, size_t bytes) {
    std::string problem = textOf(
        cuMemAlloc_v2(&address, std::max<size_t>(bytes, 1)), "cuMemAlloc");
    return problem.empty()
               ? textOf(cuMemcpyHtoD_v2(address, from, bytes), "cuMemcpyHtoD")
               : problem;
  }
  ~Copy() {
    if (address)
      cuMemFree_v2(address);
  }
};
} // namespace

std::string DeviceRunner::run(const std::vector<Memory> &memory,
                              const std::vector<int64_t> &which,
                              const std::map<std::string, int32_t> &integers) {
  const LaunchFacts &launch = loaded->launch;
  auto numberOf = [&](const std::string &name) {
    auto found = integers.find(name);
    return found == integers.end() ? 0 : found->second;
  };
  const int32_t begin = numberOf("begin"), end = numberOf("end"),
                rows = numberOf("rows");
  auto ceil = [](int32_t n, int32_t by) { return unsigned((n + by - 1) / by); };
  const unsigned x = end > begin ? ceil(end - begin, launch.units) : 0,
                 y = launch.rows > 0   ? ceil(rows, launch.rows)
                     : launch.rows < 0 ? unsigned(rows * -launch.rows)
                                       : 1;
  if (!x || !y)
    return "";
  std::vector<Copy> copies(memory.size());
  for (size_t i = 0; i < memory.size(); ++i)
    if (std::string problem = copies[i].make(memory[i].data, memory[i].bytes);
        !problem.empty())
      return problem;
  gm_numbers numbers = {};
  numbers.abi = GM_ABI;
  numbers.rows = rows;
  numbers.max_splits = numberOf("max_splits");
  // Units end at `end`: the step has as many as one likes.
  auto unitsOf = [&](const char *name) {
    return integers.count(name) ? numberOf(name) : 1 << 20;
  };
  numbers.tiles = unitsOf("tiles");
  numbers.splits[GM_LOCAL] = unitsOf("splits_local");
  numbers.splits[GM_GLOBAL] = unitsOf("splits_global");
  Copy step;
  if (std::string problem = step.make(&numbers, sizeof numbers);
      !problem.empty())
    return problem;
  std::vector<uint64_t> values;
  size_t next = 0;
  for (const Parameter &parameter : deviceParameters(spec)) {
    if (parameter.name == "step") {
      values.push_back(step.address);
    } else if (parameter.pointer) {
      const int64_t at = which[next++];
      values.push_back(
          at < 0 ? 0 : copies[size_t(at)].address + memory[size_t(at)].offset);
    } else {
      values.push_back(uint32_t(numberOf(parameter.name)));
    }
  }
  std::vector<void *> pointers;
  for (uint64_t &value : values)
    pointers.push_back(&value);
  cuemu::settings().setSm(loaded->sm);
  if (std::string problem = textOf(
          cuLaunchKernel(loaded->function, x, y, 1, unsigned(launch.threads), 1,
                         1, unsigned(launch.shared), nullptr, pointers.data(),
                         nullptr),
          "cuLaunchKernel");
      !problem.empty())
    return problem;
  if (std::string problem = textOf(cuStreamSynchronize(nullptr), "the kernel");
      !problem.empty())
    return problem;
  for (size_t i = 0; i < memory.size(); ++i)
    if (std::string problem = textOf(
            cuMemcpyDtoH_v2(memory[i].data, copies[i].address, memory[i].bytes),
            "cuMemcpyDtoH");
        !problem.empty())
      return problem;
  return "";
}

} // namespace gemmac
