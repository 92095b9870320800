// Control flow, warp operations, atomics and orders: every lane does what a
// thread of its own would.
#include "test/cuda/harness.h"

using namespace cuemu;

namespace {

/// Runs BODY with one buffer of 64 per CTA of 64 threads; %q0 is the address
/// of the thread's word.
std::vector<u32> run(const std::string &body, u32 ctas = 1, u64 shared = 1024) {
  Buffer<u32> out(ctas * 64, 0);
  Program p(kernel(1, "mad.lo.u32 %r39, %cta, 64, %t;\n"
                      "mul.wide.u32 %q0, %r39, 4;\n"
                      "add.u64 %q0, %q0, %p0;\n" +
                          body));
  p.run("k", ctas, 64, {out.address}, shared);
  return std::vector<u32>(out.data(), out.data() + ctas * 64);
}

TEST(Control, NestedBranches) {
  std::vector<u32> got = run("mov.u32 %r0, 0;\n"
                             "and.b32 %r1, %t, 1;\n"
                             "and.b32 %r2, %t, 2;\n"
                             "setp.ne.u32 %g0, %r1, 0;\n"
                             "setp.ne.u32 %g1, %r2, 0;\n"
                             "@%g0 bra odd;\n"
                             "@%g1 bra two;\n"
                             "add.u32 %r0, %r0, 1;\nbra.uni joined;\n"
                             "two:\nadd.u32 %r0, %r0, 10;\nbra.uni joined;\n"
                             "odd:\n@!%g1 bra joined;\n"
                             "add.u32 %r0, %r0, 100;\n"
                             "joined:\n"
                             "shfl.sync.idx.b32 %r3, %r0, 3, 31, -1;\n"
                             "add.u32 %r0, %r0, %r3;\n"
                             "st.global.u32 [%q0], %r0;");
  for (u32 t = 0; t < 64; ++t) {
    u32 own = t & 1 ? (t & 2 ? 100 : 0) : (t & 2 ? 10 : 1);
    EXPECT_EQ(got[t], own + 100) << t;
  }
}

TEST(Control, LoopsOfDifferentLengthsWithTheLatchFirst) {
  // As LLVM lays loops out: the latch before the header.
  std::vector<u32> got = run("mov.u32 %r0, 0;\nmov.u32 %r1, 0;\n"
                             "bra.uni header;\n"
                             "latch:\nadd.u32 %r1, %r1, 1;\n"
                             "header:\n"
                             "setp.ge.u32 %g0, %r1, %t;\n"
                             "@%g0 bra done;\n"
                             "and.b32 %r2, %r1, 1;\n"
                             "setp.eq.u32 %g1, %r2, 0;\n"
                             "@%g1 bra latch;\n"
                             "add.u32 %r0, %r0, %r1;\n"
                             "bra.uni latch;\n"
                             "done:\n"
                             "redux.sync.max.u32 %r3, %r0, -1;\n"
                             "mad.lo.u32 %r0, %r3, 10000, %r0;\n"
                             "st.global.u32 [%q0], %r0;");
  auto sum = [](u32 t) {
    u32 s = 0;
    for (u32 i = 1; i < t; i += 2)
      s += i;
    return s;
  };
  for (u32 t = 0; t < 64; ++t)
    EXPECT_EQ(got[t], sum(t | 31) * 10000 + sum(t)) << t;
}

TEST(Control, LanesEndApart) {
  std::vector<u32> got = run("setp.lt.u32 %g0, %t, 7;\n@%g0 ret;\n"
                             "setp.gt.u32 %g0, %t, 40;\n@%g0 exit;\n"
                             "bar.sync 0;\n"
                             "activemask.b32 %r0;\n"
                             "st.global.u32 [%q0], %r0;");
  for (u32 t = 0; t < 64; ++t)
    EXPECT_EQ(got[t], t < 7 || t > 40 ? 0 : t < 32 ? ~127u : 511u) << t;
}

TEST(Control, CallsOfFunctions) {
  Buffer<u32> out(64);
  // Both callers diverge; `twice` is called by `f` and by the kernel.
  Program p(".version 8.0\n.target sm_80\n.address_size 64\n"
            ".func (.param .b32 r) twice(.param .b32 x)\n{\n"
            ".reg .b32 %r<3>;\nld.param.u32 %r0, [x];\n"
            "add.u32 %r0, %r0, %r0;\nst.param.b32 [r], %r0;\nret;\n}\n"
            ".func (.param .b32 r) f(.param .b32 x)\n{\n"
            ".reg .b32 %r<3>;\n.reg .pred %p;\nld.param.u32 %r0, [x];\n"
            "setp.gt.u32 %p, %r0, 9;\n@%p bra big;\n"
            "st.param.b32 [r], 5;\nret;\nbig:\n"
            "{\n.param .b32 param0;\nst.param.b32 [param0], %r0;\n"
            ".param .b32 retval0;\ncall.uni (retval0), twice, (param0);\n"
            "ld.param.b32 %r1, [retval0];\n}\n"
            "st.param.b32 [r], %r1;\nret;\n}\n"
            ".visible .entry k(.param .u64 k_0)\n{\n"
            ".reg .b32 %r<9>;\n.reg .b64 %q<3>;\n.reg .pred %p;\n"
            "mov.u32 %r0, %tid.x;\nld.param.u64 %q0, [k_0];\n"
            "mul.wide.u32 %q1, %r0, 4;\nadd.u64 %q0, %q0, %q1;\n"
            "mov.u32 %r2, 77;\n"
            "setp.lt.u32 %p, %r0, 40;\n@!%p bra after;\n"
            "{\n.param .b32 param0;\nst.param.b32 [param0], %r0;\n"
            ".param .b32 retval0;\ncall.uni (retval0), f, (param0);\n"
            "ld.param.b32 %r2, [retval0];\n}\n"
            "after:\n"
            "{\n.param .b32 param0;\nst.param.b32 [param0], %r2;\n"
            ".param .b32 retval0;\ncall.uni (retval0), twice, (param0);\n"
            "ld.param.b32 %r3, [retval0];\n}\n"
            "st.global.u32 [%q0], %r3;\nret;\n}\n");
  p.run("k", 1, 64, {out.address});
  for (u32 t = 0; t < 64; ++t)
    EXPECT_EQ(out[t], 2 * (t >= 40 ? 77 : t > 9 ? 2 * t : 5)) << t;
}

TEST(Control, FunctionsThatCallThemselvesAreRefused) {
  EXPECT_THROW(Program(".version 8.0\n.target sm_80\n"
                       ".func f()\n{\ncall.uni f, ();\nret;\n}\n"
                       ".visible .entry k()\n{\ncall.uni f, ();\nret;\n}\n"),
               Fault);
}

TEST(Warp, Shuffles) {
  auto shuffled = [](const std::string &how) {
    return run("add.u32 %r0, %t, 100;\n"
               "shfl.sync." +
               how +
               ", -1;\n"
               "selp.u32 %r2, 1000, 0, %g0;\nadd.u32 %r1, %r1, %r2;\n"
               "st.global.u32 [%q0], %r1;");
  };
  std::vector<u32> bfly = shuffled("bfly.b32 %r1|%g0, %r0, 5, 31"),
                   down = shuffled("down.b32 %r1|%g0, %r0, 3, 31"),
                   up = shuffled("up.b32 %r1|%g0, %r0, 3, 0"),
                   idx = shuffled("idx.b32 %r1|%g0, %r0, 9, 0x181f");
  for (u32 t = 0; t < 64; ++t) {
    u32 l = t % 32, base = t - l;
    EXPECT_EQ(bfly[t], 1000 + 100 + (t ^ 5));
    EXPECT_EQ(down[t], l + 3 < 32 ? 1100 + t + 3 : 100 + t);
    EXPECT_EQ(up[t], l >= 3 ? 1100 + t - 3 : 100 + t);
    // Segments of eight: lane 9 & 7 of one's own.
    EXPECT_EQ(idx[t], 1100 + base + (l & 24) + 1);
  }
}

TEST(Warp, VotesMatchesAndReductions) {
  std::vector<u32> got = run("setp.lt.u32 %g0, %t, 5;\n"
                             "vote.sync.ballot.b32 %r0, %g0, -1;\n"
                             "vote.sync.any.pred %g1, %g0, -1;\n"
                             "selp.u32 %r1, 64, 0, %g1;\n"
                             "vote.sync.all.pred %g1, !%g0, -1;\n"
                             "selp.u32 %r2, 128, 0, %g1;\n"
                             "and.b32 %r3, %t, 3;\n"
                             "match.any.sync.b32 %r4, %r3, -1;\n"
                             "popc.b32 %r4, %r4;\n"
                             "redux.sync.add.s32 %r5, %t, -1;\n"
                             "add.u32 %r0, %r0, %r1;\nadd.u32 %r0, %r0, %r2;\n"
                             "shl.b32 %r4, %r4, 8;\nadd.u32 %r0, %r0, %r4;\n"
                             "shl.b32 %r5, %r5, 16;\nadd.u32 %r0, %r0, %r5;\n"
                             "st.global.u32 [%q0], %r0;");
  for (u32 t = 0; t < 64; ++t)
    EXPECT_EQ(got[t], t < 32 ? 31 + 64 + (8u << 8) + (496u << 16)
                             : 128 + (8u << 8) + (1520u << 16));
}

TEST(Atomic, OfGlobalAndSharedMemory) {
  Buffer<u32> out(8, 0);
  out[2] = 1000;
  Program p(kernel(1, "atom.global.add.u32 %r0, [%p0], 3;\n"
                      "red.global.max.u32 [%p0+4], %t;\n"
                      "atom.global.min.s32 %r1, [%p0+8], %t;\n"
                      "add.f32 %f0, 0f3F800000, 0f00000000;\n"
                      "red.relaxed.gpu.global.add.f32 [%p0+12], %f0;\n"
                      "atom.global.cas.b32 %r2, [%p0+16], 0, 7;\n"
                      "atom.global.inc.u32 %r2, [%p0+20], 9;\n"
                      "atom.global.or.b32 %r2, [%p0+24], %t;"));
  p.run("k", 3, 50, {out.address});
  float ones;
  memcpy(&ones, &out[3], 4);
  EXPECT_EQ(out[0], 450u);
  EXPECT_EQ(out[1], 49u);
  EXPECT_EQ(out[2], 0u);
  EXPECT_EQ(ones, 150.0f);
  EXPECT_EQ(out[4], 7u);
  EXPECT_EQ(out[5], 0u); // 150 steps of 0..9
  EXPECT_EQ(out[6], 63u);
}

TEST(Memory, VectorsExtensionsAndGenericAddresses) {
  std::vector<u32> got =
      run(".shared .align 16 .b8 own[1024];\n"
          "mov.u64 %q1, own;\ncvta.shared.u64 %q1, %q1;\n"
          "mul.wide.u32 %q2, %t, 16;\nadd.u64 %q1, %q1, %q2;\n"
          "mov.u32 %r0, 0x80ff7f01;\nnot.b32 %r1, %t;\n"
          "st.v4.b32 [%q1], {%r0, %t, %r1, %r0};\n"
          "ld.s8 %r2, [%q1+3];\nld.u16 %r3, [%q1+2];\nld.s16 %q3, [%q1+14];\n"
          "ld.v2.u32 {%r4, _}, [%q1+8];\n"
          "isspacep.shared %g0, %q1;\nselp.u32 %r5, 1, 0, %g0;\n"
          "cvt.u32.u64 %r6, %q3;\n"
          "add.u32 %r2, %r2, %r3;\nadd.u32 %r2, %r2, %r4;\n"
          "add.u32 %r2, %r2, %r5;\nadd.u32 %r2, %r2, %r6;\n"
          "st.global.u32 [%q0], %r2;");
  for (u32 t = 0; t < 64; ++t)
    EXPECT_EQ(got[t], u32(-128) + 0x80ff + ~t + 1 + u32(i32(i16(0x80ff))));
}

TEST(Memory, StoresTakeTheLowBitsOfWiderRegisters) {
  std::vector<u32> got =
      run("cvt.u64.u32 %q1, %t;\nadd.u64 %q1, %q1, 0x1234500;\n"
          "add.u64 %q2, %q1, %q1;\n"
          "st.global.b8 [%q0], %q1;\n"
          "st.global.b16 [%q0+2], %q2;");
  for (u32 t = 0; t < 64; ++t)
    EXPECT_EQ(got[t], t | (2 * (0x1234500 + t) << 16)) << t;
}

TEST(Control, PredicatesFromNumbers) {
  std::vector<u32> got = run("mov.pred %g0, -1;\nmov.pred %g1, 0;\n"
                             "selp.u32 %r0, 1, 0, %g0;\n"
                             "selp.u32 %r1, 1, 0, %g1;\n"
                             "mad.lo.u32 %r0, %r0, 10, %r1;\n"
                             "st.global.u32 [%q0], %r0;");
  for (u32 t = 0; t < 64; ++t)
    EXPECT_EQ(got[t], 10u) << t;
}

TEST(Order, SeedsGiveEqualResults) {
  // A tree in shared memory with barriers, and one atomic per CTA.
  auto result = [](u64 seed, int threads) {
    settings().seed = seed, settings().threads = threads;
    Buffer<u32> out(1, 0);
    Program p(kernel(1, "mov.u32 %r0, dynamic;\nmad.lo.u32 %r1, %t, 4, %r0;\n"
                        "mad.lo.u32 %r2, %cta, 1000, %t;\n"
                        "st.shared.u32 [%r1], %r2;\nmov.u32 %r3, 64;\n"
                        "again:\nbar.sync 0;\n"
                        "setp.ge.u32 %g0, %t, %r3;\n@%g0 bra skip;\n"
                        "mad.lo.u32 %r4, %r3, 4, %r1;\n"
                        "ld.shared.u32 %r5, [%r4];\nld.shared.u32 %r6, [%r1];\n"
                        "add.u32 %r6, %r6, %r5;\nmul.lo.u32 %r6, %r6, 3;\n"
                        "st.shared.u32 [%r1], %r6;\n"
                        "skip:\nshr.u32 %r3, %r3, 1;\n"
                        "setp.ne.u32 %g0, %r3, 0;\n@%g0 bra again;\n"
                        "setp.ne.u32 %g0, %t, 0;\n@%g0 bra out;\n"
                        "ld.shared.u32 %r6, [%r1];\n"
                        "red.global.add.u32 [%p0], %r6;\nout:"));
    p.run("k", 40, 128, {out.address}, 512);
    settings().seed = 0, settings().threads = 1;
    return out[0];
  };
  u32 first = result(0, 1);
  EXPECT_NE(first, 0u);
  for (u64 seed : {1, 2, 3})
    for (int threads : {1, 2})
      EXPECT_EQ(result(seed, threads), first);
}

TEST(Order, SeedsShowWhatDependsOnOrder) {
  auto last = [](u64 seed) {
    settings().seed = seed;
    Buffer<u32> out(1, 0);
    Program p(kernel(1, "st.global.u32 [%p0], %cta;"));
    p.run("k", 50, 32, {out.address});
    settings().seed = 0;
    return out[0];
  };
  EXPECT_EQ(last(0), 49u);
  EXPECT_TRUE(last(1) != 49 || last(2) != 49);
}

} // namespace
