// What the compiler must know about a piece of hardware: one file per target
// returns one Target. Plain data; must not know MLIR, Halide or LLVM.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gemmac {

// The int8 dot product: u8 x i8 by fours into i32 (VNNI), i8 x i8 by fours
// into i32 (sdot), u8 x i8 by pairs into saturated i16 (vpmaddubsw).
enum class DotKind { None, U8S8, S8S8, U8S8Pairs, Smmla };

struct Target {
  std::string name;    // "x86-avx512", as in --target=
  std::string summary; // one line for --list-targets
  std::string triple;  // of generated code
  std::string arch;    // runtime-<arch>.o that programs are linked with
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
  int64_t vectorRegisters = 0;
  DotKind dot = DotKind::None;
  bool bf16Dot = false; // has a bf16 pair dot product into f32
  // Whether a scan of the vocabulary by part of its bits (Format::scan) is
  // faster than computing all logits.
  bool scansHead = false;
  std::vector<int64_t>
      linearRows; // row tiles M that linear bodies are made for, ascending
};

// All targets, of each architecture the best first: --list-targets shows them
// so and "host" is the first that runs.
const std::vector<Target> &targets();
// What programs for the target ask of their machine, asked of this one.
bool runsHere(const Target &target);
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
