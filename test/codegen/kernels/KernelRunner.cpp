#include "test/codegen/kernels/KernelRunner.h"

#include "codegen/KernelCompiler.h"
#include "codegen/KernelJit.h"
#include "test/codegen/kernels/DeviceRunner.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/mman.h>
#include <unistd.h>

namespace gemmac {

namespace fs = std::filesystem;

static constexpr size_t guardBytes = 64; // as in runner.c
static constexpr uint8_t guardValue = 0xa5;

std::string KernelRunner::whyNot(const std::string &targetName) {
  const Target *target = findTarget(targetName);
  if (runsHere(*target) || target->device == Device::Cuda)
    return "";
  if (target->arch == "x86_64")
    return "this machine lacks a CPU feature of " + target->name;
  if (access(GEMMAC_CLANG, X_OK) ||
      access("/usr/aarch64-linux-gnu/lib/libc.a", R_OK))
    return "no clang-22 or libc for " + target->arch +
           " to link the test program with";
  if (system(("command -v " + target->emulator + " > /dev/null 2>&1").c_str()))
    return "no " + target->emulator;
  return "";
}

static std::string scratchFolder() {
  std::string name =
      (fs::temp_directory_path() / "gemmac-kernel-XXXXXX").string();
  return mkdtemp(name.data()) ? name : "";
}

KernelRunner::KernelRunner(const KernelSpec &spec,
                           const std::string &targetName)
    : spec(spec), target(*findTarget(targetName)) {
  if (target.device == Device::Cuda) {
    auto result = DeviceRunner::create(spec, target);
    if (result)
      device = std::move(*result);
    else
      ADD_FAILURE() << result.error().message;
    return;
  }
  if (runsHere(target)) {
    auto result = KernelJit::create(spec, target);
    if (result)
      jit = std::move(*result);
    else
      ADD_FAILURE() << result.error().message;
    return;
  }
  auto object = compileCallable(spec, target);
  if (!object) {
    ADD_FAILURE() << object.error().message;
    return;
  }
  std::string folder = scratchFolder();
  std::ofstream(folder + "/kernel.o", std::ios::binary) << *object;
  program = folder + "/program";
  std::string command =
      GEMMAC_CLANG " --target=aarch64-linux-gnu -static --ld-path=" GEMMAC_LLD
                   " " GEMMAC_RUNNER " " +
      folder + "/kernel.o -o " + program;
  EXPECT_EQ(system(command.c_str()), 0) << command;
}

KernelRunner::~KernelRunner() {
  if (!program.empty())
    fs::remove_all(fs::path(program).parent_path());
}

void KernelRunner::runEmulated(std::vector<Bytes> &storage,
                               const std::vector<int64_t> &which,
                               const std::vector<int32_t> &integers) {
  std::string in = program + ".in", out = program + ".out";
  {
    std::ofstream file(in, std::ios::binary);
    auto number = [&](int64_t n) { file.write((const char *)&n, sizeof n); };
    number(int64_t(storage.size()));
    for (const Bytes &bytes : storage)
      number(int64_t(bytes.size()));
    number(int64_t(which.size()));
    for (int64_t i : which)
      number(i);
    number(int64_t(integers.size()));
    for (int32_t i : integers)
      number(i);
    for (const Bytes &bytes : storage)
      file.write((const char *)bytes.data(), std::streamsize(bytes.size()));
  }
  std::string command = target.emulator + " " + program + " " + in + " " + out;
  ASSERT_EQ(system(command.c_str()), 0) << command;
  std::ifstream file(out, std::ios::binary);
  for (Bytes &bytes : storage)
    file.read((char *)bytes.data(), std::streamsize(bytes.size()));
  ASSERT_TRUE(file.good());
}

void KernelRunner::run(const std::map<std::string, Bytes *> &buffers,
                       const std::map<std::string, int32_t> &integers) {
  if (!jit && !device && program.empty())
    return; // failed to compile
  std::vector<Bytes *> originals;
  std::vector<int64_t> which;
  std::vector<int32_t> values;
  size_t known = 0;
  for (const Parameter &parameter : kernelParameters(spec)) {
    if (!parameter.pointer) {
      auto integer = integers.find(parameter.name);
      ASSERT_NE(integer, integers.end())
          << "the test gives no " << parameter.name;
      values.push_back(integer->second);
      continue;
    }
    auto found = buffers.find(parameter.name);
    known += found != buffers.end();
    if (found == buffers.end() || !found->second) {
      which.push_back(-1);
      continue;
    }
    auto same = std::find(originals.begin(), originals.end(), found->second);
    which.push_back(same - originals.begin());
    if (same == originals.end())
      originals.push_back(found->second);
  }
  ASSERT_EQ(known, buffers.size())
      << "the test names an operand that " << spec.family << " lacks";

  // Padded so that the data starts and the guard ends at a cache line.
  std::vector<Bytes> storage;
  for (const Bytes *original : originals) {
    storage.emplace_back(original->size() + 2 * guardBytes, guardValue);
    memcpy(storage.back().data() + guardBytes, original->data(),
           original->size());
  }
  if (jit) {
    std::vector<void *> memory, pointers;
    for (const Bytes &bytes : storage) {
      memory.push_back(aligned_alloc(64, roundUp(int64_t(bytes.size()), 64)));
      memcpy(memory.back(), bytes.data(), bytes.size());
    }
    for (int64_t i : which)
      pointers.push_back(i < 0 ? nullptr
                               : (char *)memory[size_t(i)] + guardBytes);
    jit->call(pointers.data(), values.data());
    for (size_t i = 0; i < storage.size(); ++i) {
      memcpy(storage[i].data(), memory[i], storage[i].size());
      free(memory[i]);
    }
  } else if (device) {
    std::vector<DeviceRunner::Memory> memory;
    for (Bytes &bytes : storage)
      memory.push_back({bytes.data(), bytes.size(), guardBytes});
    std::string problem = device->run(memory, which, integers);
    ASSERT_EQ(problem, "");
  } else {
    ASSERT_NO_FATAL_FAILURE(runEmulated(storage, which, values));
  }
  for (size_t i = 0; i < storage.size(); ++i) {
    Bytes &bytes = storage[i];
    for (size_t j = 0; j < guardBytes; ++j)
      ASSERT_TRUE(bytes[j] == guardValue &&
                  bytes[bytes.size() - 1 - j] == guardValue)
          << spec.family << " wrote outside buffer " << i;
    memcpy(originals[i]->data(), bytes.data() + guardBytes,
           originals[i]->size());
  }
}

//---- test data

uint16_t roundToBf16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  if (std::isnan(f))
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float fromBf16(uint16_t half) {
  uint32_t bits = uint32_t(half) << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

std::vector<double> randomNumbers(std::mt19937 &random, size_t count) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<double> numbers(count);
  for (double &n : numbers)
    do
      n = uniform(random);
    while (std::abs(n) < 1e-6);
  return numbers;
}

Bytes makeNan(int64_t bytes) { return Bytes(size_t(bytes), 0xff); }

static void store(uint8_t *place, double &value, const std::string &encoding) {
  if (encoding == "bf16") {
    uint16_t half = roundToBf16(float(value));
    value = fromBf16(half);
    memcpy(place, &half, 2);
  } else {
    float f = float(value);
    value = f;
    memcpy(place, &f, 4);
  }
}

Bytes makeRows(std::vector<double> &values, int64_t rows, int64_t columns,
               const std::string &encoding, int64_t space) {
  Bytes bytes = makeNan(space * rowBytes(encoding, columns));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      store(&bytes[size_t(r * rowBytes(encoding, columns) +
                          c * elementBytes(encoding))],
            values[size_t(r * columns + c)], encoding);
  return bytes;
}

Bytes makeWeight(std::vector<double> &values, int64_t rows, int64_t columns,
                 const Layout &layout) {
  Bytes bytes(size_t(layout.bytes(rows, columns)), 0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      store(&bytes[size_t(layout.address(r, c, columns))],
            values[size_t(r * columns + c)], layout.format);
  return bytes;
}

Bytes makeInts(const std::vector<int32_t> &values) {
  Bytes bytes(values.size() * 4);
  memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

double readElement(const Bytes &bytes, int64_t row, int64_t column,
                   int64_t stride, const std::string &encoding) {
  const uint8_t *place =
      &bytes[size_t((row * stride + column) * elementBytes(encoding))];
  if (encoding == "bf16") {
    uint16_t half;
    memcpy(&half, place, 2);
    return fromBf16(half);
  }
  float f;
  memcpy(&f, place, 4);
  return f;
}

} // namespace gemmac
