// PTX as text says it: functions, registers, variables and statements, with
// names resolved and nothing interpreted. The parser makes it, decoding reads
// it. Must not know opcodes, warps or the driver.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cuemu {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;

/// What stops a module or a kernel: the driver's code and one line of text.
struct Fault : std::runtime_error {
  Fault(int code, const std::string &text)
      : std::runtime_error(text), code(code) {}
  int code;
};

enum class Space : u8 { Generic, Global, Shared, Local, Param, Const };

struct Register {
  std::string name;
  int bytes = 0; // 0: a predicate
};

/// A symbol: of a module, of a function (.local, .shared), a parameter. The
/// parameters of functions and of calls are local memory of a thread; those of
/// entries are Param.
struct Variable {
  std::string name;
  Space space = Space::Generic;
  u32 align = 1, elementBytes = 1;
  u64 bytes = 0;
  bool dynamic = false; // extern shared memory, sized by the launch
  std::vector<u8> initial;
  struct Pointer {
    u64 at;
    std::string to;
  };
  std::vector<Pointer> pointers; // addresses of others within `initial`
  u64 address = 0;               // Global, Const: on the device, by loading
};

struct Operand {
  enum Kind : u8 { None, Reg, Immediate, Address, Vector, Symbol, Name };
  Kind kind = None;
  bool negated = false; // !%p
  int reg = -1;         // Reg: index into Function::registers
  int second = -1;      // Reg: that of `%p|%q`
  u64 value = 0;        // Immediate
  Variable *variable = nullptr;
  i64 offset = 0;            // Address: [list[0] + offset]; Symbol + offset
  std::string name;          // Name: label, function or special register
  std::vector<Operand> list; // Vector elements; Address base
};

struct Statement {
  int line = 0;
  std::string text; // as written, on one line
  int predicate = -1;
  bool negated = false;
  std::string opcode;                 // "ld"
  std::vector<std::string> modifiers; // "global", "v2", "f32"
  std::vector<Operand> operands;
  int target = -1; // of a branch: index of a statement
};

struct Function {
  std::string name;
  int line = 0;
  bool entry = false, defined = false;
  std::vector<Variable *> results, params;
  std::vector<Register> registers;
  std::vector<Statement> code;
  u32 maxThreads = 0, minCtas = 0, maxRegisters = 0; // 0: not stated
  bool exactThreads = false;                         // .reqntid
};

struct Ptx {
  std::string version, target; // "7.4", "sm_80"
  std::deque<Variable> variables;
  std::map<std::string, Variable *> symbols; // of the module
  std::map<std::string, Function> functions;
};

/// Bytes of a type's name ("b32", "f16x2"), 0 for "pred", -1 when it is none.
int typeBytes(std::string_view type);

/// Throws a Fault that names line and text.
std::unique_ptr<Ptx> parsePtx(std::string_view text);

} // namespace cuemu
