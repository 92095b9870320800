// CPU features by the names that targets require (Target::required). A feature
// counts only if the operating system saves its registers. This file must run
// on any machine of its architecture.
#include "runtime/gemma.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace gm {
namespace {

#if defined(__x86_64__)

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d))
    return {};
  return r;
}

// State components that the OS saves (XCR0), 0 without XSAVE.
unsigned saved_state() {
  if (!(cpuid(1, 0).c & (1u << 27)))
    return 0;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

enum Register { A, B, C, D };
enum : unsigned { AVX_STATE = 0x6, AVX512_STATE = 0xE6 };

struct Feature {
  const char *name;
  unsigned leaf, subleaf;
  Register word;
  int bit;
  unsigned state; // components that must be saved
};

const Feature features[] = {
    {"sse4.2", 1, 0, C, 20, 0},
    {"avx", 1, 0, C, 28, AVX_STATE},
    {"f16c", 1, 0, C, 29, AVX_STATE},
    {"fma", 1, 0, C, 12, AVX_STATE},
    {"movbe", 1, 0, C, 22, 0},
    {"lzcnt", 0x80000001, 0, C, 5, 0},
    {"bmi1", 7, 0, B, 3, 0},
    {"avx2", 7, 0, B, 5, AVX_STATE},
    {"bmi2", 7, 0, B, 8, 0},
    {"avxvnni", 7, 1, A, 4, AVX_STATE},
    {"avx512f", 7, 0, B, 16, AVX512_STATE},
    {"avx512dq", 7, 0, B, 17, AVX512_STATE},
    {"avx512cd", 7, 0, B, 28, AVX512_STATE},
    {"avx512bw", 7, 0, B, 30, AVX512_STATE},
    {"avx512vl", 7, 0, B, 31, AVX512_STATE},
    {"avx512vbmi", 7, 0, C, 1, AVX512_STATE},
    {"avx512vnni", 7, 0, C, 11, AVX512_STATE},
    {"avx512bf16", 7, 1, A, 5, AVX512_STATE},
};

bool present(const char *name) {
  for (const Feature &f : features) {
    if (strcmp(f.name, name) != 0)
      continue;
    Registers r = cpuid(f.leaf, f.subleaf);
    unsigned words[] = {r.a, r.b, r.c, r.d};
    return (words[f.word] >> f.bit & 1) && (saved_state() & f.state) == f.state;
  }
  return false;
}

#elif defined(__aarch64__)

struct Feature {
  const char *name; // as in /proc/cpuinfo
  unsigned long auxv;
  int bit;
};

const Feature features[] = {
    {"asimd", AT_HWCAP, 1},    {"asimdhp", AT_HWCAP, 10},
    {"asimddp", AT_HWCAP, 20}, {"asimdfhm", AT_HWCAP, 23},
    {"sve", AT_HWCAP, 22},     {"i8mm", AT_HWCAP2, 13},
    {"bf16", AT_HWCAP2, 14},
};

bool present(const char *name) {
  for (const Feature &f : features)
    if (strcmp(f.name, name) == 0)
      return getauxval(f.auxv) >> f.bit & 1;
  return false;
}

#else

bool present(const char *) { return false; }

#endif

} // namespace

Status check_features(const char *const *names, int count) {
  for (int i = 0; i < count; ++i)
    if (!present(names[i]))
      return failure(MACHINE,
                     "this program needs the CPU feature '%s', which this "
                     "machine lacks; compile "
                     "the model for another target (gemmac --list-targets)",
                     names[i]);
  return {};
}

} // namespace gm
