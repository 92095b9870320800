// Cases of the plain C++ bodies against loops in double. No test framework and
// no LLVM, so that the same cases run inside the unit test (JIT) and in a
// static program of another architecture.
#pragma once

#include "targets/Kernels.h"

#include <functional>
#include <string>
#include <vector>

namespace gemmac::test {

// Gives the address of a body, or null: then the case only asks (which is how
// one learns what a program needs) and checks nothing.
using Lookup = std::function<void *(const KernelSpec &)>;

struct Case {
  std::string name;
  // "" if all is well, else what is wrong.
  std::function<std::string(const Lookup &)> run;
  // Takes seconds where every instruction is emulated.
  bool isLarge = false;
};

std::vector<Case> attendCases();
std::vector<Case> appendCases();
std::vector<Case> topCases();
std::vector<Case> topExpertsCases();
std::vector<Case> moeSortCases();
std::vector<Case> allBodyCases();

} // namespace gemmac::test
