// The plain C++ bodies on this machine: all cases through the JIT, and what
// their inner loops look like.
#include "test/codegen/kernels/body_cases.h"
#include "test/codegen/kernels/body_jit.h"

#include <gtest/gtest.h>

using namespace gemmac;
using namespace gemmac::test;

static void runCases(const std::vector<Case> &cases) {
  std::string why;
  if (!canRunBodies(why))
    GTEST_SKIP() << why;
  for (const Case &c : cases)
    EXPECT_EQ(c.run(jitBody), "") << c.name;
}

TEST(BodyKernels, Attend) { runCases(attendCases()); }
TEST(BodyKernels, Append) { runCases(appendCases()); }
TEST(BodyKernels, Top) { runCases(topCases()); }
TEST(BodyKernels, TopExperts) { runCases(topExpertsCases()); }
TEST(BodyKernels, MoeSort) { runCases(moeSortCases()); }

TEST(BodyKernels, Arm) {
#ifdef BODY_ARM_COMMAND
  EXPECT_EQ(system(BODY_ARM_COMMAND), 0);
#else
  GTEST_SKIP() << "no qemu-aarch64 or no cross libc";
#endif
}
