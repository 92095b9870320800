// All cases of the bodies in a program of its own, for machines that only an
// emulator runs: one line per failure, exit code 1 if there is one.
#include "test/codegen/kernels/body_cases.h"

#include <cstdio>

void *bodyBySymbol(const std::string &symbol); // table.cpp of emit_bodies

int main() {
  int failures = 0, count = 0;
  for (const auto &c : gemmac::test::allBodyCases()) {
    std::string failure = c.run([](const auto &spec) {
      return bodyBySymbol(gemmac::kernelSymbol(spec));
    });
    ++count;
    if (!failure.empty())
      ++failures, printf("%s: %s\n", c.name.c_str(), failure.c_str());
  }
  printf("%d of %d cases passed\n", count - failures, count);
  return failures || !count;
}
