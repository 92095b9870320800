// Modules from PTX, their functions and variables.
#include "test/cuda/driver.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string_view>

namespace cuemu {

namespace {

/// The PTX version that a driver knows: 11.4 is 7.4, 12.0 is 8.0.
int knownPtx(int driver) {
  int major = driver / 1000, minor = driver % 1000 / 10;
  if (major == 12 && minor >= 6)
    --minor; // two drivers share 8.5
  return (major - 4) * 10 + minor;
}

/// Throws when this machine may not load what PTX says it is for.
void checkTarget(const Ptx &ptx) {
  int version = 0, minor = 0, sm = 0;
  char suffix = 0;
  if (sscanf(ptx.version.c_str(), "%d.%d", &version, &minor) != 2 ||
      sscanf(ptx.target.c_str(), "sm_%d%c", &sm, &suffix) < 1)
    throw Fault(CUDA_ERROR_INVALID_PTX, "expects .version M.N and .target "
                                        "sm_NN");
  if (version * 10 + minor > knownPtx(machine().driver))
    throw Fault(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
                "PTX version " + ptx.version +
                    " is newer than the driver (CUDA " +
                    std::to_string(machine().driver / 1000) + "." +
                    std::to_string(machine().driver % 1000 / 10) + ")");
  int own = settings().sm;
  if (sm > own || (suffix == 'a' && sm != own))
    throw Fault(CUDA_ERROR_INVALID_PTX, "expects a target of at most sm_" +
                                            std::to_string(own) + ", got " +
                                            ptx.target);
}

void placeVariables(Ptx &ptx) {
  for (auto &[name, v] : ptx.symbols) {
    if (v->space != Space::Global && v->space != Space::Const)
      continue;
    v->address = memory().allocate(v->bytes);
    if (!v->address)
      throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory for '" + name + "'");
    u8 *to = memory().view(v->address);
    memset(to, 0, v->bytes);
    if (!v->initial.empty())
      memcpy(to, v->initial.data(), v->initial.size());
  }
  for (auto &[name, v] : ptx.symbols)
    for (const Variable::Pointer &p : v->pointers) {
      auto it = ptx.symbols.find(p.to);
      if (it == ptx.symbols.end() || !it->second->address)
        throw Fault(CUDA_ERROR_INVALID_PTX, "'" + name +
                                                "' holds the address of "
                                                "unknown '" +
                                                p.to + "'");
      u64 value = 0;
      u8 *at = memory().view(v->address) + p.at;
      memcpy(&value, at, 8);
      value += it->second->address;
      memcpy(at, &value, 8);
    }
}

/// The first entry of a PTX text.
std::string_view firstEntry(std::string_view text) {
  size_t at = text.find(".entry ");
  if (at == text.npos)
    return {};
  text.remove_prefix(at + 7);
  return text.substr(0, text.find('('));
}

/// The text of GM_CUDA_PTX, if `image` is a text that begins with the same
/// kernel; else `image`.
const char *replaced(const char *image) {
  if (settings().ptx.empty())
    return image;
  static const std::string text = [] {
    std::ifstream file(settings().ptx);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return firstEntry(text) == firstEntry(image) ? text.c_str() : image;
}

std::unique_ptr<CUmod_st> load(const void *image) {
  u32 magic = 0;
  memcpy(&magic, image, 4);
  if (magic == 0x464c457f || magic == 0xba55ed50) // ELF (cubin), fatbin
    throw Fault(CUDA_ERROR_NO_BINARY_FOR_GPU,
                "images other than PTX do not run here");
  auto m = std::make_unique<CUmod_st>();
  m->ptx = parsePtx(replaced(static_cast<const char *>(image)));
  checkTarget(*m->ptx);
  placeVariables(*m->ptx);
  for (auto &[name, f] : m->ptx->functions)
    if (f.entry && f.defined) {
      auto made = std::make_unique<CUfunc_st>();
      made->kernel = decodeKernel(*m->ptx, f);
      m->functions[name] = std::move(made);
    }
  return m;
}

/// The caller's buffers for what the compiler says.
struct Log {
  char *text = nullptr;
  size_t bytes = 0;
  void **filled = nullptr;

  Log(CUjit_option which, CUjit_option size, unsigned count,
      const CUjit_option *options, void **values) {
    for (unsigned i = 0; i < count; ++i) {
      if (options[i] == which)
        text = static_cast<char *>(values[i]);
      if (options[i] == size) {
        bytes = reinterpret_cast<size_t>(values[i]);
        filled = &values[i];
      }
    }
  }
  void write(const std::string &line) {
    if (!text || !bytes)
      return;
    size_t n = std::min(line.size(), bytes - 1);
    memcpy(text, line.data(), n);
    text[n] = 0;
    *filled = reinterpret_cast<void *>(n + 1);
  }
};

} // namespace

int registersOf(const Kernel &k) {
  // Handed out by 8 to whole warps.
  u32 whole = std::max(32u, (k.maxThreads + 31) / 32 * 32);
  int most = std::min(255, int(65536 / whole / 8 * 8));
  if (k.function->maxRegisters)
    most = std::min(most, int(k.function->maxRegisters));
  return std::max(16, std::min(k.registers, most));
}

int blocksPerSm(const Kernel &k, u32 threads, u64 dynamicShared) {
  Limits l = limits();
  u64 shared = k.staticShared + dynamicShared + 1024; // the system's
  u32 whole = (threads + 31) / 32 * 32;
  u32 byRegisters = 65536 / (u32(registersOf(k) + 7) / 8 * 8 * whole);
  return int(std::min({l.blocksPerSm, l.threadsPerSm / whole,
                       u32(l.sharedPerSm / shared), byRegisters}));
}

} // namespace cuemu

using namespace cuemu;

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count,
                            CUjit_option *options, void **values) {
  return inContext([&]() -> CUresult {
    if (!module || !image || (count && (!options || !values)))
      return CUDA_ERROR_INVALID_VALUE;
    Log log(CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, count,
            options, values);
    log.write("");
    Log(CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, count,
        options, values)
        .write("");
    try {
      *module = load(image).release();
    } catch (Fault &fault) {
      std::string line = std::string("ptx emulator error: ") + fault.what();
      log.write(line);
      if (!log.text && fault.code != CUDA_ERROR_NO_BINARY_FOR_GPU)
        fprintf(stderr, "cuda emulator: %s\n", fault.what());
      return CUresult(fault.code);
    }
    made(*module);
    for (auto &[name, f] : (*module)->functions)
      made(f.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

CUresult cuModuleUnload(CUmodule module) {
  return inContext([&]() -> CUresult {
    if (!known(module))
      return CUDA_ERROR_INVALID_HANDLE;
    for (auto &[name, f] : module->functions)
      driver().live.erase(f.get());
    for (auto &[name, v] : module->ptx->symbols)
      if (v->address)
        memory().free(v->address, false);
    gone(module);
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module,
                             const char *name) {
  return inContext([&]() -> CUresult {
    if (!function || !name)
      return CUDA_ERROR_INVALID_VALUE;
    if (!known(module))
      return CUDA_ERROR_INVALID_HANDLE;
    auto it = module->functions.find(name);
    if (it == module->functions.end())
      return CUDA_ERROR_NOT_FOUND;
    *function = it->second.get();
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes,
                              CUmodule module, const char *name) {
  return inContext([&]() -> CUresult {
    if (!name)
      return CUDA_ERROR_INVALID_VALUE;
    if (!known(module))
      return CUDA_ERROR_INVALID_HANDLE;
    auto it = module->ptx->symbols.find(name);
    if (it == module->ptx->symbols.end() || !it->second->address)
      return CUDA_ERROR_NOT_FOUND;
    if (address)
      *address = it->second->address;
    if (bytes)
      *bytes = it->second->bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute what,
                            CUfunction function) {
  return inContext([&]() -> CUresult {
    if (!value)
      return CUDA_ERROR_INVALID_VALUE;
    if (!known(function))
      return CUDA_ERROR_INVALID_HANDLE;
    const Kernel &k = *function->kernel;
    switch (what) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = int(k.maxThreads);
      break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      *value = int(k.staticShared);
      break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      *value = int(k.localBytes);
      break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      *value = registersOf(k);
      break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      *value = settings().sm;
      break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = int(k.maxDynamicShared);
      break;
    default:
      *value = 0;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute what,
                            int value) {
  return inContext([&]() -> CUresult {
    if (!known(function))
      return CUDA_ERROR_INVALID_HANDLE;
    Kernel &k = *function->kernel;
    if (what == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT)
      return value >= -1 && value <= 100 ? CUDA_SUCCESS
                                         : CUDA_ERROR_INVALID_VALUE;
    if (what != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
        u64(value) + k.staticShared > limits().sharedOptIn)
      return CUDA_ERROR_INVALID_VALUE;
    k.maxDynamicShared = u64(value);
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks,
                                                     CUfunction function,
                                                     int threads,
                                                     size_t dynamicShared) {
  return inContext([&]() -> CUresult {
    if (!blocks || threads <= 0)
      return CUDA_ERROR_INVALID_VALUE;
    if (!known(function))
      return CUDA_ERROR_INVALID_HANDLE;
    *blocks = blocksPerSm(*function->kernel, u32(threads), dynamicShared);
    return CUDA_SUCCESS;
  });
}
