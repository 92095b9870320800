// atom and red: real atomic operations of the host, one lane after the other,
// so CTAs on several host threads see what a GPU's would.
#include "test/cuda/formats.h"
#include "test/cuda/lanes.h"

namespace cuemu {

namespace {

template <class T, auto F>
void atomic(Warp &w, const Instruction &in, u32 mask) {
  bool changed = false;
  lanes(mask, [&](int l) {
    u8 *p =
        w.access(addressOf(w, in, in.s[0], l), sizeof(T), in.space, l, true);
    T b = get<T>(w.rows[size_t(in.s[1])], l);
    T c = in.ss > 2 ? get<T>(w.rows[size_t(in.s[2])], l) : b;
    auto *at = reinterpret_cast<Bits<T> *>(p);
    Bits<T> old = __atomic_load_n(at, __ATOMIC_SEQ_CST), now;
    do
      now = std::bit_cast<Bits<T>>(T(F(std::bit_cast<T>(old), b, c)));
    while (!__atomic_compare_exchange_n(at, &old, now, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST));
    changed |= old != now;
    if (in.ds && in.d[0] >= 0)
      set<T>(w.rows[size_t(in.d[0])], l, std::bit_cast<T>(old));
  });
  if (changed)
    w.cta->grid->changes.fetch_add(1, std::memory_order_relaxed);
}

template <class T>
Execute *integer(const std::string &op) {
  if (op == "add")
    return atomic<T, [](T o, T b, T) { return T(Bits<T>(o) + Bits<T>(b)); }>;
  if (op == "min")
    return atomic<T, [](T o, T b, T) { return o < b ? o : b; }>;
  if (op == "max")
    return atomic<T, [](T o, T b, T) { return o > b ? o : b; }>;
  if (op == "exch")
    return atomic<T, [](T, T b, T) { return b; }>;
  if (op == "cas")
    return atomic<T, [](T o, T b, T c) { return o == b ? c : o; }>;
  if (op == "and")
    return atomic<T, [](T o, T b, T) { return T(o & b); }>;
  if (op == "or")
    return atomic<T, [](T o, T b, T) { return T(o | b); }>;
  if (op == "xor")
    return atomic<T, [](T o, T b, T) { return T(o ^ b); }>;
  if (op == "inc")
    return atomic<T, [](T o, T b, T) { return o >= b ? T(0) : T(o + 1); }>;
  if (op == "dec")
    return atomic<T,
                  [](T o, T b, T) { return o == 0 || o > b ? b : T(o - 1); }>;
  return nullptr;
}

} // namespace

Execute *decodeAtomic(Decoder &d) {
  bool returns = d.opcode() == "atom";
  d.in.space = d.takeSpace();
  std::string type = d.takeType();
  std::string op = d.takeOne(
      {"add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec"});
  d.takeOne({"relaxed", "acquire", "release", "acq_rel"});
  d.takeOne({"cta", "gpu", "sys", "cluster"});
  d.in.sync = d.in.polls = true;
  if (returns)
    d.result(0);
  size_t n = returns ? 1 : 0;
  d.address(n);
  for (size_t i = n + 1; i < d.count(); ++i)
    d.source(i, typeBytes(type));
  if (d.in.ss != (op == "cas" ? 3 : 2))
    d.fail("expects another number of operands");
  if (type == "f32" && op == "add") // global memory flushes subnormals
    return d.in.space == Space::Shared
               ? atomic<float, [](float o, float b,
                                  float) { return canonical(o + b); }>
               : atomic<float, [](float o, float b, float) {
                   return flushed(canonical(flushed(o) + flushed(b)));
                 }>;
  if (type == "f64" && op == "add")
    return atomic<double, [](double o, double b, double) { return o + b; }>;
  return byInteger(type, [&]<class T>() -> Execute * {
    if constexpr (sizeof(T) >= 4)
      return integer<T>(op);
    return nullptr;
  });
}

} // namespace cuemu
