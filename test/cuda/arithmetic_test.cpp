// Opcodes of numbers against plain C++, bit by bit.
#include "test/cuda/harness.h"

#include <bit>
#include <cmath>

using namespace cuemu;

namespace {

/// NaN as the card makes it.
float card(float x) { return x == x ? x : std::bit_cast<float>(0x7fffffff); }

float bf(u16 x) { return std::bit_cast<float>(u32(x) << 16); }

TEST(Integer, AddSubtractMultiply) {
  expectValues<u32, u32, u32>("add.s32 %d, %a, %b;",
                              [](u32 a, u32 b, u32) { return a + b; });
  expectValues<u64, u64, u64>("sub.s64 %d, %a, %b;",
                              [](u64 a, u64 b, u32) { return a - b; });
  expectValues<u16, u16, u16>("add.s16 %d, %a, %b;",
                              [](u16 a, u16 b, u32) { return a + b; });
  expectValues<u32, u32, u32>("mul.lo.s32 %d, %a, %b;",
                              [](u32 a, u32 b, u32) { return a * b; });
  expectValues<i32, i32, i32>("mul.hi.s32 %d, %a, %b;", [](i32 a, i32 b, u32) {
    return i64(a) * b >> 32;
  });
  expectValues<u64, u64, u64>("mul.hi.u64 %d, %a, %b;", [](u64 a, u64 b, u32) {
    return (unsigned __int128)(a)*b >> 64;
  });
  expectValues<i64, i32, i32>("mul.wide.s32 %d, %a, %b;",
                              [](i32 a, i32 b, u32) { return i64(a) * b; });
  expectValues<u32, u16, u16>("mul.wide.u16 %d, %a, %b;",
                              [](u16 a, u16 b, u32) { return u32(a) * b; });
  expectValues<u32, u32, u32, u32>(
      "mad.lo.s32 %d, %a, %b, %c;",
      [](u32 a, u32 b, u32 c) { return a * b + c; });
  expectValues<u64, u32, u32, u64>(
      "mad.wide.u32 %d, %a, %b, %c;",
      [](u32 a, u32 b, u64 c) { return u64(a) * b + c; });
  expectValues<i32, i32, i32>("add.sat.s32 %d, %a, %b;", [](i32 a, i32 b, u32) {
    i64 s = i64(a) + b;
    return s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : i32(s);
  });
}

TEST(Integer, DivideAndOrder) {
  expectValues<i32, i32, i32>("or.b32 %b, %b, 1;\ndiv.s32 %d, %a, %b;",
                              [](i32 a, i32 b, u32) {
                                b |= 1;
                                return b == -1 ? i32(0u - u32(a)) : a / b;
                              });
  expectValues<u64, u64, u64>("or.b64 %b, %b, 1;\nrem.u64 %d, %a, %b;",
                              [](u64 a, u64 b, u32) { return a % (b | 1); });
  expectValues<i32, i32, i32>("min.s32 %d, %a, %b;",
                              [](i32 a, i32 b, u32) { return std::min(a, b); });
  expectValues<u16, u16, u16>("max.u16 %d, %a, %b;",
                              [](u16 a, u16 b, u32) { return std::max(a, b); });
  expectValues<u32, u32>("abs.s32 %d, %a;", [](u32 a, u32, u32) {
    return i32(a) < 0 ? 0 - a : a;
  });
  expectValues<u64, u64>("neg.s64 %d, %a;",
                         [](u64 a, u32, u32) { return 0 - a; });
  expectValues<i32, i32, i32>(
      "max.relu.s32 %d, %a, %b;",
      [](i32 a, i32 b, u32) { return std::max({a, b, 0}); });
  expectValues<i32, i32, i32>(
      "min.relu.s32 %d, %a, %b;",
      [](i32 a, i32 b, u32) { return std::max(std::min(a, b), 0); });
}

TEST(Integer, Bits) {
  expectValues<u32, u32, u32>("shl.b32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    return b > 31 ? 0 : a << b;
  });
  expectValues<i32, i32, u32>("shr.s32 %d, %a, %b;", [](i32 a, u32 b, u32) {
    return a >> std::min(b, 31u);
  });
  expectValues<u64, u64, u32>("shr.u64 %d, %a, %b;", [](u64 a, u32 b, u32) {
    return b > 63 ? 0 : a >> b;
  });
  expectValues<u32, u32, u32, u32>(
      "shf.l.wrap.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
        return c & 31 ? b << (c & 31) | a >> (32 - (c & 31)) : b;
      });
  expectValues<u32, u32, u32, u32>(
      "shf.r.clamp.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
        return c >= 32 ? b : c ? b << (32 - c) | a >> c : a;
      });
  expectValues<u32, u32>("bfe.u32 %d, %a, 5, 9;",
                         [](u32 a, u32, u32) { return a >> 5 & 511; });
  expectValues<i32, i32>("bfe.s32 %d, %a, 28, 9;",
                         [](i32 a, u32, u32) { return a >> 28; });
  expectValues<i32, i32>("bfe.s32 %d, %a, 8, 8;",
                         [](i32 a, u32, u32) { return i32(i8(a >> 8)); });
  expectValues<u32, u32, u32>(
      "bfi.b32 %d, %a, %b, 4, 8;",
      [](u32 a, u32 b, u32) { return (b & ~0xff0u) | (a & 255) << 4; });
  expectValues<u32, u32>("bfind.u32 %d, %a;", [](u32 a, u32, u32) {
    return a ? 31u - u32(__builtin_clz(a)) : ~0u;
  });
  expectValues<u32, u64>("popc.b64 %d, %a;", [](u64 a, u32, u32) {
    return __builtin_popcountll(a);
  });
  expectValues<u32, u32>("clz.b32 %d, %a;", [](u32 a, u32, u32) {
    return a ? __builtin_clz(a) : 32;
  });
  expectValues<u32, u32>("brev.b32 %d, %a;", [](u32 a, u32, u32) {
    u32 r = 0;
    for (int i = 0; i < 32; ++i)
      r |= (a >> i & 1) << (31 - i);
    return r;
  });
  expectValues<u32, u32, u32, u32>(
      "lop3.b32 %d, %a, %b, %c, 0xe8;",
      [](u32 a, u32 b, u32 c) { return (a & b) | (a & c) | (b & c); });
  expectValues<u32, u32, u32>(
      "prmt.b32 %d, %a, %b, 0x9430;", [](u32 a, u32 b, u32) {
        u32 sign = a >> 15 & 1 ? 255 : 0; // 9: the sign of byte 1
        return (a & 255) | (a >> 24) << 8 | (b & 255) << 16 | sign << 24;
      });
}

TEST(Integer, DotProducts) {
  expectValues<i32, u32, u32, i32>(
      "dp4a.u32.s32 %d, %a, %b, %c;", [](u32 a, u32 b, i32 c) {
        for (int k = 0; k < 32; k += 8)
          c = i32(u32(c) + u32(int(u8(a >> k)) * int(i8(b >> k))));
        return c;
      });
  expectValues<i32, u32, u32, i32>(
      "dp4a.s32.s32 %d, %a, %b, %c;", [](u32 a, u32 b, i32 c) {
        for (int k = 0; k < 32; k += 8)
          c = i32(u32(c) + u32(int(i8(a >> k)) * int(i8(b >> k))));
        return c;
      });
}

TEST(Float, Arithmetic) {
  expectValues<float, float, float>(
      "add.rn.f32 %d, %a, %b;",
      [](float a, float b, u32) { return card(a + b); });
  expectValues<float, float, float>(
      "sub.f32 %d, %a, %b;", [](float a, float b, u32) { return card(a - b); });
  expectValues<float, float, float>(
      "mul.rn.f32 %d, %a, %b;",
      [](float a, float b, u32) { return card(a * b); });
  expectValues<float, float, float>(
      "div.rn.f32 %d, %a, %b;",
      [](float a, float b, u32) { return card(a / b); });
  expectValues<float, float, float, float>(
      "fma.rn.f32 %d, %a, %b, %c;",
      [](float a, float b, float c) { return card(std::fma(a, b, c)); });
  expectValues<float, float>("sqrt.rn.f32 %d, %a;", [](float a, u32, u32) {
    return card(std::sqrt(a));
  });
  expectValues<float, float>("rcp.rn.f32 %d, %a;",
                             [](float a, u32, u32) { return card(1 / a); });
  expectValues<u32, u32>("neg.f32 %d, %a;",
                         [](u32 a, u32, u32) { return a ^ 0x80000000; });
  expectValues<u32, u32>("abs.f32 %d, %a;",
                         [](u32 a, u32, u32) { return a & 0x7fffffff; });
}

TEST(Float, SubnormalsStayUnlessFlushed) {
  auto flush = [](float x) {
    return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x;
  };
  expectValues<float, float, float>(
      "and.b32 %a, %a, 0x80ffffff;\nmul.ftz.f32 %d, %a, %b;",
      [&](float a, float b, u32) {
        a = std::bit_cast<float>(std::bit_cast<u32>(a) & 0x80ffffff);
        return flush(card(flush(a) * flush(b)));
      });
  expectValues<float, float, float>(
      "and.b32 %a, %a, 0x80ffffff;\nmul.f32 %d, %a, 0f3F000000;",
      [](float a, float, u32) {
        return std::bit_cast<float>(std::bit_cast<u32>(a) & 0x80ffffff) * 0.5f;
      });
}

TEST(Float, LeastAndMost) {
  auto least = [](float a, float b) {
    if (a != a || b != b)
      return card(a != a ? b : a);
    if (a == b)
      return std::signbit(a) ? a : b;
    return a < b ? a : b;
  };
  expectValues<float, float, float>(
      "min.f32 %d, %a, %b;",
      [&](float a, float b, u32) { return least(a, b); });
  expectValues<float, float, float>(
      "max.f32 %d, %a, %b;", [&](float a, float b, u32) {
        return a != a || b != b ? least(a, b) : -least(-a, -b);
      });
  expectValues<float, float, float>(
      "max.NaN.f32 %d, %a, %b;", [&](float a, float b, u32) {
        return a != a || b != b ? card(NAN) : -least(-a, -b);
      });
}

TEST(Float, Halves) {
  expectValues<u16, u16, u16, u16>(
      "fma.rn.bf16 %d, %a, %b, %c;", [](u16 a, u16 b, u16 c) {
        // 8-bit significands: __float128 holds product and sum but for far
        // apart ones, where only the sign of the smaller one counts.
        __float128 p = __float128(bf(a)) * __float128(bf(b)),
                   exact = p + __float128(bf(c));
        double d = double(exact);
        if (d != d)
          return u16(0x7fff);
        __float128 rest = exact - __float128(d);
        if (exact == p)
          rest = rest + __float128(bf(c));
        if (rest != 0 && !std::isinf(d)) {
          u64 k = std::bit_cast<u64>(d);
          if (!(k & 1))
            d = std::bit_cast<double>((rest > 0) == (d > 0) ? k + 1 : k - 1);
        }
        if (d == 0 || std::isinf(d))
          return u16(std::bit_cast<u32>(float(d)) >> 16);
        int unit = std::max(std::ilogb(d), -126) - 7;
        float r = float(std::ldexp(std::nearbyint(std::ldexp(d, -unit)), unit));
        return u16(std::bit_cast<u32>(r) >> 16);
      });
  expectValues<u16, u16, u16>("mul.rn.f16 %d, %a, %b;", [](u16 a, u16 b, u32) {
    float p =
        float(std::bit_cast<_Float16>(a)) * float(std::bit_cast<_Float16>(b));
    return p != p ? u16(0x7fff) : std::bit_cast<u16>(_Float16(p));
  });
  expectValues<u32, u32, u32>(
      "add.rn.f16x2 %d, %a, %b;", [](u32 a, u32 b, u32) {
        u32 r = 0;
        for (int s : {0, 16}) {
          float p = float(std::bit_cast<_Float16>(u16(a >> s))) +
                    float(std::bit_cast<_Float16>(u16(b >> s)));
          r |= u32(p != p ? u16(0x7fff) : std::bit_cast<u16>(_Float16(p))) << s;
        }
        return r;
      });
}

TEST(Compare, Orders) {
  struct {
    const char *name;
    bool (*f)(float, float);
  } cases[] = {
      {"eq", [](float a, float b) { return a == b; }},
      {"ne", [](float a, float b) { return a < b || a > b; }},
      {"lt", [](float a, float b) { return a < b; }},
      {"le", [](float a, float b) { return a <= b; }},
      {"gt", [](float a, float b) { return a > b; }},
      {"ge", [](float a, float b) { return a >= b; }},
      {"equ", [](float a, float b) { return !(a < b || a > b); }},
      {"neu", [](float a, float b) { return a != b; }},
      {"ltu", [](float a, float b) { return !(a >= b); }},
      {"leu", [](float a, float b) { return !(a > b); }},
      {"gtu", [](float a, float b) { return !(a <= b); }},
      {"geu", [](float a, float b) { return !(a < b); }},
      {"num", [](float a, float b) { return a == a && b == b; }},
      {"nan", [](float a, float b) { return a != a || b != b; }},
  };
  for (auto &c : cases)
    expectValues<u32, float, float>(
        std::string("setp.") + c.name +
            ".f32 %p, %a, %b;\nselp.u32 %d, 1, 0, %p;",
        [&](float a, float b, u32) { return u32(c.f(a, b)); });
  expectValues<u32, u32, u32>(
      "setp.lt.s32 %p, %a, %b;\n"
      "selp.u32 %d, %a, %b, %p;",
      [](u32 a, u32 b, u32) { return i32(a) < i32(b) ? a : b; });
  expectValues<u32, u32, u32, u32>(
      "setp.lo.u32 %p, %a, %b;\nsetp.eq.and.b32 %p|%q, %c, 0, !%p;\n"
      "selp.u32 %d, 1, 0, %p;\n@%q add.u32 %d, %d, 2;",
      [](u32 a, u32 b, u32 c) {
        bool no = !(a < b);
        return u32(c == 0 && no) + (c != 0 && no ? 2u : 0u);
      });
}

TEST(Compare, PredicatesOfNumbers) {
  expectValues<u32, u32>("mov.pred %p, 0;\nmov.pred %q, -1;\n"
                         "selp.u32 %d, 1, 0, %p;\n@%q add.u32 %d, %d, 2;",
                         [](u32, u32, u32) { return 2u; });
}

TEST(Convert, Integers) {
  expectValues<u64, u32>("cvt.s64.s32 %d, %a;",
                         [](u32 a, u32, u32) { return u64(i64(i32(a))); });
  expectValues<u32, u16>("cvt.s32.s8 %d, %a;",
                         [](u16 a, u32, u32) { return u32(i32(i8(a))); });
  // Of wider registers the low bits are taken.
  expectValues<u64, u64>("cvt.s64.s8 %d, %a;",
                         [](u64 a, u32, u32) { return u64(i64(i8(a))); });
  expectValues<u32, u64>("cvt.u32.u16 %d, %a;",
                         [](u64 a, u32, u32) { return u32(u16(a)); });
  expectValues<float, u64>("cvt.rn.f32.s16 %d, %a;",
                           [](u64 a, u32, u32) { return float(i16(a)); });
  expectValues<u32, i32>("cvt.sat.s8.s32 %d, %a;", [](i32 a, u32, u32) {
    return u32(std::clamp(a, -128, 127));
  });
  expectValues<float, i32>("cvt.rn.f32.s32 %d, %a;",
                           [](i32 a, u32, u32) { return float(a); });
  expectValues<float, u64>("cvt.rn.f32.u64 %d, %a;",
                           [](u64 a, u32, u32) { return float(a); });
  auto whole = [](double x, double lo, double hi) {
    return x != x ? 0.0 : std::clamp(x, lo, hi);
  };
  expectValues<i32, float>("cvt.rzi.s32.f32 %d, %a;", [&](float a, u32, u32) {
    return i32(whole(std::trunc(double(a)), INT32_MIN, INT32_MAX));
  });
  expectValues<u32, float>("cvt.rni.u32.f32 %d, %a;", [&](float a, u32, u32) {
    return u32(whole(std::nearbyint(double(a)), 0, UINT32_MAX));
  });
  expectValues<float, float>("cvt.rmi.f32.f32 %d, %a;", [](float a, u32, u32) {
    return card(std::floor(a));
  });
}

TEST(Convert, Floats) {
  expectValues<u32, float>("cvt.rn.bf16.f32 %h0, %a;\ncvt.u32.u16 %d, %h0;",
                           [](float a, u32, u32) {
                             u32 b = std::bit_cast<u32>(a);
                             if (a != a)
                               return 0x7fffu;
                             return (b + 0x7fff + (b >> 16 & 1)) >> 16;
                           });
  expectValues<u32, float, float>(
      "cvt.rn.f16x2.f32 %d, %a, %b;", [](float a, float b, u32) {
        auto half = [](float x) {
          return x != x ? 0x7fffu : std::bit_cast<u16>(_Float16(x));
        };
        return half(a) << 16 | half(b);
      });
  expectValues<u32, float>(
      "cvt.rz.bf16.f32 %h0, %a;\ncvt.u32.u16 %d, %h0;", [](float a, u32, u32) {
        return a != a ? 0x7fffu : std::bit_cast<u32>(a) >> 16;
      });
  expectValues<float, u16>("cvt.f32.f16 %d, %a;", [](u16 a, u32, u32) {
    return card(float(std::bit_cast<_Float16>(a)));
  });
  expectValues<float, u16>("cvt.f32.bf16 %d, %a;",
                           [](u16 a, u32, u32) { return card(bf(a)); });
  expectValues<float, double>("cvt.rn.f32.f64 %d, %a;", [](double a, u32, u32) {
    return card(float(a));
  });
}

TEST(Move, PacksAndUnpacks) {
  expectValues<u32, u32>("mov.b32 {%h0, %h1}, %a;\nmov.b32 %d, {%h1, %h0};",
                         [](u32 a, u32, u32) { return a << 16 | a >> 16; });
  expectValues<u64, u64>("mov.b64 {%r0, %r1}, %a;\nmov.b64 %d, {%r1, %r0};",
                         [](u64 a, u32, u32) { return a << 32 | a >> 32; });
}

} // namespace
