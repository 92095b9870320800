// Tensor cores: fragments by CuTe's tables (strides of MMA_Traits, sm80), sums
// by plain loops and, for 16-bit floats, by the published rule in integers.
#include "test/cuda/formats.h"
#include "test/cuda/harness.h"

using namespace cuemu;

namespace {

/// A layout as CuTe writes it: lane (4, 8), value up to three of `shape`.
struct Layout {
  int lane[2];             // strides of lane % 4, lane / 4
  int shape[3], stride[3]; // of values, the first fastest
  int at(int l, int v) const {
    int i = l % 4 * lane[0] + l / 4 * lane[1];
    for (int n = 0; n < 3; ++n)
      i += v % shape[n] * stride[n], v /= shape[n];
    return i;
  }
};
// Indices are column-major: row + rows * column; A 16 x K, B 8 x K, C 16 x 8.
const Layout A32 = {{64, 1}, {4, 2, 2}, {16, 8, 256}},
             B32 = {{32, 1}, {4, 2, 1}, {8, 128, 0}},
             A16 = {{32, 1}, {2, 2, 2}, {16, 8, 128}},
             B16 = {{16, 1}, {2, 2, 1}, {8, 64, 0}},
             A16BYTES = {{64, 1}, {4, 2, 1}, {16, 8, 0}},
             B16BYTES = {{32, 1}, {4, 1, 1}, {8, 0, 0}},
             C = {{32, 1}, {2, 2, 1}, {16, 8, 0}};

/// OP of fragments; registers are the 32-bit words of a lane. Returns the
/// four results of each lane.
std::vector<u32> multiply(const std::string &op, const std::vector<u32> &a,
                          const std::vector<u32> &b,
                          const std::vector<u32> &c) {
  int na = int(a.size() / 32), nb = int(b.size() / 32);
  Buffer<u32> da(a.size()), db(b.size()), dc(128), dd(128);
  std::copy(a.begin(), a.end(), da.data());
  std::copy(b.begin(), b.end(), db.data());
  std::copy(c.begin(), c.end(), dc.data());
  std::string body;
  auto load = [&](int count, int param, int first) {
    std::string list;
    body += "mad.wide.u32 %q0, %t, " + std::to_string(4 * count) + ", %p" +
            std::to_string(param) + ";\n";
    for (int i = 0; i < count; ++i) {
      std::string r = "%r" + std::to_string(first + i);
      body += "ld.global.u32 " + r + ", [%q0+" + std::to_string(4 * i) + "];\n";
      list += (i ? ", " : "") + r;
    }
    return "{" + list + "}";
  };
  std::string fa = load(na, 1, 0), fb = load(nb, 2, 10), fc = load(4, 3, 20);
  body += op + " " + fc + ", " + fa + ", " + fb + ", " + fc + ";\n" +
          "mad.wide.u32 %q0, %t, 16, %p0;\n"
          "st.global.v4.u32 [%q0], " +
          fc + ";";
  Program(kernel(4, body))
      .run("k", 1, 32, {dd.address, da.address, db.address, dc.address});
  return std::vector<u32>(dd.data(), dd.data() + 128);
}

/// Elements of E per word from a matrix by LAYOUT, a lane's words together.
template <class T>
std::vector<u32> fragment(const std::vector<T> &m, const Layout &layout) {
  int values = int(m.size()) / 32;
  std::vector<T> out(m.size());
  for (int l = 0; l < 32; ++l)
    for (int v = 0; v < values; ++v)
      out[size_t(l * values + v)] = m[size_t(layout.at(l, v))];
  std::vector<u32> words(m.size() * sizeof(T) / 4);
  memcpy(words.data(), out.data(), words.size() * 4);
  return words;
}

template <class TA, class TB>
void checkIntegers(const std::string &types, int k, const Layout &la,
                   const Layout &lb) {
  std::mt19937_64 random(7);
  std::vector<TA> a(size_t(16 * k));
  std::vector<TB> b(size_t(8 * k));
  std::vector<u32> c(128);
  for (auto &x : a)
    x = TA(random());
  for (auto &x : b)
    x = TB(random());
  for (auto &x : c)
    x = u32(random());
  std::vector<u32> got =
      multiply("mma.sync.aligned.m16n8k" + std::to_string(k) + ".row.col.s32." +
                   types + ".s32",
               fragment(a, la), fragment(b, lb), fragment(c, C));
  for (int l = 0; l < 32; ++l)
    for (int v = 0; v < 4; ++v) {
      int at = C.at(l, v), m = at % 16, n = at / 16;
      u32 want = c[size_t(at)];
      for (int i = 0; i < k; ++i)
        want += u32(int(a[size_t(m + 16 * i)]) * int(b[size_t(n + 8 * i)]));
      EXPECT_EQ(got[size_t(l * 4 + v)], want) << types << " " << m << " " << n;
    }
}

TEST(Tensor, Integers) {
  checkIntegers<i8, i8>("s8.s8", 32, A32, B32);
  checkIntegers<u8, i8>("u8.s8", 32, A32, B32);
  checkIntegers<u8, u8>("u8.u8", 32, A32, B32);
  checkIntegers<i8, i8>("s8.s8", 16, A16BYTES, B16BYTES);
}

struct Number {
  i64 significand; // of `bits` bits of fraction
  int exponent, bits;
};

/// Value of a format of FRACTION bits and BIAS, or zero.
Number number(u32 x, int fraction, int exponentBits) {
  int bias = (1 << (exponentBits - 1)) - 1;
  int e = int(x >> fraction & ((1u << exponentBits) - 1));
  i64 s = x & ((1u << fraction) - 1);
  if (e)
    s |= i64(1) << fraction;
  bool negative = x >> (fraction + exponentBits) & 1;
  return {negative ? -s : s, std::max(e, 1) - bias, fraction};
}

/// The rule in integers: every term is cut to a multiple of 2^(top - F).
float byRule(const std::vector<Number> &a, const std::vector<Number> &b,
             float c, int block, int F, int zero) {
  for (size_t k = 0; k < a.size(); k += size_t(block)) {
    std::vector<Number> terms{number(std::bit_cast<u32>(c), 23, 8)};
    for (size_t i = k; i < k + size_t(block); ++i)
      terms.push_back({a[i].significand * b[i].significand,
                       a[i].exponent + b[i].exponent, a[i].bits + b[i].bits});
    int top = -10000;
    for (Number &t : terms) {
      if (!t.significand)
        t.exponent = zero;
      top = std::max(top, t.exponent);
    }
    i64 sum = 0;
    for (const Number &t : terms) {
      int shift = t.exponent - t.bits - (top - F);
      i64 size = std::abs(t.significand);
      size = shift >= 0 ? size << shift : shift > -63 ? size >> -shift : 0;
      sum += t.significand < 0 ? -size : size;
    }
    i64 size = std::abs(sum);
    int unit = top - F; // the sum is size * 2^unit; cut to 24 bits
    while (size >= 1 << 24 || (size && unit < -149))
      size >>= 1, ++unit;
    c = float(std::ldexp(sum < 0 ? -double(size) : double(size), unit));
    c = c == 0 ? 0.0f : c;
  }
  return c;
}

void checkHalves(bool bf, int sm) {
  int before = settings().sm;
  settings().setSm(sm);
  int fraction = bf ? 7 : 10, exponent = bf ? 8 : 5, wrong = 0;
  std::mt19937_64 random(11);
  for (int round = 0; round < 20; ++round) {
    std::vector<u16> a(256), b(128);
    std::vector<u32> c(128);
    auto half = [&] { // near one, far apart, subnormal, zero
      u32 middle = bf ? 127 : 15, range = round % 2 ? 4 : bf ? 60 : 14;
      u32 e = middle - range + u32(random() % (2 * range));
      e = random() % 20 ? e : 0;
      return u16((random() & 1) << 15 | e << fraction |
                 (random() & ((1u << fraction) - 1)));
    };
    for (auto &x : a)
      x = half();
    for (auto &x : b)
      x = half();
    for (auto &x : c)
      x = u32(random() & 0x807fffff) | u32(110 + random() % 30) << 23;
    std::vector<u32> got =
        multiply(std::string("mma.sync.aligned.m16n8k16.row.col.f32.") +
                     (bf ? "bf16.bf16.f32" : "f16.f16.f32"),
                 fragment(a, A16), fragment(b, B16), fragment(c, C));
    for (int l = 0; l < 32; ++l)
      for (int v = 0; v < 4; ++v) {
        int at = C.at(l, v), m = at % 16, n = at / 16;
        std::vector<Number> x, y;
        for (int i = 0; i < 16; ++i) {
          x.push_back(number(a[size_t(m + 16 * i)], fraction, exponent));
          y.push_back(number(b[size_t(n + 8 * i)], fraction, exponent));
        }
        float want =
            byRule(x, y, std::bit_cast<float>(c[size_t(at)]), sm >= 90 ? 16 : 8,
                   sm >= 90 ? 25 : 24, sm >= 90 ? -133 : -132);
        wrong += got[size_t(l * 4 + v)] != std::bit_cast<u32>(want);
      }
  }
  EXPECT_EQ(wrong, 0) << (bf ? "bf16" : "f16") << " sm_" << sm;
  settings().setSm(before);
}

TEST(Tensor, HalvesFollowTheRuleOfTheirArchitecture) {
  for (int sm : {80, 89, 90, 100})
    for (bool bf : {true, false})
      checkHalves(bf, sm);
}

TEST(Tensor, CutsWhereARoundingWouldNot) {
  // 1 + 2^-24 in one block: the small product is cut at 2^-24 of the largest,
  // so it stays; at sm_80 two blocks cut the sum to f32 in between.
  float a[16] = {1}, b[16] = {1};
  a[1] = 0x1p-12f, b[1] = 0x1p-12f;
  a[2] = 0x1p-12f, b[2] = 0x1p-12f;
  EXPECT_EQ(tensorDot(a, b, 16, 0, -126, 24, -132), 1 + 0x1p-23f);
  a[2] = 0;
  EXPECT_EQ(tensorDot(a, b, 16, 0, -126, 24, -132), 1.0f);
  a[1] = -a[1];
  EXPECT_EQ(tensorDot(a, b, 16, 0, -126, 24, -132), 1 - 0x1p-24f);
  a[3] = INFINITY, b[3] = -1;
  EXPECT_EQ(tensorDot(a, b, 16, 0, -126, 24, -132), -INFINITY);
  b[3] = 0;
  EXPECT_EQ(std::bit_cast<u32>(tensorDot(a, b, 16, 0, -126, 24, -132)), NAN32);
}

std::vector<u32> matrices(const std::string &trans) {
  Buffer<u32> out(128);
  // 16-bit element i of the 512 bytes is i: matrix x, row r, column c is
  // 64 x + 8 r + c.
  Program p(kernel(1, "mov.u32 %r0, dynamic;\nmad.lo.u32 %r1, %t, 16, %r0;\n"
                      "mov.u32 %r2, 0;\nmov.u32 %r3, %r1;\n"
                      "again:\nmad.lo.u32 %r4, %t, 8, %r2;\n"
                      "st.shared.u16 [%r3], %r4;\n"
                      "add.u32 %r2, %r2, 1;\nadd.u32 %r3, %r3, 2;\n"
                      "setp.lt.u32 %g0, %r2, 8;\n@%g0 bra again;\n"
                      "bar.warp.sync -1;\n"
                      "ldmatrix.sync.aligned.m8n8.x4" +
                          trans +
                          ".shared.b16 {%r5, %r6, %r7, %r8}, [%r1];\n"
                          "mad.wide.u32 %q0, %t, 16, %p0;\n"
                          "st.global.v4.u32 [%q0], {%r5, %r6, %r7, %r8};"));
  p.run("k", 1, 32, {out.address}, 512);
  return std::vector<u32>(out.data(), out.data() + 128);
}

TEST(Tensor, MatricesFromSharedMemory) {
  std::vector<u32> rows = matrices(""), columns = matrices(".trans");
  struct {
    int lane, low, high, lowT, highT; // of matrix 0
  } table[] = {{0, 0, 1, 0, 8},      {1, 2, 3, 16, 24},   {3, 6, 7, 48, 56},
               {4, 8, 9, 1, 9},      {5, 10, 11, 17, 25}, {17, 34, 35, 20, 28},
               {30, 60, 61, 39, 47}, {31, 62, 63, 55, 63}};
  for (auto &t : table)
    for (int x = 0; x < 4; ++x) {
      size_t i = size_t(t.lane * 4 + x);
      EXPECT_EQ(rows[i], u32(64 * x + t.low) | u32(64 * x + t.high) << 16);
      EXPECT_EQ(columns[i], u32(64 * x + t.lowT) | u32(64 * x + t.highT) << 16);
    }
}

} // namespace
