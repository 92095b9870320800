// mma.sync and ldmatrix: fragments of a warp as matrices and back. Group g of
// a lane is lane / 4, t is lane % 4; the tables of the PTX manual in formulas,
// which the tests compare with tables.
#include "test/cuda/formats.h"
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

void loadMatrices(Warp &w, const Instruction &in, u32) { // mode: .trans
  u16 m[4][8][8];
  for (int x = 0; x < in.ds; ++x)
    for (int row = 0; row < 8; ++row) {
      int lane = x * 8 + row;
      memcpy(m[x][row],
             w.access(addressOf(w, in, in.s[0], lane), 16, Space::Shared, lane,
                      false),
             16);
    }
  for (int x = 0; x < in.ds; ++x)
    for (int l = 0; l < 32; ++l) {
      int g = l / 4, t = l % 4;
      u16 low = in.mode ? m[x][2 * t][g] : m[x][g][2 * t],
          high = in.mode ? m[x][2 * t + 1][g] : m[x][g][2 * t + 1];
      w.rows[size_t(in.d[size_t(x)])].w[l] = low | u32(high) << 16;
    }
}

// Elements per register: E = 4 of 8 bits, 2 of 16. A is 16 x K in K * 16 / 32
// / E registers, B is K x 8 in half as many.
template <int E, int K>
struct Shape {
  static constexpr int A = K / 2 / E, B = A / 2;
  /// Row and column of element e of A of lane l; B's are (column, g).
  static int rowA(int l, int e) { return l / 4 + 8 * (e / E % 2); }
  static int columnA(int l, int e) {
    return l % 4 * E + e % E + (e / (2 * E)) * 4 * E;
  }
  static int rowB(int l, int e) { return l % 4 * E + e % E + (e / E) * 4 * E; }
};

template <class TA, class TB, int K>
void multiplyIntegers(Warp &w, const Instruction &in, u32) {
  using S = Shape<4, K>;
  i32 a[16][K], b[8][K];
  for (int l = 0; l < 32; ++l) {
    for (int e = 0; e < S::A * 4; ++e)
      a[S::rowA(l, e)][S::columnA(l, e)] =
          TA(w.rows[size_t(in.s[size_t(e / 4)])].w[l] >> 8 * (e % 4));
    for (int e = 0; e < S::B * 4; ++e)
      b[l / 4][S::rowB(l, e)] =
          TB(w.rows[size_t(in.s[size_t(S::A + e / 4)])].w[l] >> 8 * (e % 4));
  }
  u32 d[4][32];
  for (int l = 0; l < 32; ++l)
    for (int e = 0; e < 4; ++e) {
      const i32 *x = a[l / 4 + e / 2 * 8], *y = b[l % 4 * 2 + e % 2];
      u32 sum = w.rows[size_t(in.s[size_t(S::A + S::B + e)])].w[l];
      for (int k = 0; k < K; ++k)
        sum += u32(x[k] * y[k]);
      d[e][l] = sum;
    }
  for (int e = 0; e < 4; ++e)
    memcpy(w.rows[size_t(in.d[size_t(e)])].w, d[e], sizeof d[e]);
}

template <bool BF, int K>
void multiplyFloats(Warp &w, const Instruction &in, u32) {
  using S = Shape<2, K>;
  float a[16][K], b[8][K];
  auto element = [&](int s, int l, int e) {
    u16 bits = u16(w.rows[size_t(in.s[size_t(s)])].w[l] >> 16 * (e % 2));
    return BF ? fromBf16(bits) : fromF16(bits);
  };
  for (int l = 0; l < 32; ++l) {
    for (int e = 0; e < S::A * 2; ++e)
      a[S::rowA(l, e)][S::columnA(l, e)] = element(e / 2, l, e);
    for (int e = 0; e < S::B * 2; ++e)
      b[l / 4][S::rowB(l, e)] = element(S::A + e / 2, l, e);
  }
  const Settings &s = settings();
  int block = std::min(K, s.tensorBlock);
  float d[4][32];
  for (int l = 0; l < 32; ++l)
    for (int e = 0; e < 4; ++e) {
      const float *x = a[l / 4 + e / 2 * 8], *y = b[l % 4 * 2 + e % 2];
      float sum = get<float>(w.rows[size_t(in.s[size_t(S::A + S::B + e)])], l);
      for (int k = 0; k < K; k += block)
        sum = tensorDot(x + k, y + k, block, sum, BF ? -126 : -14, s.tensorBits,
                        s.tensorZero);
      d[e][l] = sum;
    }
  for (int e = 0; e < 4; ++e)
    memcpy(w.rows[size_t(in.d[size_t(e)])].w, d[e], sizeof d[e]);
}

template <int K>
Execute *integers(bool a, bool b) {
  if (a)
    return b ? multiplyIntegers<u8, u8, K> : multiplyIntegers<u8, i8, K>;
  return b ? multiplyIntegers<i8, u8, K> : multiplyIntegers<i8, i8, K>;
}

Execute *multiply(Decoder &d) {
  std::string shape = d.takeOne({"m16n8k8", "m16n8k16", "m16n8k32"});
  if (!d.take("row") || !d.take("col"))
    return nullptr;
  std::string c = d.takeType(), b = d.takeType(), a = d.takeType(),
              result = d.takeType();
  bool floats =
      result == "f32" && c == "f32" && a == b && (a == "bf16" || a == "f16");
  bool ints = result == "s32" && c == "s32" && (a == "s8" || a == "u8") &&
              (b == "s8" || b == "u8");
  int k = shape == "m16n8k8" ? 8 : shape == "m16n8k16" ? 16 : 32;
  if ((!floats && !ints) || (floats && k == 32) || (ints && k == 8))
    return nullptr;
  d.operands(4);
  int registers = ints ? k / 8 : k / 4; // of A
  if (d.in.ds != 4 || d.in.ss != registers + registers / 2 + 4)
    d.fail("expects fragments of " + std::to_string(registers) + ", " +
           std::to_string(registers / 2) + " and 4 registers");
  if (ints)
    return k == 32 ? integers<32>(a == "u8", b == "u8")
                   : integers<16>(a == "u8", b == "u8");
  if (a == "bf16")
    return k == 16 ? multiplyFloats<true, 16> : multiplyFloats<true, 8>;
  return k == 16 ? multiplyFloats<false, 16> : multiplyFloats<false, 8>;
}

} // namespace

Execute *decodeTensor(Decoder &d) {
  d.in.whole = true;
  if (!d.take("sync") || !d.take("aligned"))
    return nullptr;
  if (d.opcode() == "mma")
    return multiply(d);
  std::string count = d.takeOne({"x1", "x2", "x4"});
  if (!d.take("m8n8") || count.empty() || !d.take("b16"))
    return nullptr;
  d.in.mode = d.take("trans");
  d.in.space = d.takeSpace();
  if (d.in.space == Space::Generic)
    d.in.space = Space::Shared;
  d.result(0);
  d.address(1);
  if (d.in.ds != count[1] - '0')
    d.fail("expects as many registers as matrices");
  return loadMatrices;
}

} // namespace cuemu
