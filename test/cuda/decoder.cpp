// Statements into instructions.
#include "test/cuda/decoder.h"

#include "runtime/cuda/driver_api.h"

namespace cuemu {

int Rows::fresh() {
  Row garbage;
  memset(&garbage, 0xcd, sizeof garbage);
  kernel.image.push_back(garbage);
  return int(kernel.image.size()) - 1;
}

int Rows::constant(u64 value, bool wide) {
  auto [it, added] = constants.try_emplace({wide ? value : u32(value), wide});
  if (added) {
    it->second = fresh();
    for (int lane = 0; lane < 32; ++lane)
      wide ? void(kernel.image.back().q[lane] = value)
           : void(kernel.image.back().w[lane] = u32(value));
  }
  return it->second;
}

int Rows::special(Special which) {
  auto [it, added] = specials.try_emplace(which);
  if (added) {
    it->second = fresh();
    memset(&kernel.image.back(), 0, sizeof(Row)); // also read as 64 bits
    kernel.specials.push_back({which, it->second});
  }
  return it->second;
}

u64 Rows::place(const Variable &v) {
  auto it = offsets.find(&v);
  if (it != offsets.end())
    return it->second;
  if (v.space == Space::Local) {
    u64 at = (kernel.localBytes + v.align - 1) / v.align * v.align;
    kernel.localBytes = at + v.bytes;
    return offsets[&v] = at;
  }
  return v.address;
}

void Decoder::fail(const std::string &what) const {
  throw Fault(CUDA_ERROR_INVALID_PTX,
              "line " + std::to_string(s.line) + ": " + what + ": " + s.text);
}

const Operand &Decoder::operand(size_t n) const {
  if (n >= s.operands.size())
    fail("expects " + std::to_string(n + 1) + " operands");
  return s.operands[n];
}

bool Decoder::take(std::string_view m) {
  for (size_t i = 0; i < taken.size(); ++i)
    if (!taken[i] && s.modifiers[i] == m)
      return taken[i] = true;
  return false;
}

std::string Decoder::takeOne(std::initializer_list<const char *> these) {
  for (const char *m : these)
    if (take(m))
      return m;
  return "";
}

std::string Decoder::takeType() {
  for (size_t i = taken.size(); i-- > 0;)
    if (!taken[i] && typeBytes(s.modifiers[i]) >= 0) {
      taken[i] = true;
      return s.modifiers[i];
    }
  fail("expects a type");
}

void Decoder::ignore(std::initializer_list<const char *> these) {
  for (const char *m : these)
    while (take(m)) {
    }
}

bool Decoder::allTaken(std::string *left) const {
  for (size_t i = 0; i < taken.size(); ++i)
    if (!taken[i]) {
      *left = s.modifiers[i];
      return false;
    }
  return true;
}

Space Decoder::takeSpace() {
  if (take("global"))
    return Space::Global;
  if (take("shared") || take("shared::cta"))
    return Space::Shared;
  if (take("local"))
    return Space::Local;
  if (take("param") || take("param::entry") || take("param::func"))
    return Space::Param;
  if (take("const"))
    return Space::Const;
  return Space::Generic;
}

int Decoder::bytesOf(const Operand &o) const {
  if (o.kind != Operand::Reg)
    return 8;
  return rows.function->registers[size_t(o.reg)].bytes;
}

u64 Decoder::symbolAddress(const Operand &o, bool generic) {
  const Variable &v = *o.variable;
  u64 at = rows.place(v) + u64(o.offset);
  if (generic)
    at += v.space == Space::Shared  ? SHARED_WINDOW
          : v.space == Space::Local ? LOCAL_WINDOW
          : v.space == Space::Param ? PARAM_WINDOW
                                    : 0;
  return at;
}

int Decoder::row(const Operand &o, int bytes) {
  static const char *const AXES[] = {"%tid", "%ntid", "%ctaid", "%nctaid"};
  static const std::pair<const char *, Special> OTHERS[] = {
      {"%laneid", Special::Lane},
      {"%warpid", Special::Warp},
      {"%nwarpid", Special::Warps},
      {"%lanemask_eq", Special::MaskEq},
      {"%lanemask_lt", Special::MaskLt},
      {"%lanemask_le", Special::MaskLe},
      {"%lanemask_gt", Special::MaskGt},
      {"%lanemask_ge", Special::MaskGe},
      {"%smid", Special::Sm},
      {"%nsmid", Special::Sms},
      {"%dynamic_smem_size", Special::DynamicShared},
      {"%total_smem_size", Special::TotalShared}};
  if (o.kind == Operand::Immediate)
    return rows.constant(o.value, bytes == 8);
  if (o.kind == Operand::Symbol)
    return rows.constant(symbolAddress(o, false), bytes == 8);
  if (o.kind == Operand::Reg) {
    if (!bytesOf(o))
      fail("expects a register that is no predicate");
    if (bytes == 8 && bytesOf(o) < 8)
      fail("expects a register of 64 bits");
    if (bytes && bytes < 8 && bytesOf(o) == 8)
      fail("expects no register of 64 bits");
    return rows.registers[size_t(o.reg)];
  }
  if (o.kind == Operand::Name) {
    for (int i = 0; i < 4; ++i)
      for (int axis = 0; axis < 3; ++axis)
        if (o.name == std::string(AXES[i]) + "." + "xyz"[axis])
          return rows.special(Special(i * 3 + axis));
    for (auto &[name, which] : OTHERS)
      if (o.name == name)
        return rows.special(which);
    fail("unknown name '" + o.name + "'");
  }
  fail("expects a register or a number");
}

void Decoder::result(size_t n) {
  auto one = [&](const Operand &o) {
    if (o.kind != Operand::None && o.kind != Operand::Reg)
      fail("expects a register for the result");
    if (in.ds == in.d.size())
      fail("too many results");
    in.d[in.ds++] = o.kind == Operand::None ? -1 : row(o, 0);
  };
  const Operand &o = operand(n);
  if (o.kind != Operand::Vector)
    return one(o);
  for (const Operand &x : o.list)
    one(x);
}

void Decoder::source(size_t n, int bytes) {
  auto one = [&](const Operand &o) {
    if (in.ss == in.s.size())
      fail("too many operands");
    in.s[in.ss++] = row(o, bytes);
  };
  const Operand &o = operand(n);
  if (o.kind != Operand::Vector)
    return one(o);
  for (const Operand &x : o.list)
    one(x);
}

void Decoder::lowSource(size_t n, int bytes) {
  const Operand &o = operand(n);
  const bool isVector = o.kind == Operand::Vector;
  size_t wide = 0, all = isVector ? o.list.size() : 1;
  for (size_t i = 0; i < all; ++i) {
    const Operand &x = isVector ? o.list[i] : o;
    wide += x.kind == Operand::Reg && bytesOf(x) == 8;
  }
  in.low = bytes < 8 && wide;
  if (in.low && wide != all)
    fail("expects registers of one size");
  source(n, in.low ? 8 : bytes);
}

void Decoder::operands(int bytes) {
  result(0);
  for (size_t n = 1; n < count(); ++n)
    source(n, bytes);
}

int Decoder::predicate(const Operand &o) {
  if (o.kind != Operand::Reg || bytesOf(o))
    fail("expects a predicate");
  return rows.registers[size_t(o.reg)];
}

void Decoder::address(size_t n) {
  const Operand &a = operand(n);
  if (a.kind != Operand::Address)
    fail("expects an address");
  const Operand &base = a.list[0];
  in.offset = a.offset;
  in.narrow = base.kind == Operand::Reg && bytesOf(base) == 4;
  if (base.kind == Operand::Symbol) {
    Space own = base.variable->space;
    if (in.space == Space::Generic || in.space == Space::Param)
      in.space = own;
    if (in.space != own && !(own == Space::Const && in.space == Space::Global))
      fail("'" + base.name + "' lies in another space");
  }
  if (in.space == Space::Const) // lies with the global variables
    in.space = Space::Global;
  in.s[in.ss++] = row(base, in.narrow ? 4 : 8);
}

i64 Decoder::otherAddress(size_t n, bool narrow) {
  const Operand &a = operand(n);
  if (a.kind != Operand::Address)
    fail("expects an address");
  const Operand &base = a.list[0];
  if (base.kind == Operand::Reg && (bytesOf(base) == 4) != narrow)
    fail(narrow ? "expects an address of 32 bits"
                : "expects an address of 64 bits");
  in.s[in.ss++] = row(base, narrow ? 4 : 8);
  return a.offset;
}

u64 Decoder::immediate(size_t n) const {
  if (operand(n).kind != Operand::Immediate)
    fail("expects a number");
  return operand(n).value;
}

} // namespace cuemu
