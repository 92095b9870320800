// The card that a program runs on, and its context. Must not know kernels,
// plans or steps.
#pragma once

#include "runtime/cuda/driver.h"

namespace gm {

class Card {
public:
  Card() = default;
  Card(const Card &) = delete;
  Card &operator=(const Card &) = delete;
  ~Card();

  // As find_device fails; and RESOURCES or MACHINE without a context on it.
  Status open(int64_t index);
  // Whether there is a context; else a driver may lack every function.
  bool is_open() const { return context; }
  // Makes the context the calling thread's.
  void enter() const { driver->cuCtxSetCurrent(context); }
  Status ask(CUdevice_attribute what, int &value) const {
    return check(driver->cuDeviceGetAttribute(&value, what, device),
                 "describe the card");
  }
  // Nothing if `error` is success, else what the driver cannot do.
  Status check(CUresult error, const char *what) const {
    return error == CUDA_SUCCESS ? Status() : failed(*driver, error, what);
  }

  const Driver *driver = nullptr;
  DeviceFacts facts = {};

private:
  CUdevice device = 0;
  CUcontext context = nullptr;
};

} // namespace gm
