// One statement on its way to an instruction: operands become rows, modifiers
// are taken one by one, and a modifier that nobody takes is an error, so
// nothing is ignored by accident. Must not know how instructions run.
#pragma once

#include "test/cuda/kernel.h"

#include <initializer_list>
#include <set>

namespace cuemu {

/// Rows of a kernel while its functions are decoded one after the other.
struct Rows {
  Kernel &kernel;
  const Ptx &ptx;
  std::map<std::pair<u64, bool>, int> constants;
  std::map<Special, int> specials;
  std::map<const Variable *, u64> offsets; // of shared, local and params
  std::vector<int> registers; // of the function at hand: row or predicate
  const Function *function = nullptr;

  int fresh();
  int constant(u64 value, bool wide);
  int special(Special which);
  /// Where a variable lies in its space.
  u64 place(const Variable &v);
};

class Decoder {
public:
  Decoder(Rows &rows, const Statement &s)
      : rows(rows), s(s), taken(s.modifiers.size()) {
    in.source = &s;
  }

  Instruction in;

  const std::string &opcode() const { return s.opcode; }
  size_t count() const { return s.operands.size(); }
  const Operand &operand(size_t n) const;

  /// Takes modifier M if it is there.
  bool take(std::string_view m);
  /// Takes the first of THESE that is there; empty if none is.
  std::string takeOne(std::initializer_list<const char *> these);
  /// Takes the last type that is left.
  std::string takeType();
  /// Takes what changes neither values nor checks (cache hints and the like).
  void ignore(std::initializer_list<const char *> these);
  bool allTaken(std::string *left) const;
  Space takeSpace();

  /// Appends results and sources; a vector appends its elements.
  void result(size_t n);
  void source(size_t n, int bytes);
  /// The same where registers may be wider than BYTES: of 64 bits `in.low`.
  void lowSource(size_t n, int bytes);
  /// All operands: the first is the result, all of BYTES.
  void operands(int bytes);
  /// Predicates.
  int predicate(const Operand &o);
  /// Appends an address: its base to `in.s`, its offset to `in.offset`. Sets
  /// the space that a symbol has.
  void address(size_t n);
  /// Appends the base of another address with a row of its own that holds
  /// base + offset when that is a constant; returns the offset.
  i64 otherAddress(size_t n, bool narrow);
  u64 immediate(size_t n) const;
  int bytesOf(const Operand &o) const;
  int row(const Operand &o, int bytes);
  u64 symbolAddress(const Operand &o, bool generic);

  [[noreturn]] void fail(const std::string &what) const;

  Rows &rows;

private:
  const Statement &s;
  std::vector<bool> taken;
};

// One per group of opcodes: what runs the statement, or null when the group
// does not know it.
Execute *decodeInteger(Decoder &d);
Execute *decodeFloat(Decoder &d);
/// add, sub, mul, min, max, abs, neg, div and fma of TYPE.
Execute *decodeFloatArithmetic(Decoder &d, const std::string &type);
Execute *decodeCompare(Decoder &d);
Execute *decodeConvert(Decoder &d);
Execute *decodeMove(Decoder &d);
Execute *decodeMemory(Decoder &d);
Execute *decodeAtomic(Decoder &d);
Execute *decodeWarp(Decoder &d);
Execute *decodeAsync(Decoder &d);
Execute *decodeTensor(Decoder &d);
Execute *decodeControl(Decoder &d);

/// Sets `join` of every branch in CODE [BEGIN, END) to the immediate
/// postdominator of its block, -1 where the sides never meet.
void findJoins(std::vector<Instruction> &code, int begin, int end);

} // namespace cuemu
