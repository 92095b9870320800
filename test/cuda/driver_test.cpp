// The driver's calls: what programs do, and the codes for what they must not.
#include "test/cuda/driver.h"

#include <cmath>
#include <csignal>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/mman.h>
#include <unistd.h>

using namespace cuemu;

namespace {

const char *const HEAD = ".version 7.4\n.target sm_80\n.address_size 64\n";

/// A kernel of a pointer and a number.
std::string kernel(const std::string &name, const std::string &body) {
  return ".visible .entry " + name +
         "(.param .u64 a, .param .u32 b)\n.maxntid 128, 1, 1\n{\n"
         ".reg .b64 %p;\n.reg .b32 %r<9>;\n.reg .pred %g;\n"
         "ld.param.u64 %p, [a];\nld.param.u32 %r0, [b];\n" +
         body + "\nret;\n}\n";
}

struct DriverTest : testing::Test {
  void SetUp() override {
    driver().sticky = CUDA_SUCCESS;
    ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
    CUcontext context;
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8Async(memory, 0, 4096, stream), CUDA_SUCCESS);
  }
  void TearDown() override {
    driver().sticky = CUDA_SUCCESS;
    cuMemFree_v2(memory);
    cuStreamDestroy_v2(stream);
    settings().setSm(80);
    machine() = {13000, 1, 4, 16ull << 30, false};
  }

  CUfunction load(const std::string &text, const char *name) {
    CUmodule module;
    CUfunction f = nullptr;
    EXPECT_EQ(cuModuleLoadData(&module, text.c_str()), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleGetFunction(&f, module, name), CUDA_SUCCESS);
    return f;
  }
  CUresult launch(CUfunction f, u32 ctas, u32 threads, u32 b, u32 shared = 0) {
    void *params[] = {&memory, &b};
    return cuLaunchKernel(f, ctas, 1, 1, threads, 1, 1, shared, stream, params,
                          nullptr);
  }
  u32 word(int i) {
    u32 value = 0;
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, memory + CUdeviceptr(i) * 4, 4),
              CUDA_SUCCESS);
    return value;
  }

  CUstream stream = nullptr;
  CUdeviceptr memory = 0;
};

TEST_F(DriverTest, DescribesTheMachineThatIsAskedFor) {
  settings().setSm(89);
  machine() = {12000, 1, 128, 24ull << 30, false};
  int major, minor, sms, version;
  size_t bytes;
  char name[40];
  cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0);
  cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0);
  cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0);
  cuDriverGetVersion(&version);
  cuDeviceTotalMem_v2(&bytes, 0);
  cuDeviceGetName(name, sizeof name, 0);
  EXPECT_EQ(major * 10 + minor, 89);
  EXPECT_EQ(sms, 128);
  EXPECT_EQ(version, 12000);
  EXPECT_EQ(bytes, 24ull << 30);
  EXPECT_STREQ(name, "emulated sm_89");
  CUdevice d;
  EXPECT_EQ(cuDeviceGet(&d, 1), CUDA_ERROR_INVALID_DEVICE);
  machine().devices = 0;
  EXPECT_EQ(cuInit(0), CUDA_ERROR_NO_DEVICE);
  const char *text;
  EXPECT_EQ(cuGetErrorName(CUDA_ERROR_NO_DEVICE, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_NO_DEVICE");
}

TEST_F(DriverTest, RefusesImages) {
  CUmodule m;
  char log[200] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  auto load = [&](const std::string &image) {
    void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
    return cuModuleLoadDataEx(&m, image.c_str(), 2, options, values);
  };
  EXPECT_EQ(load("\x7f"
                 "ELF cubin"),
            CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_EQ(load(HEAD + kernel("k", "frob.u32 %r0;")), CUDA_ERROR_INVALID_PTX);
  EXPECT_STREQ(log, "ptx emulator error: k: line 12: unknown opcode 'frob': "
                    "frob.u32 %r0;");
  EXPECT_EQ(load(".version 8.0\n.target sm_90\n"), CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(load(".version 9.9\n.target sm_80\n"),
            CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
  machine().driver = 11030;
  EXPECT_EQ(load(HEAD), CUDA_ERROR_UNSUPPORTED_PTX_VERSION); // 7.4: CUDA 11.4
  machine().driver = 11040;
  EXPECT_EQ(load(HEAD), CUDA_SUCCESS);
  CUfunction f;
  EXPECT_EQ(cuModuleGetFunction(&f, m, "k"), CUDA_ERROR_NOT_FOUND);
}

TEST_F(DriverTest, RefusesLaunches) {
  CUfunction f = load(HEAD + kernel("k", ""), "k");
  EXPECT_EQ(launch(f, 1, 128, 0), CUDA_SUCCESS);
  EXPECT_EQ(launch(f, 1, 129, 0), CUDA_ERROR_INVALID_VALUE); // .maxntid
  EXPECT_EQ(launch(f, 0, 128, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch(f, 1, 32, 0, 49153), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuFuncSetAttribute(
                f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 166913),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuFuncSetAttribute(
                f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000),
            CUDA_SUCCESS);
  EXPECT_EQ(launch(f, 1, 32, 0, 100000), CUDA_SUCCESS);
  int blocks;
  cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 128, 80000);
  EXPECT_EQ(blocks, 2);
  u32 b = 0;
  void *params[] = {&memory, &b};
  EXPECT_EQ(
      cuLaunchCooperativeKernel(f, 9, 1, 1, 128, 1, 1, 80000, stream, params),
      CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  EXPECT_EQ(
      cuLaunchCooperativeKernel(f, 8, 1, 1, 128, 1, 1, 80000, stream, params),
      CUDA_SUCCESS);
  EXPECT_EQ(launch(reinterpret_cast<CUfunction>(8), 1, 32, 0),
            CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(DriverTest, RefusesMemory) {
  machine().memory = 1 << 20;
  cuInit(0);
  CUdeviceptr p;
  EXPECT_EQ(cuMemAlloc_v2(&p, 2 << 20), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAlloc_v2(&p, 0), CUDA_ERROR_INVALID_VALUE);
  size_t free, total;
  cuMemGetInfo_v2(&free, &total);
  EXPECT_EQ(total, 1u << 20);
  EXPECT_LT(free, total);
  char host[8] = {};
  EXPECT_EQ(cuMemcpyHtoD_v2(memory + 4092, host, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoD_v2(CUdeviceptr(host), host, 8),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree_v2(memory + 8), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverTest, FaultsStick) {
  CUfunction f = load(HEAD + kernel("k", "st.global.u32 [%p+4096], %r0;"), "k");
  testing::internal::CaptureStderr();
  EXPECT_EQ(launch(f, 1, 1, 0), CUDA_SUCCESS); // found later, as on a card
  std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.substr(0, 60),
            "cuda emulator: k: line 12: outside global memory: 4 bytes at");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(cuMemAlloc_v2(&memory, 8), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(DriverTest, DeviceMemoryIsNotTheHosts) {
  EXPECT_EXIT(
      {
        volatile u32 *p = reinterpret_cast<u32 *>(memory);
        (void)*p;
      },
      testing::KilledBySignal(SIGSEGV),
      "cuda emulator: the host reads or writes device memory");
}

TEST_F(DriverTest, MappedMemoryAndFlags) {
  void *host = nullptr;
  CUdeviceptr seen = 0;
  ASSERT_EQ(cuMemHostAlloc(&host, 64, CU_MEMHOSTALLOC_DEVICEMAP), CUDA_SUCCESS);
  ASSERT_EQ(cuMemHostGetDevicePointer_v2(&seen, host, 0), CUDA_SUCCESS);
  memset(host, 0, 64);
  CUfunction f =
      load(HEAD + kernel("k", "st.global.u32 [%p], %r0;\n"
                              "st.release.sys.global.u32 [%p+4], 1;"),
           "k");
  u32 b = 55;
  void *params[] = {&seen, &b};
  ASSERT_EQ(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, params, nullptr),
            CUDA_SUCCESS);
  auto *words = static_cast<volatile u32 *>(host);
  while (!words[1]) { // no synchronize
  }
  EXPECT_EQ(words[0], 55u);
  EXPECT_EQ(cuMemFreeHost(host), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(host), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverTest, MemoryOfTheProgram) {
  const size_t page = size_t(getpagesize());
  auto map = [&](int rights) {
    void *p =
        mmap(nullptr, 4 * page, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(p, MAP_FAILED);
    return static_cast<char *>(p);
  };
  char *host = map(PROT_READ | PROT_WRITE), *fixed = map(PROT_READ);
  const unsigned flags =
      CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
  // What kernels may not touch yet.
  CUfunction f = load(HEAD + kernel("k", "ld.global.u32 %r1, [%p];\n"
                                         "add.u32 %r1, %r1, %r0;\n"
                                         "st.global.u32 [%p+4], %r1;"),
                      "k");
  CUdeviceptr seen = CUdeviceptr(host);
  EXPECT_EQ(cuMemHostGetDevicePointer_v2(&seen, host, 0),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemHostUnregister(host), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);

  EXPECT_EQ(cuMemHostRegister_v2(host + 8, page, flags),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemHostRegister_v2(host, page + 8, flags),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemHostRegister_v2(host, 0, flags), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemHostRegister_v2(host, page, 16), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemHostRegister_v2(fixed, page, flags), CUDA_ERROR_INVALID_VALUE);
  munmap(fixed, 4 * page);
  EXPECT_EQ(cuMemHostRegister_v2(fixed, page, flags), CUDA_ERROR_INVALID_VALUE);

  ASSERT_EQ(cuMemHostRegister_v2(host, 2 * page, flags), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostRegister_v2(host + page, 2 * page, flags),
            CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  EXPECT_EQ(cuMemHostRegister_v2(host + 2 * page, page, flags), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostGetDevicePointer_v2(&seen, host, 0), CUDA_SUCCESS);
  EXPECT_EQ(seen, CUdeviceptr(host)); // unified addressing

  auto *words = reinterpret_cast<volatile u32 *>(host);
  words[0] = 30;
  auto run = [&](char *at) {
    CUdeviceptr address = CUdeviceptr(at);
    u32 b = 12;
    void *params[] = {&address, &b};
    EXPECT_EQ(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, params, nullptr),
              CUDA_SUCCESS);
    return cuStreamSynchronize(stream);
  };
  EXPECT_EQ(run(host), CUDA_SUCCESS);
  EXPECT_EQ(words[1], 42u);
  // The contents stay, and copies take it as the host memory that it is.
  EXPECT_EQ(cuMemFreeHost(host), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemHostUnregister(host + page),
            CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(memory, host, 8, stream), CUDA_SUCCESS);
  EXPECT_EQ(word(1), 42u);
  EXPECT_EQ(cuMemHostUnregister(host + 2 * page), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostUnregister(host), CUDA_SUCCESS);
  EXPECT_EQ(words[1], 42u);
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(host), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("no device address"),
            std::string::npos);
  munmap(host, 4 * page);
}

TEST_F(DriverTest, GraphsRunWhatWasCaptured) {
  CUfunction f = load(HEAD + kernel("k", "ld.global.u32 %r1, [%p];\n"
                                         "mad.lo.u32 %r1, %r1, 10, %r0;\n"
                                         "st.global.u32 [%p], %r1;"),
                      "k");
  CUgraph graph;
  CUgraphExec exec;
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, 1), CUDA_SUCCESS);
  launch(f, 1, 1, 1);
  launch(f, 1, 1, 2); // parameters are taken now
  CUdeviceptr p;
  ASSERT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  size_t nodes;
  ASSERT_EQ(cuGraphGetNodes(graph, nullptr, &nodes), CUDA_SUCCESS);
  EXPECT_EQ(nodes, 2u);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(word(0), 0u);
  cuGraphLaunch(exec, stream);
  cuGraphLaunch(exec, stream);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(word(0), 1212u);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphLaunch(exec, stream), CUDA_ERROR_INVALID_HANDLE);
  // What cannot be captured spoils the capture.
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAlloc_v2(&p, 8), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(launch(f, 1, 1, 1), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(cuStreamEndCapture(stream, &graph),
            CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(cuStreamEndCapture(stream, &graph),
            CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
}

/// Value 1 is written by the first kernel; the second copies it, reading
/// before or after its griddepcontrol.wait.
u32 earlyReader(DriverTest &t, CUstream stream, CUdeviceptr memory,
                CUfunction first, CUfunction second) {
  u32 one = 1;
  void *params[] = {&memory, &one};
  CUlaunchAttribute attribute = {};
  attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attribute.value = 1;
  CUlaunchConfig config = {1, 1, 1, 1, 1, 1, 0, stream, &attribute, 1};
  CUgraph graph;
  CUgraphExec exec;
  cuStreamBeginCapture_v2(stream, 2);
  cuLaunchKernel(first, 1, 1, 1, 1, 1, 1, 0, stream, params, nullptr);
  EXPECT_EQ(cuLaunchKernelEx(&config, second, params, nullptr), CUDA_SUCCESS);
  cuStreamEndCapture(stream, &graph);
  cuGraphInstantiateWithFlags(&exec, graph, 0);
  EXPECT_EQ(cuGraphLaunch(exec, stream), CUDA_SUCCESS);
  u32 value = 0;
  cuMemcpyDtoH_v2(&value, memory + 4, 4);
  return value;
}

TEST_F(DriverTest, KernelsStartEarlyInGraphs) {
  settings().setSm(90);
  std::string head = ".version 8.0\n.target sm_90\n";
  CUfunction first = load(head + kernel("k", "st.global.u32 [%p], %r0;"), "k");
  CUfunction right = load(head + kernel("k", "griddepcontrol.wait;\n"
                                             "ld.global.u32 %r1, [%p];\n"
                                             "st.global.u32 [%p+4], %r1;"),
                          "k");
  CUfunction wrong = load(head + kernel("k", "ld.global.u32 %r1, [%p];\n"
                                             "griddepcontrol.wait;\n"
                                             "st.global.u32 [%p+4], %r1;"),
                          "k");
  EXPECT_EQ(earlyReader(*this, stream, memory, first, right), 1u);
  cuMemsetD8Async(memory, 0, 64, stream);
  EXPECT_EQ(earlyReader(*this, stream, memory, first, wrong), 0u);
}

TEST_F(DriverTest, EventsAndVariables) {
  CUevent a, b;
  cuEventCreate(&a, 0);
  cuEventCreate(&b, 0);
  float ms = -1;
  EXPECT_EQ(cuEventElapsedTime(&ms, a, b), CUDA_ERROR_INVALID_HANDLE);
  cuEventRecord(a, stream);
  cuEventRecord(b, stream);
  EXPECT_EQ(cuEventSynchronize(b), CUDA_SUCCESS);
  EXPECT_EQ(cuEventElapsedTime(&ms, a, b), CUDA_SUCCESS);
  EXPECT_GE(ms, 0.0f);
  CUmodule m;
  std::string text = std::string(HEAD) +
                     ".global .align 4 .b32 table[3] = {7, -8, 9};\n"
                     ".const .align 8 .u64 where = generic(table);\n";
  ASSERT_EQ(cuModuleLoadData(&m, text.c_str()), CUDA_SUCCESS);
  CUdeviceptr table, where;
  size_t bytes;
  ASSERT_EQ(cuModuleGetGlobal_v2(&table, &bytes, m, "table"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 12u);
  ASSERT_EQ(cuModuleGetGlobal_v2(&where, nullptr, m, "where"), CUDA_SUCCESS);
  int values[3];
  u64 pointer;
  cuMemcpyDtoH_v2(values, table, 12);
  cuMemcpyDtoH_v2(&pointer, where, 8);
  EXPECT_EQ(values[1], -8);
  EXPECT_EQ(pointer, table);
}

TEST_F(DriverTest, RunsWhatClangCompiles) {
  std::ifstream file(GEMMAC_CUDA_KERNELS);
  std::stringstream text;
  text << file.rdbuf();
  CUmodule m;
  ASSERT_EQ(cuModuleLoadData(&m, text.str().c_str()), CUDA_SUCCESS);
  auto function = [&](const char *name) {
    CUfunction f = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&f, m, name), CUDA_SUCCESS);
    return f;
  };
  constexpr int N = 1000;
  std::vector<float> x(1024), y(1024);
  for (int i = 0; i < 1024; ++i)
    x[size_t(i)] = std::ldexp(float((i * 7919) % 1009 - 500), -7);
  CUdeviceptr dx, dy, dz, ds;
  for (CUdeviceptr *p : {&dx, &dy, &dz, &ds})
    ASSERT_EQ(cuMemAlloc_v2(p, 4096), CUDA_SUCCESS);
  cuMemcpyHtoD_v2(dx, x.data(), 4096);
  auto run = [&](const char *name, u32 ctas, std::vector<void *> params) {
    EXPECT_EQ(cuLaunchKernel(function(name), ctas, 1, 1, 1024 / ctas, 1, 1, 0,
                             nullptr, params.data(), nullptr),
              CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  };
  int n = N;
  run("polynomial", 4, {&dx, &dy, &n});
  cuMemcpyDtoH_v2(y.data(), dy, 4 * N);
  for (size_t i = 0; i < N; ++i) {
    float s = 1, t = 1;
    for (int k = 1; k < 12; ++k)
      t = t * x[i] / float(k), s += t;
    EXPECT_EQ(y[i], s < 0 ? -s : std::sqrt(s)) << i;
  }
  void *params[] = {&dx, &dy, &n};
  EXPECT_EQ(cuLaunchKernel(function("sum"), 1, 1, 1, 256, 1, 1, 0, nullptr,
                           params, nullptr),
            CUDA_SUCCESS);
  cuMemcpyDtoH_v2(y.data(), dy, 4);
  double exact = 0;
  for (int i = 0; i < N; ++i)
    exact += double(x[size_t(i)]);
  EXPECT_NEAR(y[0], exact, 1e-3);
  run("quantize", 8, {&dx, &dy, &ds, &dz});
  std::vector<i8> q(1024);
  std::vector<float> scale(32);
  cuMemcpyDtoH_v2(q.data(), dy, 1024);
  cuMemcpyDtoH_v2(scale.data(), ds, 128);
  for (size_t i = 0; i < 1024; ++i) {
    float most = 0;
    for (size_t k = i / 32 * 32; k < i / 32 * 32 + 32; ++k)
      most = std::fmax(most, std::fabs(x[k]));
    EXPECT_EQ(scale[i / 32], most / 127);
    EXPECT_EQ(q[i], i8(std::rint(x[i] / (most / 127)))) << i;
  }
  run("steps", 8, {&dy});
  std::vector<u32> steps(1024);
  cuMemcpyDtoH_v2(steps.data(), dy, 4096);
  auto collatz = [](u64 v) {
    u32 s = 0;
    for (; v != 1; ++s)
      v = v % 2 ? 3 * v + 1 : v / 2;
    return s;
  };
  for (u32 i = 0; i < 1024; ++i)
    EXPECT_EQ(steps[i], collatz(i + 1) * 2 + (i % 3 ? 0 : collatz(i + 5)));
}

/// As a program sees it: one name to load, every call to be found.
TEST(Library, LoadsAndAnswers) {
  void *library = dlopen(GEMMAC_CUDA_DRIVER, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  for (const char *name :
       {"cuInit", "cuDeviceTotalMem_v2", "cuModuleLoadDataEx",
        "cuModuleGetFunction", "cuFuncSetAttribute", "cuMemAlloc_v2",
        "cuMemHostAlloc", "cuMemcpyHtoDAsync_v2", "cuMemsetD8Async",
        "cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags",
        "cuGraphLaunch", "cuLaunchKernel", "cuLaunchKernelEx",
        "cuLaunchCooperativeKernel", "cuEventElapsedTime", "cuMemGetInfo_v2",
        "cuOccupancyMaxActiveBlocksPerMultiprocessor", "cuGetErrorString"})
    EXPECT_NE(dlsym(library, name), nullptr) << name;
  auto init =
      reinterpret_cast<CUresult (*)(unsigned)>(dlsym(library, "cuInit"));
  EXPECT_EQ(init(1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(init(0), CUDA_SUCCESS);
}

} // namespace
