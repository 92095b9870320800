// A program for cards as it ships, the fake model's: its commands on the
// emulated card and on machines that cannot run it.
#include "test/runtime/fake_model.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/wait.h>

namespace {

std::string read(const std::string &path) {
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

struct Ran {
  int code;
  std::string out; // and what it says of errors
  bool has(const std::string &text) const {
    return out.find(text) != std::string::npos;
  }
};

class CudaProgram : public testing::Test {
protected:
  CudaProgram() {
    char name[] = "/tmp/cuda_program_test_XXXXXX";
    folder = mkdtemp(name);
    program = folder + "/program";
    fake::write_file(program, fake::device_program_bytes(
                                  nullptr, read(GEMMAC_FAKE_PROGRAM)));
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    // Hides the driver that the machine may have.
    std::filesystem::create_directory(folder + "/none");
    fake::write_file(folder + "/none/libcuda.so.1", "no library");
  }
  ~CudaProgram() override { std::filesystem::remove_all(folder); }

  Ran run(const std::string &arguments, const std::string &environment = "",
          const std::string &driver = GEMMAC_CUDA_EMULATOR) {
    const std::string command = environment + " LD_LIBRARY_PATH=" + driver +
                                " " + program + " " + arguments + " 2>&1";
    FILE *pipe = popen(command.c_str(), "r");
    Ran ran{-1, ""};
    char text[4096];
    while (size_t n = fread(text, 1, sizeof text, pipe))
      ran.out.append(text, n);
    const int status = pclose(pipe);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return ran;
  }

  std::string folder, program;
};

TEST_F(CudaProgram, Runs) {
  std::vector<int32_t> ids = {5, 77, 3, 20, 41};
  std::ofstream(folder + "/ids") << "5 77 3 20 41";
  std::string expected;
  for (int i = 0; i < 12; ++i) {
    const std::vector<float> hidden = fake::expected_hidden(ids);
    int best = 0;
    for (int v = 1; v < fake::VOCAB; ++v)
      if (fake::expected_logit(hidden.data(), v) >
          fake::expected_logit(hidden.data(), best))
        best = v;
    ids.push_back(best);
    expected += (i ? " " : "") + std::to_string(best);
  }
  const Ran ran = run("run --tokens " + folder + "/ids -n 12 --temp 0");
  EXPECT_EQ(ran.code, 0) << ran.out;
  EXPECT_TRUE(ran.has(expected)) << ran.out << expected;
}

TEST_F(CudaProgram, DescribesItself) {
  Ran ran = run("info");
  EXPECT_EQ(ran.code, 0);
  for (const char *text :
       {"emulated sm_80, compute capability 8.0, 16384 MiB, driver of CUDA "
        "13.0",
        "PTX for compute capability 8.0 or later", "device  activations",
        "pinned  rope tables", "host    libc, engine", "on the device"})
    EXPECT_TRUE(ran.has(text)) << text << "\n" << ran.out;
  EXPECT_FALSE(ran.has(" threads (ring")) << ran.out;
  EXPECT_FALSE(ran.has("stacks")) << ran.out;
  ran = run("info --json");
  EXPECT_EQ(ran.code, 0);
  for (const char *text :
       {"\"images\": [0]", "\"name\": \"emulated sm_80\", \"sm\": 80",
        "\"row\": \"device\"", "\"device_bytes\": "})
    EXPECT_TRUE(ran.has(text)) << text << "\n" << ran.out;
}

TEST_F(CudaProgram, SaysThatThereIsNoDriver) {
  Ran ran = run("info", "", folder + "/none");
  EXPECT_EQ(ran.code, 0);
  EXPECT_TRUE(ran.has("none that can be used: this program needs the NVIDIA "
                      "driver"))
      << ran.out;
  ran = run("info --json", "", folder + "/none");
  EXPECT_EQ(ran.code, 0);
  EXPECT_TRUE(ran.has("\"missing\": \"this program needs")) << ran.out;
  ran = run("bench -p 0 -n 1 -r 1", "", folder + "/none");
  EXPECT_EQ(ran.code, 6);
  EXPECT_TRUE(ran.has("error: this program needs the NVIDIA driver"))
      << ran.out;
}

TEST_F(CudaProgram, Flags) {
  Ran ran = run("bench --help");
  EXPECT_TRUE(ran.has("--device N")) << ran.out;
  EXPECT_TRUE(ran.has("--probe"));
  for (const char *text : {"--threads", "--load"})
    EXPECT_FALSE(ran.has(text)) << text;
  for (const char *command : {"bench -p 0 -n 1 -r 1", "run --tokens -"}) {
    const std::string begin = std::string("</dev/null ") + command;
    ran = run(begin + " -t 2");
    EXPECT_EQ(ran.code, 2) << ran.out;
    EXPECT_TRUE(ran.has("-t")) << ran.out;
  }
  for (const char *device : {"1", "-1"}) {
    ran = run(std::string("bench -p 0 -n 1 -r 1 --device ") + device);
    EXPECT_EQ(ran.code, 2);
    EXPECT_TRUE(ran.has("must be 0 to 0, this machine has 1 card, got"))
        << ran.out;
  }
  ran = run("bench -p 0 -n 1 -r 1 --device 1", "GM_CUDA_DEVICES=2");
  EXPECT_EQ(ran.code, 0) << ran.out;
}

TEST_F(CudaProgram, CannotRun) {
  const std::string bench = "bench -p 0 -n 1 -r 1";
  Ran ran = run(bench, "GM_CUDA_SM=75");
  EXPECT_EQ(ran.code, 6);
  EXPECT_TRUE(ran.has("needs a card of compute capability 8.0 or later, "
                      "'emulated sm_75' has 7.5"))
      << ran.out;
  ran = run(bench, "GM_CUDA_DEVICES=0");
  EXPECT_EQ(ran.code, 6);
  ran = run(bench + " -c 2048", "GM_CUDA_MEMORY=33595K");
  EXPECT_EQ(ran.code, 5);
  EXPECT_TRUE(ran.has("the largest context that fits is -c ") ||
              ran.has("the largest that fits is -c "))
      << ran.out;
}

TEST_F(CudaProgram, Measures) {
  const std::string trace = folder + "/trace";
  const Ran ran = run("bench -p 20 -n 0 -r 2 --no-kv-skip --profile " + trace);
  EXPECT_EQ(ran.code, 0) << ran.out;
  EXPECT_TRUE(ran.has("keys (few)")) << ran.out;
  const std::string text = read(trace);
  EXPECT_NE(text.find("\"cat\": \"call\""), std::string::npos);
  EXPECT_EQ(text.find("\"dur\": -"), std::string::npos);
}

} // namespace
