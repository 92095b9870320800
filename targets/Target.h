// What the compiler must know about a piece of hardware: one file per target
// returns one Target. Plain data; must not know MLIR, Halide or LLVM.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gemmac {

// Which recipe makes kernel calls of fused ops (passes/Recipes.h).
enum class Device { Cpu };

// The int8 dot product: u8 x i8 by fours into i32 (VNNI), i8 x i8 by fours
// into i32 (sdot), u8 x i8 by pairs into saturated i16 (vpmaddubsw).
enum class DotKind { None, U8S8, S8S8, U8S8Pairs, Smmla };

struct Target {
  Device device = Device::Cpu;
  std::string name;          // "x86-avx512", as in --target=
  std::string summary;       // one line for --list-targets
  std::string triple;        // of generated code
  std::string arch;          // runtime-<arch>.o that programs are linked with
  std::string cpu, features; // for LLVM
  std::string halide;        // Halide target string
  std::string emulator; // qemu-user program that runs it elsewhere, for tests
  std::vector<std::string>
      required; // CPU features by the names the runtime tests
  int64_t vectorBytes = 0;
  int64_t vectorRegisters = 0;
  DotKind dot = DotKind::None;
  bool bf16Dot = false;  // has a bf16 pair dot product into f32
  int64_t rowGroup = 16; // output rows that a weight layout keeps together
  std::vector<int64_t>
      linearRows; // row tiles M that linear bodies are made for, ascending
};

// All targets, of each architecture the best first: --list-targets shows them
// so and "host" is the first that runs.
const std::vector<Target> &targets();
// Whether this machine can run code for the target.
bool runsHere(const Target &target);
// nullptr if there is none of that name. "host" is the best target that this
// machine can run, nullptr if there is none.
const Target *findTarget(const std::string &name);

// One per file; registered in Target.cpp.
Target x86Avx512();
Target x86Avx2();
Target armNeon();

} // namespace gemmac
