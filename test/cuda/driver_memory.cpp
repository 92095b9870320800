// Memory of the device and pinned memory; copies and fills.
#include "test/cuda/driver.h"

namespace cuemu {

namespace {

/// Whether [ADDRESS, ADDRESS + BYTES) is what a copy may name as device memory.
bool onDevice(CUdeviceptr address, size_t bytes) {
  return bytes == 0 || memory().find(address, bytes);
}
bool onHost(const void *p) { return p && !memory().isDevice(u64(p)); }

CUresult copy(void *to, const void *from, size_t bytes, CUstream stream) {
  return enqueue(stream, {std::nullopt, [=] { memmove(to, from, bytes); }});
}

CUresult fill(CUdeviceptr to, u32 value, u32 element, size_t count,
              CUstream stream) {
  if (!onDevice(to, count * element) || to % element)
    return CUDA_ERROR_INVALID_VALUE;
  u8 *at = memory().view(to);
  return enqueue(stream, {std::nullopt, [=] {
                            for (size_t i = 0; i < count; ++i)
                              memcpy(at + i * element, &value, element);
                          }});
}

} // namespace

} // namespace cuemu

using namespace cuemu;

CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  return inContext([&]() -> CUresult {
    if (!free || !total)
      return CUDA_ERROR_INVALID_VALUE;
    *total = memory().limit;
    *free = memory().limit - memory().used();
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  return inContext([&]() -> CUresult {
    if (!address || !bytes)
      return CUDA_ERROR_INVALID_VALUE;
    if (CUresult r = refuseInCapture())
      return r;
    *address = memory().allocate(bytes);
    return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  });
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  return inContext([&]() -> CUresult {
    if (CUresult r = refuseInCapture())
      return r;
    return !address || memory().free(address, false) ? CUDA_SUCCESS
                                                     : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemHostAlloc(void **memory_, size_t bytes, unsigned flags) {
  return inContext([&]() -> CUresult {
    if (!memory_ || !bytes || flags > 7)
      return CUDA_ERROR_INVALID_VALUE;
    *memory_ = memory().allocateHost(bytes);
    return *memory_ ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *address, void *host,
                                      unsigned flags) {
  return inContext([&]() -> CUresult {
    if (!address || flags || memory().isDevice(u64(host)) ||
        !memory().find(u64(host), 1))
      return CUDA_ERROR_INVALID_VALUE;
    *address = CUdeviceptr(host);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemFreeHost(void *host) {
  return inContext([&]() -> CUresult {
    return memory().free(u64(host), true) ? CUDA_SUCCESS
                                          : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemHostRegister_v2(void *host, size_t bytes, unsigned flags) {
  return inContext([&]() -> CUresult {
    if (flags & ~(CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP))
      return CUDA_ERROR_INVALID_VALUE;
    return CUresult(memory().registerHost(u64(host), bytes));
  });
}

CUresult cuMemHostUnregister(void *host) {
  return inContext([&]() -> CUresult {
    return CUresult(memory().unregisterHost(u64(host)));
  });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes,
                              CUstream stream) {
  return inContext([&]() -> CUresult {
    if (!onDevice(to, bytes) || (bytes && !onHost(from)))
      return CUDA_ERROR_INVALID_VALUE;
    return copy(memory().view(to), from, bytes, stream);
  });
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes,
                              CUstream stream) {
  return inContext([&]() -> CUresult {
    if (!onDevice(from, bytes) || (bytes && !onHost(to)))
      return CUDA_ERROR_INVALID_VALUE;
    return copy(to, memory().view(from), bytes, stream);
  });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                              CUstream stream) {
  return inContext([&]() -> CUresult {
    if (!onDevice(from, bytes) || !onDevice(to, bytes))
      return CUDA_ERROR_INVALID_VALUE;
    return copy(memory().view(to), memory().view(from), bytes, stream);
  });
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  return inContext([&]() -> CUresult {
    CUresult r = refuseInCapture();
    return r ? r : cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
  });
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  return inContext([&]() -> CUresult {
    CUresult r = refuseInCapture();
    return r ? r : cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
  });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes,
                         CUstream stream) {
  return inContext([&] { return fill(to, value, 1, bytes, stream); });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count,
                          CUstream stream) {
  return inContext([&] { return fill(to, value, 4, count, stream); });
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) {
  return cuMemsetD8Async(to, value, bytes, nullptr);
}
