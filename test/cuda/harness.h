// PTX of a test, run without the driver: programs, buffers, and statements
// applied to many values. Must not know what they should give.
#pragma once

#include "test/cuda/grid.h"

#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace cuemu {

/// A module of entries, loaded when made.
class Program {
public:
  explicit Program(const std::string &text) : ptx(parsePtx(text)) {
    memory().limit = 16ull << 30;
    for (auto &[name, f] : ptx->functions)
      if (f.entry)
        kernels[name] = decodeKernel(*ptx, f);
  }

  /// PARAMS are of eight bytes each.
  void run(const std::string &name, u32 ctas, u32 threads,
           const std::vector<u64> &params, u64 shared = 0,
           bool cooperative = false) {
    GridRun(launch(name, ctas, threads, params, shared, cooperative)).finish();
  }

  Launch launch(const std::string &name, u32 ctas, u32 threads,
                const std::vector<u64> &params, u64 shared = 0,
                bool cooperative = false) {
    Launch l;
    l.kernel = kernels.at(name).get();
    l.grid[0] = ctas, l.block[0] = threads;
    l.dynamicShared = shared, l.cooperative = cooperative;
    l.params.resize(params.size() * 8);
    memcpy(l.params.data(), params.data(), l.params.size());
    EXPECT_EQ(l.params.size(), l.kernel->paramBytes);
    return l;
  }

  /// What run reports: its text, or "" when nothing.
  std::string fault(u32 ctas, u32 threads, const std::vector<u64> &params,
                    u64 shared = 0, bool cooperative = false) {
    try {
      run(kernels.begin()->first, ctas, threads, params, shared, cooperative);
    } catch (Fault &f) {
      code = f.code;
      return f.what();
    }
    return "";
  }
  int code = 0;

private:
  std::unique_ptr<Ptx> ptx;
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
};

/// Device memory for COUNT values.
template <class T>
struct Buffer {
  explicit Buffer(size_t count, T value = {}) : count(count) {
    memory().limit = 16ull << 30;
    address = memory().allocate(count * sizeof(T));
    std::fill_n(data(), count, value);
  }
  ~Buffer() { memory().free(address, false); }
  Buffer(const Buffer &) = delete;
  T *data() { return reinterpret_cast<T *>(memory().view(address)); }
  T &operator[](size_t i) { return data()[i]; }
  size_t count;
  u64 address;
};

/// Lines of a kernel `k` of N 64-bit parameters in %p0.. (the first line of
/// BODY is line 17 + N); %t is the thread, %cta the CTA, %f %r %q %h %g are
/// registers of 32, 32, 64, 16 bits and predicates.
inline std::string kernel(int params, const std::string &body) {
  std::string s = ".version 8.0\n.target sm_80\n.address_size 64\n"
                  ".extern .shared .align 16 .b8 dynamic[];\n"
                  ".visible .entry k(";
  for (int i = 0; i < params; ++i)
    s += std::string(i ? ", " : "") + ".param .u64 k_" + std::to_string(i);
  s += ")\n{\n.reg .b64 %p<8>;\n.reg .b32 %t, %cta;\n.reg .b32 %f<40>;\n"
       ".reg .b32 %r<40>;\n.reg .b64 %q<40>;\n.reg .b16 %h<40>;\n"
       ".reg .pred %g<16>;\nmov.u32 %t, %tid.x;\nmov.u32 %cta, %ctaid.x;\n";
  for (int i = 0; i < params; ++i) {
    std::string n = std::to_string(i);
    s += "ld.param.u64 %p" + n + ", [k_" + n + "];\n";
  }
  return s + "// body\n" + body + "\nret;\n}\n";
}
constexpr int BODY_LINE = 16;

/// The values that arithmetic gets wrong, and random ones.
template <class T>
T sample(std::mt19937_64 &random) {
  static const u64 BITS[] = {
      0,          1,          2,          31,         32,         33,
      0x7f,       0x80,       0xff,       0x7fff,     0x8000,     0xffff,
      0x7fffffff, 0x80000000, 0xffffffff, ~0ull,      1ull << 63, 0x3f800000,
      0x7f800000, 0xff800000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff,
      0x7fc00000, 0x3f800001, 0x4b000001, 0x40490fdb};
  u64 bits = random() % 3 ? random() : BITS[random() % std::size(BITS)];
  if (random() % 4 == 0 && sizeof(T) == 4) // near one
    bits = (bits & 0x80ffffff) | 0x3f000000;
  T value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
std::string bits(T v) {
  u64 b = 0;
  memcpy(&b, &v, sizeof v);
  char text[20];
  snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(b));
  return text;
}

inline std::string suffix(size_t bytes) {
  return "b" + std::to_string(8 * bytes);
}

/// STATEMENTS of %d, %a, %b, %c (also named by type in `.reg`s of the right
/// size) on many values against F, bit by bit.
template <class R, class A, class B = u32, class C = u32, class F>
void expectValues(const std::string &statements, F f, int seed = 1) {
  constexpr size_t N = 2048;
  Buffer<R> d(N);
  Buffer<A> a(N);
  Buffer<B> b(N);
  Buffer<C> c(N);
  std::mt19937_64 random{u64(seed)};
  for (size_t i = 0; i < N; ++i)
    a[i] = sample<A>(random), b[i] = sample<B>(random),
    c[i] = sample<C>(random);
  std::string body;
  auto declare = [&](const char *name, size_t bytes) {
    body += ".reg .b" + std::to_string(std::max<size_t>(16, 8 * bytes)) + " %" +
            name + ";\n";
  };
  declare("d", sizeof(R)), declare("a", sizeof(A));
  declare("b", sizeof(B)), declare("c", sizeof(C));
  body += ".reg .pred %p, %q;\nmov.u32 %r0, %ntid.x;\n"
          "mad.lo.u32 %t, %cta, %r0, %t;\n";
  auto at = [&](int param, size_t bytes) {
    return "mul.wide.u32 %q0, %t, " + std::to_string(bytes) +
           ";\nadd.u64 %q0, %q0, %p" + std::to_string(param) + ";\n";
  };
  body += at(1, sizeof(A)) + "ld.global." + suffix(sizeof(A)) + " %a, [%q0];\n";
  body += at(2, sizeof(B)) + "ld.global." + suffix(sizeof(B)) + " %b, [%q0];\n";
  body += at(3, sizeof(C)) + "ld.global." + suffix(sizeof(C)) + " %c, [%q0];\n";
  body += statements + "\n";
  body += at(0, sizeof(R)) + "st.global." + suffix(sizeof(R)) + " [%q0], %d;\n";
  Program(kernel(4, body))
      .run("k", N / 128, 128, {d.address, a.address, b.address, c.address});
  int wrong = 0;
  for (size_t i = 0; i < N && wrong < 3; ++i) {
    R want = R(f(a[i], b[i], c[i]));
    if (memcmp(&want, &d[i], sizeof want)) {
      ++wrong;
      ADD_FAILURE() << statements << " of " << bits(a[i]) << " " << bits(b[i])
                    << " " << bits(c[i]) << " gives " << bits(d[i])
                    << " instead of " << bits(want);
    }
  }
}

} // namespace cuemu
