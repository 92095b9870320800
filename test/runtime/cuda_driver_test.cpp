// The table of the driver's calls: what it is filled from, and what is said of
// machines without a driver, or with one that is too old.
#include "runtime/cuda/driver.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <string>

using namespace gm;

namespace {

Driver emulated() {
  Driver driver;
  Status status = open_driver(GEMMAC_CUDA_DRIVER, driver);
  EXPECT_TRUE(status.ok()) << status.text;
  return driver;
}

} // namespace

TEST(CudaDriver, IsMissing) {
  Driver driver;
  Status status = open_driver("libnone.so.1", driver);
  EXPECT_EQ(status.code, MACHINE);
  EXPECT_STREQ(status.text,
               "this program needs the NVIDIA driver: cannot load "
               "'libnone.so.1': libnone.so.1: cannot open shared object file: "
               "No such file or directory; install the driver, or compile the "
               "model for a CPU (gemmac --list-targets)");
}

// The one name that programs load: what is loaded under it already is taken.
TEST(CudaDriver, IsLoadedByName) {
  ASSERT_NE(dlopen(GEMMAC_CUDA_DRIVER, RTLD_NOW | RTLD_LOCAL), nullptr)
      << dlerror();
  const Driver *driver = nullptr, *again = nullptr;
  Status status = load_driver(driver);
  ASSERT_TRUE(status.ok()) << status.text;
#define GM_EXPECT_CALL(name, needed) EXPECT_NE(driver->name, nullptr) << #name;
  GM_DRIVER_LIST(GM_EXPECT_CALL)
#undef GM_EXPECT_CALL
  int version = 0, count = 0;
  EXPECT_EQ(driver->cuDriverGetVersion(&version), CUDA_SUCCESS);
  EXPECT_EQ(version, 13000);
  EXPECT_EQ(driver->cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(driver->cuInit(0), CUDA_SUCCESS);
  EXPECT_EQ(driver->cuDeviceGetCount(&count), CUDA_SUCCESS);
  EXPECT_EQ(count, 1);
  EXPECT_TRUE(load_driver(again).ok());
  EXPECT_EQ(driver, again);
}

TEST(CudaDriver, LacksACall) {
  Driver driver;
  Status status = open_driver("libm.so.6", driver);
  EXPECT_EQ(status.code, MACHINE);
  EXPECT_STREQ(status.text,
               "the NVIDIA driver ('libm.so.6') has no 'cuInit': this program "
               "needs one of CUDA 11.4 or later; install a newer driver, or "
               "compile the model for a CPU (gemmac --list-targets)");
}

// In a process of its own: the emulator reads its environment once.
TEST(CudaDriver, IsTooOld) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("GM_CUDA_DRIVER", "11030", 1);
        Driver driver;
        Status status = open_driver(GEMMAC_CUDA_DRIVER, driver);
        fputs(status.text, stderr);
        exit(status.code);
      },
      testing::ExitedWithCode(MACHINE),
      "is of CUDA 11[.]3: this program needs one of CUDA 11[.]4 or later; "
      "install a newer driver, or compile the model for a CPU");
}

TEST(CudaDriver, SaysWhatFailed) {
  const Driver driver = emulated();
  Status status = failed(driver, CUDA_ERROR_OUT_OF_MEMORY, "reserve 8 bytes");
  EXPECT_EQ(status.code, RESOURCES);
  EXPECT_STREQ(status.text, "the NVIDIA driver cannot reserve 8 bytes: "
                            "CUDA_ERROR_OUT_OF_MEMORY (2: out of memory)");
  EXPECT_EQ(failed(driver, CUDA_ERROR_NO_DEVICE, "start").code, MACHINE);
  EXPECT_EQ(failed(driver, CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "load").code,
            MACHINE);
  EXPECT_EQ(failed(driver, CUDA_ERROR_ILLEGAL_ADDRESS, "run").code, RUN_ERROR);
  EXPECT_STREQ(failed(driver, CUresult(12345), "run").text,
               "the NVIDIA driver cannot run: error 12345, which it does not "
               "know");
}
