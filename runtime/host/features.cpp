// See features.h. This file must run on any machine of its architecture.
#include "runtime/host/features.h"

#include <cstring>

#include <sys/auxv.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace gm {
namespace {

// Where cpuid says it, and which state the operating system must save.
enum Register { A, B, C, D };
enum : unsigned { AVX_STATE = 0x6, AVX512_STATE = 0xE6 };

struct X86Feature {
  const char *name;
  unsigned leaf, subleaf;
  Register word;
  int bit;
  unsigned state;
};

const X86Feature x86_features[] = {
    {"sse3", 1, 0, C, 0, 0},
    {"ssse3", 1, 0, C, 9, 0},
    {"sse4.1", 1, 0, C, 19, 0},
    {"sse4.2", 1, 0, C, 20, 0},
    {"crc32", 1, 0, C, 20, 0},
    {"popcnt", 1, 0, C, 23, 0},
    {"movbe", 1, 0, C, 22, 0},
    {"xsave", 1, 0, C, 27, 0},
    {"avx", 1, 0, C, 28, AVX_STATE},
    {"f16c", 1, 0, C, 29, AVX_STATE},
    {"fma", 1, 0, C, 12, AVX_STATE},
    {"lzcnt", 0x80000001, 0, C, 5, 0},
    {"bmi", 7, 0, B, 3, 0},
    {"avx2", 7, 0, B, 5, AVX_STATE},
    {"bmi2", 7, 0, B, 8, 0},
    {"gfni", 7, 0, C, 8, 0},
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

// Bits of AT_HWCAP and AT_HWCAP2, all of which must be set.
struct ArmFeature {
  const char *name;
  unsigned long hwcap, hwcap2;
};

const ArmFeature arm_features[] = {
    {"neon", 1ul << 1, 0},     {"fullfp16", 1ul << 9 | 1ul << 10, 0},
    {"dotprod", 1ul << 20, 0}, {"fp16fml", 1ul << 23, 0},
    {"sve", 1ul << 22, 0},     {"i8mm", 0, 1ul << 13},
    {"bf16", 0, 1ul << 14},
};

template <class Table>
auto find(const Table &table, const char *name) -> decltype(&table[0]) {
  for (const auto &feature : table)
    if (strcmp(feature.name, name) == 0)
      return &feature;
  return nullptr;
}

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

#endif

} // namespace

bool knows_feature(const char *arch, const char *feature) {
  return strcmp(arch, "x86_64") == 0    ? find(x86_features, feature) != nullptr
         : strcmp(arch, "aarch64") == 0 ? find(arm_features, feature) != nullptr
                                        : false;
}

bool has_feature(const char *feature) {
#if defined(__x86_64__)
  const X86Feature *f = find(x86_features, feature);
  if (!f)
    return false;
  const Registers r = cpuid(f->leaf, f->subleaf);
  const unsigned words[] = {r.a, r.b, r.c, r.d};
  return (words[f->word] >> f->bit & 1) &&
         (saved_state() & f->state) == f->state;
#elif defined(__aarch64__)
  const ArmFeature *f = find(arm_features, feature);
  return f && (getauxval(AT_HWCAP) & f->hwcap) == f->hwcap &&
         (getauxval(AT_HWCAP2) & f->hwcap2) == f->hwcap2;
#else
  return false;
#endif
}

} // namespace gm
