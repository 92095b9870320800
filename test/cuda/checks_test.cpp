// What the emulator must report, each by a kernel that is right and the same
// with one thing broken: the line and the words.
#include "test/cuda/harness.h"

#include "runtime/cuda/driver_api.h"

using namespace cuemu;

namespace {

struct Check : testing::Test {
  Buffer<u32> out{64};
  Buffer<u32> in{64};

  /// Runs BODY with two parameters; "" or the report.
  std::string run(const std::string &body, u32 threads = 64, u64 shared = 512,
                  u32 ctas = 1, bool cooperative = false) {
    Program p(kernel(2, body));
    std::string text =
        p.fault(ctas, threads, {out.address, in.address}, shared, cooperative);
    code = p.code;
    return text;
  }

  /// BODY reports WHAT at its line LINE (from 1).
  void expectReport(const std::string &body, int line, const std::string &what,
                    u32 threads = 64, u64 shared = 512, u32 ctas = 1,
                    bool cooperative = false) {
    std::string text = run(body, threads, shared, ctas, cooperative);
    // Two parameters: two lines before the body.
    std::string where = "k: line " + std::to_string(BODY_LINE + 2 + line) + ":";
    EXPECT_EQ(text.substr(0, where.size()), where) << text;
    EXPECT_NE(text.find(what), text.npos) << text;
    EXPECT_EQ(text.find('\n'), text.npos) << text;
  }
  int code = 0;
};

std::string replaced(std::string text, const std::string &from,
                     const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

const char *const STORE = "mul.wide.u32 %q0, %t, 4;\n"
                          "add.u64 %q0, %q0, %p0;\n"
                          "st.global.u32 [%q0], %t;";

TEST_F(Check, GlobalBounds) {
  EXPECT_EQ(run(STORE), "");
  expectReport(replaced(STORE, "[%q0]", "[%q0+4]"), 3,
               "4 bytes at offset 256 of an allocation of 256");
  EXPECT_EQ(code, CUDA_ERROR_ILLEGAL_ADDRESS);
  expectReport(replaced(STORE, "[%q0]", "[%q0+-4]"), 3, "outside global");
  expectReport(replaced(STORE, "[%q0]", "[%t]"), 3, "no device address");
}

TEST_F(Check, Alignment) {
  expectReport(replaced(STORE, "[%q0]", "[%q0+2]"), 3, "misaligned: 4 bytes");
  EXPECT_EQ(code, CUDA_ERROR_MISALIGNED_ADDRESS);
  expectReport("st.global.v4.u32 [%p0+8], {%t, %t, %t, %t};", 1,
               "misaligned: 16 bytes");
}

TEST_F(Check, HostPointer) {
  u64 host = 0;
  Program p(kernel(1, "st.global.u32 [%p0], 1;"));
  EXPECT_NE(p.fault(1, 1, {u64(&host)}).find("no device address (a host"),
            std::string::npos);
  EXPECT_EQ(host, 0u);
  void *mapped = memory().allocateHost(64);
  EXPECT_EQ(p.fault(1, 1, {u64(mapped)}), "");
  EXPECT_EQ(*static_cast<u32 *>(mapped), 1u);
  memory().free(u64(mapped), true);
  EXPECT_NE(p.fault(1, 1, {u64(mapped)}), "");
}

TEST_F(Check, UseAfterFree) {
  u64 gone = memory().allocate(64);
  memory().free(gone, false);
  Program p(kernel(1, "st.global.u32 [%p0], 1;"));
  EXPECT_NE(p.fault(1, 1, {gone}), "");
}

TEST_F(Check, SharedBounds) {
  const char *body = "mov.u32 %r0, dynamic;\n"
                     "mad.lo.u32 %r0, %t, 4, %r0;\n"
                     "st.shared.u32 [%r0], %t;";
  EXPECT_EQ(run(body, 64, 256), "");
  expectReport(body, 3, "4 bytes at offset 252 of 252", 64, 252);
  expectReport(replaced(body, "[%r0], %t", "[%r0+2], %t"), 3, "misaligned");
}

TEST_F(Check, LocalAndParameterBounds) {
  const char *body = ".local .align 8 .b8 depot[16];\n"
                     "mov.u64 %q0, depot;\n"
                     "st.local.u64 [%q0+8], %q0;";
  EXPECT_EQ(run(body), "");
  expectReport(replaced(body, "+8", "+16"), 3, "8 bytes at offset 16 of 16");
  expectReport("ld.param.u64 %q0, [k_0+16];", 1, "outside the parameters");
}

// Two warps: thread t writes, thread t ^ 32 reads.
const char *const EXCHANGE = "mov.u32 %r0, dynamic;\n"
                             "mad.lo.u32 %r1, %t, 4, %r0;\n"
                             "xor.b32 %r2, %t, 32;\n"
                             "mad.lo.u32 %r2, %r2, 4, %r0;\n"
                             "st.shared.u32 [%r1], %t;\n"
                             "bar.sync 0;\n"
                             "ld.shared.u32 %r3, [%r2];\n"
                             "bar.sync 0;\n"
                             "st.shared.u32 [%r1], %r3;";

TEST_F(Check, MissingBarriers) {
  EXPECT_EQ(run(EXCHANGE), "");
  std::string first = replaced(EXCHANGE, "bar.sync 0;", "");
  expectReport(first, 5, "writes shared memory at offset 128 that warp 0");
  std::string second =
      replaced(EXCHANGE, "%r3, [%r2];\nbar.sync 0;\n", "%r3, [%r2];\n\n");
  expectReport(second, 7, "touched, without a barrier between");
  // A barrier of the warp is none of the CTA.
  expectReport(replaced(EXCHANGE, "bar.sync 0;", "bar.warp.sync -1;"), 5,
               "without a barrier");
}

// Of EXCHANGE, thread t reads what t ^ 1 wrote: a lane of its own warp.
std::string exchangeOfLanes(const std::string &barrier) {
  std::string text = replaced(EXCHANGE, "%t, 32", "%t, 1");
  return replaced(replaced(text, "bar.sync 0;", barrier), "bar.sync 0;",
                  barrier);
}

TEST_F(Check, MissingBarriersOfAWarp) {
  std::string right = exchangeOfLanes("bar.warp.sync -1;");
  EXPECT_EQ(run(right), "");
  EXPECT_EQ(run(exchangeOfLanes("bar.sync 0;")), "");
  expectReport(replaced(right, "bar.warp.sync -1;", ""), 7,
               "reads shared memory at offset 4 that lane 1 touched, without a "
               "barrier of the warp between");
  expectReport(
      replaced(right, "[%r2];\nbar.warp.sync -1;\n", "[%r2];\n\n"), 9,
      "writes shared memory at offset 0 that lane 1 touched, without a barrier "
      "of the warp");
  // What only waits for the other lanes orders no memory.
  expectReport(exchangeOfLanes("shfl.sync.bfly.b32 %r4, %t, 1, 31, -1;"), 7,
               "without a barrier of the warp");
}

TEST_F(Check, LanesAtOnePlace) {
  // One of them wins; then all may read it.
  std::string same = "st.shared.u32 [dynamic], 7;\n"
                     "bar.warp.sync -1;\n"
                     "ld.shared.u32 %r0, [dynamic];";
  EXPECT_EQ(run(same, 32), "");
  expectReport(replaced(same, "bar.warp.sync -1;", ""), 3,
               "that other lanes touched", 32);
  std::string again = "st.shared.u32 [dynamic], 7;\n"
                      "st.shared.u32 [dynamic], 8;";
  expectReport(again, 2, "that other lanes touched", 32);
  // Bytes are told apart.
  std::string bytes = "mov.u32 %r0, dynamic;\nadd.u32 %r0, %r0, %t;\n"
                      "st.shared.u8 [%r0], %t;\nld.shared.u8 %r1, [%r0];";
  EXPECT_EQ(run(bytes, 32), "");
  expectReport(bytes + "\nld.shared.u32 %r2, [dynamic];", 5,
               "reads shared memory at offset 0 that lane 1 touched", 32);
}

TEST_F(Check, MatricesOfOtherLanesNeedABarrier) {
  std::string body = "mov.u32 %r0, dynamic;\n"
                     "mad.lo.u32 %r0, %t, 16, %r0;\n"
                     "st.shared.v4.u32 [%r0], {%t, %t, %t, %t};\n"
                     "bar.warp.sync -1;\n"
                     "ldmatrix.sync.aligned.m8n8.x4.shared.b16 "
                     "{%r1, %r2, %r3, %r4}, [%r0];";
  EXPECT_EQ(run(body, 32), "");
  expectReport(replaced(body, "bar.warp.sync -1;", ""), 5,
               "reads shared memory at offset 0 that lane 0 touched", 32);
}

// Two warps: thread t writes, thread t ^ 32 reads.
const char *const GLOBAL_EXCHANGE = "mul.wide.u32 %q0, %t, 4;\n"
                                    "add.u64 %q0, %q0, %p0;\n"
                                    "xor.b32 %r0, %t, 32;\n"
                                    "mul.wide.u32 %q1, %r0, 4;\n"
                                    "add.u64 %q1, %q1, %p0;\n"
                                    "st.global.u32 [%q0], %t;\n"
                                    "bar.sync 0;\n"
                                    "ld.global.u32 %r1, [%q1];";

TEST_F(Check, MissingBarriersOfGlobalMemory) {
  EXPECT_EQ(run(GLOBAL_EXCHANGE), "");
  std::string wrong = replaced(GLOBAL_EXCHANGE, "bar.sync 0;", "");
  expectReport(wrong, 8,
               "reads global memory at offset 0 that warp 0 touched, without a "
               "barrier between");
  expectReport(replaced(wrong, "%t, 32", "%t, 1"), 8,
               "reads global memory at offset 4 that lane 1 touched");
  // Warps that store to one place, one after the other.
  expectReport("st.global.u32 [%p0], 1;", 1, "writes global memory at offset 0",
               64);
  EXPECT_EQ(run("st.global.u32 [%p0], 1;", 32), "");
  // A hint touches nothing.
  EXPECT_EQ(run(replaced(wrong, "ld.global.u32 %r1,", "prefetch.global.L2")),
            "");
  std::string copy = replaced(GLOBAL_EXCHANGE, "ld.global.u32 %r1, [%q1];",
                              "mov.u32 %r2, dynamic;\n"
                              "mad.lo.u32 %r2, %t, 4, %r2;\n"
                              "cp.async.ca.shared.global [%r2], [%q1], 4;\n"
                              "cp.async.wait_all;");
  EXPECT_EQ(run(copy), "");
  expectReport(replaced(copy, "bar.sync 0;", ""), 10, "reads global memory");
}

TEST_F(Check, AtomicOperationsOrder) {
  // Warp 0 stores and says so, warp 1 waits for that.
  std::string body = "setp.ge.u32 %g0, %t, 32;\n"
                     "@%g0 bra other;\n"
                     "st.global.u32 [%p0+4], 7;\n"
                     "red.release.gpu.global.add.u32 [%p0], 1;\n"
                     "bra done;\n"
                     "other:\n"
                     "ld.acquire.gpu.global.u32 %r0, [%p0];\n"
                     "setp.eq.u32 %g1, %r0, 0;\n"
                     "@%g1 bra other;\n"
                     "ld.global.u32 %r1, [%p0+4];\n"
                     "done:\n"
                     "add.u32 %r1, %r1, 1;";
  out[0] = 0;
  EXPECT_EQ(run(body), "");
  expectReport(replaced(body, "ld.acquire.gpu.global", "ld.global"), 10,
               "reads global memory at offset 4 that warp 0 touched");
}

TEST_F(Check, NamedBarriersOrderWhoMeetsThem) {
  std::string body = replaced(EXCHANGE, "bar.sync 0;", "bar.sync 3, 64;");
  EXPECT_EQ(run(body), "");
  expectReport(body, 8, "waits for ever at a barrier", 96);
}

TEST_F(Check, NeighbouringBytesAreNoRace) {
  EXPECT_EQ(run("mov.u32 %r0, dynamic;\nadd.u32 %r0, %r0, %t;\n"
                "shl.b32 %r1, %t, 1;\nand.b32 %r1, %r1, 62;\n"
                "shr.u32 %r2, %t, 5;\nadd.u32 %r1, %r1, %r2;\n"
                "mov.u32 %r0, dynamic;\nadd.u32 %r0, %r0, %r1;\n"
                "st.shared.u8 [%r0], %r1;"),
            "");
}

TEST_F(Check, PartOfAWarp) {
  const char *barrier = "setp.lt.u32 %g0, %t, 16;\n"
                        "@%g0 bra done;\n"
                        "bar.sync 0;\n"
                        "done:\nadd.u32 %r0, %t, 1;";
  expectReport(barrier, 3, "a barrier with part of a warp: lane 0", 32);
  expectReport("setp.lt.u32 %g0, %t, 16;\n"
               "@%g0 shfl.sync.bfly.b32 %r0, %t, 1, 31, -1;",
               2, "a warp operation with part of its lanes: lane 16", 32);
  EXPECT_EQ(run("setp.lt.u32 %g0, %t, 16;\n"
                "@%g0 shfl.sync.bfly.b32 %r0, %t, 1, 31, 0xffff;",
                32),
            "");
  expectReport("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r0}, [dynamic];", 1,
               "part of a warp: lane 16", 16);
}

// Sixteen bytes per thread to shared memory, one group; each thread then reads
// its own.
const char *const COPY = "mov.u32 %r0, dynamic;\n"
                         "mad.lo.u32 %r0, %t, 16, %r0;\n"
                         "mul.wide.u32 %q0, %t, 16;\n"
                         "add.u64 %q0, %q0, %p1;\n"
                         "cp.async.cg.shared.global [%r0], [%q0], 16;\n"
                         "cp.async.commit_group;\n"
                         "cp.async.wait_group 0;\n"
                         "ld.shared.u32 %r1, [%r0];\n"
                         "mul.wide.u32 %q1, %t, 4;\n"
                         "add.u64 %q1, %q1, %p0;\n"
                         "st.global.u32 [%q1], %r1;";

TEST_F(Check, AsynchronousCopies) {
  for (u32 i = 0; i < 64; ++i)
    in[i] = i * 7;
  EXPECT_EQ(run(COPY, 16), "");
  for (u32 i = 0; i < 16; ++i)
    EXPECT_EQ(out[i], i * 28);
  expectReport(replaced(COPY, "cp.async.wait_group 0;", ""), 8,
               "reads shared memory at offset 0 before the wait", 16);
  expectReport(replaced(COPY, "wait_group 0", "wait_group 1"), 8,
               "before the wait", 16);
  // Without a commit there is no group to wait for; wait_all needs none.
  std::string open = replaced(COPY, "cp.async.commit_group;", "");
  expectReport(open, 8, "before the wait", 16);
  EXPECT_EQ(run(replaced(open, "wait_group 0", "wait_all"), 16), "");
  expectReport(COPY, 5, "outside global memory: 16 bytes at offset 256", 17);
}

TEST_F(Check, CopiesOfAnotherLaneNeedABarrier) {
  std::string other = replaced(COPY, "ld.shared.u32 %r1, [%r0];",
                               "xor.b32 %r0, %r0, 16;\n"
                               "ld.shared.u32 %r1, [%r0];");
  expectReport(other, 9, "reads shared memory at offset 16 that lane 1 touched",
               16);
  EXPECT_EQ(
      run(replaced(other, "wait_group 0;", "wait_group 0;\nbar.warp.sync -1;"),
          16),
      "");
}

TEST_F(Check, FilledUpCopies) {
  in[0] = 0x11223344, in[1] = 0x55667788;
  std::string body = "mov.u32 %r0, dynamic;\n"
                     "cp.async.ca.shared.global [%r0], [%p1], 8, 4;\n"
                     "cp.async.wait_all;\n"
                     "ld.shared.v2.u32 {%r1, %r2}, [%r0];\n"
                     "st.global.v2.u32 [%p0], {%r1, %r2};";
  EXPECT_EQ(run(body, 1), "");
  EXPECT_EQ(out[0], 0x11223344u);
  EXPECT_EQ(out[1], 0u);
}

TEST_F(Check, CopiesOfAnotherWarpNeedABarrier) {
  std::string other = replaced(COPY, "ld.shared.u32 %r1, [%r0];",
                               "xor.b32 %r0, %r0, 512;\n"
                               "ld.shared.u32 %r1, [%r0];");
  Buffer<u8> big(2048);
  Program wrong(kernel(2, other));
  EXPECT_NE(wrong.fault(1, 64, {out.address, big.address}, 1024), "");
  Program right(kernel(
      2, replaced(other, "wait_group 0;", "wait_group 0;\nbar.sync 0;")));
  EXPECT_EQ(right.fault(1, 64, {out.address, big.address}, 1024), "");
}

// Thread 0 asks for 256 bytes, all wait at the mbarrier.
const char *const BULK =
    ".shared .align 8 .b64 bar;\n"
    "setp.ne.u32 %g0, %t, 0;\n"
    "@%g0 bra ready;\n"
    "mbarrier.init.shared::cta.b64 [bar], 1;\n"
    "mbarrier.arrive.expect_tx.shared::cta.b64 _, [bar], 256;\n"
    "mov.u32 %r5, dynamic;\nmov.u32 %r6, bar;\n"
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
    "[%r5], [%p1], 256, [%r6];\n"
    "ready:\nbar.sync 0;\n"
    "wait:\nmbarrier.try_wait.parity.shared::cta.b64 %g1, [bar], 0;\n"
    "@!%g1 bra wait;\n"
    "mov.u32 %r0, dynamic;\nmad.lo.u32 %r0, %t, 4, %r0;\n"
    "ld.shared.u32 %r1, [%r0];\n"
    "mul.wide.u32 %q1, %t, 4;\nadd.u64 %q1, %q1, %p0;\n"
    "st.global.u32 [%q1], %r1;";

TEST_F(Check, BulkCopies) {
  for (u32 i = 0; i < 64; ++i)
    in[i] = i * i;
  EXPECT_EQ(run(BULK), "");
  for (u32 i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], i * i);
  // One try is not enough: it may be early.
  expectReport(replaced(BULK, "@!%g1 bra wait;", ""), 16, "before the wait");
}

TEST_F(Check, BulkCopiesThatAreNotCounted) {
  expectReport(replaced(BULK, "_, [bar], 256", "_, [bar], 512"), 12,
               "waits for ever");
  expectReport(replaced(BULK, "mbarrier.init.shared::cta.b64 [bar], 1;", ""), 5,
               "not initialised");
}

TEST_F(Check, Uninitialised) {
  settings().uninitialised = true;
  expectReport("ld.shared.u32 %r0, [dynamic];", 1, "that nobody wrote");
  EXPECT_EQ(run("st.shared.u32 [dynamic], 1;\nbar.warp.sync -1;\n"
                "ld.shared.u32 %r0, [dynamic];",
                32),
            "");
  settings().uninitialised = false;
}

TEST_F(Check, DeadlockOfAGrid) {
  // A grid barrier: all CTAs count, all wait for the count.
  std::string body = "atom.add.acq_rel.gpu.global.u32 %r0, [%p0], 1;\n"
                     "again:\n"
                     "ld.acquire.gpu.global.u32 %r0, [%p0];\n"
                     "setp.lt.u32 %g0, %r0, 4;\n"
                     "@%g0 bra again;";
  EXPECT_EQ(run(body, 1, 0, 4, true), "");
  out[0] = 0; // CTAs that do not all run cannot wait for each other
  expectReport(body, 3, "waits for ever", 1, 0, 4, false);
  out[0] = 0;
  expectReport(replaced(body, "4;", "5;"), 3, "waits for ever", 1, 0, 4, true);
}

TEST_F(Check, BarrierThatOthersDoNotReach) {
  expectReport("setp.lt.u32 %g0, %t, 32;\n@%g0 bar.sync 1, 64;", 2,
               "waits for ever at a barrier");
}

TEST_F(Check, Trap) {
  expectReport("trap;", 1, "trap");
  EXPECT_EQ(code, CUDA_ERROR_ILLEGAL_INSTRUCTION);
}

TEST(Parse, ErrorsNameLineAndText) {
  auto error = [](const std::string &body) -> std::string {
    try {
      Program p(kernel(0, body));
      return "";
    } catch (Fault &f) {
      return f.what();
    }
  };
  EXPECT_EQ(error("frob.u32 %r0, %r1;"),
            "k: line 17: unknown opcode 'frob': frob.u32 %r0, %r1;");
  EXPECT_EQ(error("add.rz.f32 %f0, %f1, %f2;"),
            "k: line 17: '.rz' is not emulated: add.rz.f32 %f0, %f1, %f2;");
  EXPECT_EQ(error("bra nowhere;"), "line 17: unknown label 'nowhere'");
  EXPECT_EQ(error("add.u32 %r0, %r1;"),
            "k: line 17: not emulated: add.u32 %r0, %r1;");
  EXPECT_EQ(error("mov.u32 %r0, %zz;"),
            "k: line 17: unknown name '%zz': mov.u32 %r0, %zz;");
  EXPECT_EQ(error("st.global.u64 [%q0], %r0;"),
            "k: line 17: expects a register of 64 bits: st.global.u64 [%q0], "
            "%r0;");
  EXPECT_EQ(error(".reg .b32 %t;"),
            "line 17: a second definition of '%t', got ';'");
  EXPECT_EQ(error("ld.global.u32 %r0 [%q0];"),
            "line 17: expects ';', got '[%q0];'");
}

} // namespace
