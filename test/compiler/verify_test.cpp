// gemmac --verify with programs that do what scripts say: how memory, failures
// and results are told. Real programs: test/e2e/card-verify.test.
#include "compiler/Verify.h"

#include "runtime/app/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <sys/stat.h>

using namespace gemmac;

namespace {

// A safetensors file of no tensors, through descriptor 3.
const char *const sends =
    R"(printf '\002\000\000\000\000\000\000\000{}' >/dev/fd/3)";

class Verify : public testing::Test {
protected:
  void SetUp() override {
    char name[] = "/tmp/verify-test-XXXXXX";
    ASSERT_TRUE(mkdtemp(name));
    folder = name;
    write("text", "Some words.");
    exact = write("exact", script(1000, 5000, sends));
    program = write("program", script(1000, 5000, result("")));
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::string write(const std::string &name, const std::string &content) {
    std::string path = folder + "/" + name;
    std::ofstream(path) << content;
    chmod(path.c_str(), 0755);
    return path;
  }
  // A program that prints `info` for info --json and else does `eval`.
  static std::string script(const std::string &info, const std::string &eval) {
    return "#!/bin/sh\nif [ $1 = info ]; then\ncat <<'END'\n" + info +
           "\nEND\nexit 0\nfi\n" + eval + "\n";
  }
  // `needed` and `available` MiB, spelled by the writer of real programs.
  static std::string script(int needed, int available,
                            const std::string &eval) {
    gm::Json j;
    j.add("total_bytes", uint64_t(needed) << 20);
    j.add("available_bytes", uint64_t(available) << 20);
    return script(j.out + "}", eval);
  }
  // `skip`: a number that is not there; `nan`: one that is not finite.
  static std::string result(const std::string &more,
                            const std::string &skip = "",
                            const std::string &nan = "") {
    gm::Json j;
    j.add("tokens", uint64_t(9));
    if (skip != "rows")
      j.add("rows", uint64_t(10));
    for (auto [name, value] : {std::pair("ppl", 3.5),
                               {"kl_mean", 0.25},
                               {"kl_median", 0.125},
                               {"kl_p99", 1e-3},
                               {"kl_max", 2.0},
                               {"same_top", 0.75},
                               {"ppl_ratio", 1.5}})
      if (name != skip)
        j.add(name, name == nan ? std::nan("") : value);
    return "cat >/dev/null\ncat <<'END'\n" + j.out + "}\nEND\n" + more;
  }
  Result<FidelityFacts> compare() {
    return compareWithExact({.program = program,
                             .exact = exact,
                             .text = folder + "/text",
                             .window = 100,
                             .quiet = true});
  }
  void fails(ExitCode code, std::vector<std::string> parts) {
    Result<FidelityFacts> facts = compare();
    ASSERT_FALSE(bool(facts));
    EXPECT_EQ(facts.error().code, code) << facts.error().message;
    for (const std::string &part : parts)
      EXPECT_NE(facts.error().message.find(part), std::string::npos)
          << facts.error().message;
  }

  std::string folder, exact, program;
};

TEST_F(Verify, ReadsTheResult) {
  Result<FidelityFacts> f = compare();
  ASSERT_TRUE(bool(f)) << f.error().message;
  EXPECT_EQ(f->text, "text");
  EXPECT_EQ(f->tokens, 10u);
  EXPECT_EQ(f->window, 100);
  EXPECT_EQ(f->klMean, 0.25);
  EXPECT_EQ(f->klMedian, 0.125);
  EXPECT_EQ(f->klP99, 1e-3);
  EXPECT_EQ(f->klMax, 2);
  EXPECT_EQ(f->sameTop, 0.75);
  EXPECT_EQ(f->ppl, 3.5);
  EXPECT_EQ(f->pplRatio, 1.5);
  EXPECT_NE(f->textHash, 0u);
}

TEST_F(Verify, PassesTheFlags) {
  program =
      write("program",
            script(1, 9, "echo \"$@\" >" + folder + "/flags\n" + result("")));
  ASSERT_TRUE(bool(compare()));
  std::string flags;
  std::getline(std::ifstream(folder + "/flags"), flags);
  EXPECT_EQ(flags,
            "eval --json --kl - -c 100 -f " + folder + "/text --window 100");
}

TEST_F(Verify, MemoryOfBothTogether) {
  exact = write("exact", script(3000, 5000, sends));
  program = write("program", script(2001, 5000, result("")));
  fails(ExitCode::Resources, {"2001 MiB", "3000 MiB", "5000 MiB"});
  program = write("program", script(2000, 5000, result("")));
  EXPECT_TRUE(bool(compare()));
}

TEST_F(Verify, FailuresKeepTheirClass) {
  for (auto [code, as] : {std::pair(1, ExitCode::Run),
                          {3, ExitCode::BadInput},
                          {5, ExitCode::Resources},
                          {6, ExitCode::Machine}}) {
    std::string exits = "exit " + std::to_string(code);
    program = write("program", script(1, 9, result(exits)));
    fails(as, {"compiled program", "exit code " + std::to_string(code)});
    // Ends without reading: the exact one must not wait for ever.
    program = write("program", script(1, 9, exits));
    exact = write("exact", script(1, 9,
                                  sends + std::string("\ncat /dev/zero "
                                                      ">/dev/fd/3")));
    fails(as, {"compiled program", "exit code " + std::to_string(code)});
    exact = write("exact", script(1, 9, exits));
    program = write("program", script(1, 9, "cat >/dev/null; sleep 60"));
    fails(as, {"exact program", "exit code " + std::to_string(code)});
    exact = write("exact", script(1, 9, sends));
  }
  program = write("program", script(1, 9, "kill -9 $$"));
  fails(ExitCode::Run, {"compiled program", "signal 9"});
  program = folder + "/absent";
  fails(ExitCode::Run, {"compiled program", "could not be started"});
}

// The guard must not take a number that is not there for nothing.
TEST_F(Verify, MissingNumbersAreErrors) {
  for (const char *info :
       {"", "{}", "{\"total_bytes\": 1}", "{\"available_bytes\": 5}",
        "{\"total_bytes\": -1, \"available_bytes\": 5}",
        "{\"total_bytes\": \"1\", \"available_bytes\": 5}",
        "{\"total\": 1, \"available_bytes\": 5}", "{\"total_bytes\": 1"}) {
    program = write("program", script(info, result("")));
    fails(ExitCode::Run, {"compiled program"});
    program = write("program", script(1, 5000, result("")));
    exact = write("exact", script(info, sends));
    fails(ExitCode::Run, {"exact program"});
    exact = write("exact", script(1, 5000, sends));
  }
  for (const char *name : {"rows", "ppl", "kl_mean", "kl_median", "kl_p99",
                           "kl_max", "same_top", "ppl_ratio"}) {
    program = write("program", script(1, 5000, result("", name)));
    fails(ExitCode::Run, {name, "missing"});
    if (std::string("rows") != name) {
      program = write("program", script(1, 5000, result("", "", name)));
      fails(ExitCode::Run, {name, "missing"});
    }
  }
}

// Any white space between a name and its number.
TEST_F(Verify, ReadsJsonAsJson) {
  program = write("program", script("{\"available_bytes\":5000,\n"
                                    "\"total_bytes\"  :\t4000}",
                                    result("")));
  exact = write("exact", script("{\"available_bytes\":5000,"
                                "\"total_bytes\":1001}",
                                sends));
  fails(ExitCode::Resources, {"needs"});
}

TEST_F(Verify, NothingCompared) {
  program = write("program", script(1, 9, "cat >/dev/null"));
  fails(ExitCode::Run, {"compiled program", "JSON"});
  std::string text = result("");
  text.replace(text.find("\"rows\": 10"), 10, "\"rows\": 0");
  program = write("program", script(1, 9, text));
  fails(ExitCode::Run, {"no tokens"});
}

TEST_F(Verify, ChecksTheText) {
  const Target *target = findTarget("host");
  if (!target)
    GTEST_SKIP() << "no target for this machine";
  EXPECT_TRUE(bool(checkVerify(folder + "/text", *target)));
  write("text", "");
  EXPECT_FALSE(bool(checkVerify(folder + "/text", *target)));
  write("text", "ok \xff");
  Status s = checkVerify(folder + "/text", *target);
  ASSERT_FALSE(bool(s));
  EXPECT_NE(s.error().message.find("offset 3"), std::string::npos);
  EXPECT_FALSE(bool(checkVerify(folder + "/absent", *target)));
  // The architecture alone does not do.
  Target other = *target;
  other.name = "a target of " + other.arch + " that no machine is";
  other.features.push_back("no-such-feature");
  EXPECT_EQ(checkVerify(folder + "/text", other).error().code,
            ExitCode::Machine);
}

} // namespace
