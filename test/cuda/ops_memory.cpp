// Loads and stores of every space, and prefetches (which only check).
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

/// R is the register's type, M what lies in memory.
template <class R, class M>
void load(Warp &w, const Instruction &in, u32 mask) {
  u32 bytes = u32(sizeof(M)) * u32(in.vector);
  lanes(mask, [&](int l) {
    const u8 *p =
        w.access(addressOf(w, in, in.s[0], l), bytes, in.space, l, false);
    M values[8];
    memcpy(values, p, bytes);
    for (int n = 0; n < in.vector; ++n)
      if (in.d[size_t(n)] >= 0)
        set<R>(w.rows[size_t(in.d[size_t(n)])], l, R(values[n]));
  });
}

template <class M>
void store(Warp &w, const Instruction &in, u32 mask) {
  u32 bytes = u32(sizeof(M)) * u32(in.vector);
  lanes(mask, [&](int l) {
    u8 *p = w.access(addressOf(w, in, in.s[0], l), bytes, in.space, l, true);
    M values[8];
    for (int n = 0; n < in.vector; ++n)
      values[n] = getLow<M>(in, w.rows[size_t(in.s[size_t(1 + n)])], l);
    memcpy(p, values, bytes);
  });
  if (in.space != Space::Local)
    w.cta->grid->changes.fetch_add(1, std::memory_order_relaxed);
}

/// What orders or caches; says whether others may write what is read.
bool takeQualifiers(Decoder &d) {
  std::string order =
      d.takeOne({"volatile", "relaxed", "acquire", "release", "mmio"});
  d.take("weak");
  d.take("nc");
  d.ignore({"cta",
            "gpu",
            "sys",
            "cluster",
            "ca",
            "cg",
            "cs",
            "lu",
            "cv",
            "wb",
            "wt",
            "L1::no_allocate",
            "L1::evict_normal",
            "L1::evict_last",
            "L1::evict_first",
            "L1::evict_unchanged",
            "L2::64B",
            "L2::128B",
            "L2::256B",
            "L2::evict_last",
            "L2::evict_first",
            "L2::evict_normal"});
  return !order.empty();
}

/// The memory type of a name; floats are their bits.
std::string plain(const std::string &type) {
  int bytes = typeBytes(type);
  bool number = type[0] == 'u' || type[0] == 's';
  return number ? type : "b" + std::to_string(8 * bytes);
}

void prefetch(Warp &w, const Instruction &in, u32 mask) {
  lanes(mask, [&](int l) {
    w.access(addressOf(w, in, in.s[0], l), 1, in.space, l, false);
  });
}

} // namespace

Execute *decodeMemory(Decoder &d) {
  const std::string &op = d.opcode();
  d.in.space = d.takeSpace();
  if (op == "prefetch" || op == "prefetchu") {
    d.takeOne({"L1", "L2", "L2::evict_last", "L2::evict_normal"});
    d.in.hint = true;
    d.address(0);
    return prefetch;
  }
  std::string type = plain(d.takeType()),
              vector = d.takeOne({"v2", "v4", "v8"});
  d.in.vector = vector.empty() ? 1 : vector[1] - '0';
  d.in.sync = d.in.polls = takeQualifiers(d);
  int bytes = typeBytes(type);
  if (bytes > 8 || bytes * d.in.vector > 32)
    return nullptr;
  if (op == "st") {
    d.in.polls = false;
    d.address(0);
    d.lowSource(1, bytes);
    if (d.in.ss != 1 + d.in.vector)
      d.fail("expects " + std::to_string(d.in.vector) + " values");
    return byInteger(type,
                     []<class T>() -> Execute * { return store<Bits<T>>; });
  }
  d.result(0);
  d.address(1);
  if (d.in.ds != d.in.vector)
    d.fail("expects " + std::to_string(d.in.vector) + " registers");
  const Operand &to = d.operand(0);
  const Operand &first = to.kind == Operand::Vector ? to.list[0] : to;
  bool wide = first.kind == Operand::Reg && d.bytesOf(first) == 8;
  return byInteger(type, [&]<class T>() -> Execute * {
    if (wide)
      return std::is_signed_v<T> ? load<i64, T> : load<u64, T>;
    return load<T, T>;
  });
}

} // namespace cuemu
