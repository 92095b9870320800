// A kernel as the interpreter runs it: decoded instructions over rows of 32
// lanes. Must not know text (but for reports), streams or the driver.
#pragma once

#include "test/cuda/ptx.h"

#include <array>
#include <cstring>

namespace cuemu {

struct Warp;
struct Instruction;
using Execute = void(Warp &, const Instruction &, u32 mask);

constexpr u32 ALL = ~0u;
/// Generic addresses of shared and local memory and parameters: their offset
/// plus these. Everything else is global.
constexpr u64 SHARED_WINDOW = 1ull << 56, LOCAL_WINDOW = 2ull << 56,
              PARAM_WINDOW = 3ull << 56, WINDOW_BYTES = 1ull << 32;

/// A register of a warp: one value per lane.
union alignas(64) Row {
  u32 w[32];
  u64 q[32];
};

enum class Flow : u8 {
  Next,
  Branch,  // lanes of the mask to `target`; both sides meet at `join`
  Exit,    // lanes of the mask end
  Call,    // to `target` until Return
  Return,  // end of a function
  Barrier, // of threads of the CTA
  Grid,    // griddepcontrol.wait
};

/// Rows of `d` (results) and `s` (sources) are indices into Warp::rows, those
/// of predicates into Warp::predicates; -1 stands for `_`. What the other
/// fields mean is up to `run`.
struct Instruction {
  Execute *run = nullptr;
  Flow flow = Flow::Next;
  bool negated = false;
  bool whole = false;  // a fault when lanes of the warp are elsewhere
  bool narrow = false; // the address is 32 bits
  bool low = false;    // sources are the low bits of registers of 64
  bool polls = false;  // a loop of these waits for somebody
  bool sync = false;   // ordered by itself: no race
  bool hint = false;   // reads nothing, whatever it names
  Space space = Space::Generic;
  int predicate = -1;
  int target = -1, join = -1;
  std::array<int, 8> d{};
  std::array<int, 12> s{};
  u8 ds = 0, ss = 0;
  int vector = 1; // elements of a load or store
  int mode = 0, mode2 = 0;
  i64 offset = 0, offset2 = 0;
  const Statement *source = nullptr;
};

enum class Special : u8 {
  Tid, // .x .y .z follow each other, as below
  TidY,
  TidZ,
  Ntid,
  NtidY,
  NtidZ,
  Ctaid,
  CtaidY,
  CtaidZ,
  Nctaid,
  NctaidY,
  NctaidZ,
  Lane,
  Warp,
  Warps,
  MaskEq,
  MaskLt,
  MaskLe,
  MaskGt,
  MaskGe,
  Sm,
  Sms,
  DynamicShared,
  TotalShared,
};

struct Kernel {
  const Function *function = nullptr;
  std::string name;
  struct Param {
    u64 offset, bytes;
  };
  std::vector<Param> params;
  u64 paramBytes = 0;
  std::vector<Instruction> code;
  std::vector<Row> image; // rows as they start: constants, and else garbage
  int predicates = 0;
  std::vector<std::pair<Special, int>> specials; // and their rows
  u64 localBytes = 0;                            // of a thread
  u64 staticShared = 0;
  u32 maxThreads = 1024;
  int registers = 0; // of a thread: an upper bound from what is declared
  bool waitsForGrid = false;
  u64 maxDynamicShared = 48 << 10; // as cuFuncSetAttribute left it
};

/// Entry F of a module whose variables have their addresses.
std::unique_ptr<Kernel> decodeKernel(const Ptx &ptx, const Function &f);

} // namespace cuemu
