// What the compiler must know about a piece of hardware: one file per target
// returns one Target. Plain data; must not know MLIR, Halide or LLVM.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gemmac {

// Which recipe makes kernel calls of fused ops (passes/Recipes.h).
// Cpu: segments run as SPMD functions on threads; Cuda: they launch kernels on
// an NVIDIA card, through its driver.
enum class Device { Cpu, Cuda };

// The int8 dot product: u8 x i8 by fours into i32 (VNNI), i8 x i8 by fours
// into i32 (sdot), u8 x i8 by pairs into saturated i16 (vpmaddubsw).
enum class DotKind { U8S8, S8S8, U8S8Pairs };

// What schedules of the Halide families are made of. Each decides speed alone:
// results do not depend on it.
struct Tuning {
  // Row tiles M that products are made for, ascending: weights are read once
  // for the rows of a tile, whose sums must fit into registers.
  std::vector<int64_t> rows;
  // Most vectors of weights read side by side per step of k in products of
  // floats: four streams (AVX-512), four groups of two vectors (AVX2), two
  // groups of four (NEON). More gained nothing.
  int64_t weightVectors;
  // Registers for sums of products of floats, and where a vector of bf16 pairs
  // is widened to two; what is left holds weights and activations.
  int64_t sums, widenedSums;
  // Vectors of outputs of a quantised product at a time, all rows together:
  // each has an f32 sum and up to two of int32.
  int64_t quantizedSums;
  // How many bytes ahead quantised weights are fetched: the first rows of a
  // step read them from memory, and the hardware fetches ahead within a page
  // only. For the rows after them it costs nothing that can be measured.
  int64_t weightPrefetch = 0;
  // How many bytes ahead weights of an expert are fetched for the first rows
  // that chose it, which read them at the pace of arithmetic, too slow for the
  // hardware to fetch across pages: 8 rows take 80 cycles for the 288 bytes of
  // a block of q4_0 (AVX-512), and this is 16 blocks.
  int64_t expertPrefetch = 4608;
  // Units of 16 outputs of experts_down per pass over the experts of many rows:
  // their part of y stays in the cache while all experts add to it.
  int64_t expertUnits = 24;
};

struct Target {
  Device device = Device::Cpu;
  std::string name;    // "x86-avx512", as in --target=
  std::string summary; // one line for --list-targets
  std::string triple;  // of kernels; of all code on CPUs
  std::string arch;    // folder of the runtime that programs are linked with
  // Of CUDA: the compute capability that kernels are made for, 80 of 8.0; later
  // ones run them, too.
  int32_t sm = 0;
  // Of CUDA: those that `gemmac --ptxas` makes machine code for. A card runs
  // that of its generation's nearest, not later one; any other one PTX.
  std::vector<int32_t> cubins;
  // The least CPU of the architecture, and every feature above it that code may
  // use, implied ones included (LLVM's names). From this one list follow what
  // LLVM and clang generate for kernels and C++ bodies, what programs ask of
  // their machine before they run any (runtime/host/features.h) and what
  // `runsHere` says; test/targets/features_test.cpp compares all of them.
  std::string cpu;
  std::vector<std::string> features;
  std::string tune;     // LLVM's CPU that instructions are scheduled for
  std::string halide;   // Halide target string
  std::string machine;  // of C++ bodies: codegen/kernels/machines/<machine>.h
  std::string emulator; // qemu-user program that runs it elsewhere, for tests
  int64_t vectorBytes = 0;
  DotKind dot = DotKind::U8S8;
  bool bf16Dot = false;    // has a bf16 pair dot product into f32
  bool roundsBf16 = false; // LLVM rounds f32 to bf16 without calling libgcc
  // Whether a head of 8 bits is stored for a scan by part of its bits
  // (Format::scan), which is faster than computing all logits, or for weight
  // files that are shared with targets where it is.
  bool scansHead = false;
  int64_t mostHeadSize = 1024; // of keys and values
  Tuning tuning;
};

// All targets, of each architecture the best first: --list-targets shows them
// so and "host" is the first that runs.
const std::vector<Target> &targets();
// What programs for the target ask of their machine, asked of this one.
bool runsHere(const Target &target);
// The features that this machine lacks, which must be of the target's
// architecture.
std::vector<std::string> missingFeatures(const Target &target);
// What the code around kernels is made for: `target` itself, or the least CPU
// of the machine that a device is in.
Target hostOf(const Target &target);
// "+a,+b": the features as LLVM wants them.
std::string llvmFeatures(const Target &target);
// nullptr if there is none of that name. "host" is the best target that this
// machine can run, nullptr if there is none.
const Target *findTarget(const std::string &name);

// One per file, all named in targets/CMakeLists.txt.
#define GM_TARGET(function) Target function();
#include "targets/registered.inc"
#undef GM_TARGET

} // namespace gemmac
