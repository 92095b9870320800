// Functions into kernels: which group knows an opcode, which functions an entry
// reaches, where their variables lie.
#include "test/cuda/decoder.h"

#include "runtime/cuda/driver_api.h"

#include <functional>

namespace cuemu {

namespace {

using Group = Execute *(*)(Decoder &);

/// Which group knows an opcode.
const std::map<std::string, Group> &groups() {
  static const std::map<std::string, Group> table = [] {
    std::map<std::string, Group> t;
    auto add = [&](Group g, std::initializer_list<const char *> opcodes) {
      for (const char *o : opcodes)
        t[o] = g;
    };
    add(decodeInteger, {"add",  "sub",  "mul", "mad",  "div",  "rem", "min",
                        "max",  "abs",  "neg", "and",  "or",   "xor", "not",
                        "cnot", "shl",  "shr", "shf",  "bfe",  "bfi", "bfind",
                        "brev", "popc", "clz", "prmt", "lop3", "sad", "dp4a"});
    add(decodeFloat,
        {"fma", "sqrt", "rcp", "rsqrt", "ex2", "lg2", "copysign", "testp"});
    add(decodeCompare, {"setp", "set", "selp", "slct"});
    add(decodeConvert, {"cvt"});
    add(decodeMove, {"mov", "cvta", "isspacep"});
    add(decodeMemory, {"ld", "ldu", "st", "prefetch", "prefetchu"});
    add(decodeAtomic, {"atom", "red"});
    add(decodeWarp, {"shfl", "vote", "match", "activemask", "redux"});
    add(decodeAsync, {"cp", "mbarrier"});
    add(decodeTensor, {"mma", "ldmatrix"});
    add(decodeControl,
        {"bra", "ret", "exit", "call", "bar", "barrier", "membar", "fence",
         "griddepcontrol", "nanosleep", "trap"});
    return t;
  }();
  return table;
}

/// Decodes an entry and the functions that it calls, each once.
class KernelDecoder {
public:
  KernelDecoder(const Ptx &ptx, Kernel &k)
      : ptx(ptx), k(k), rows{k, ptx, {}, {}, {}, {}, nullptr} {}

  void run(const Function &entry) {
    reach(entry);
    for (const Function *f : reached)
      place(*f);
    decode(entry);
    for (const Function *f : reached)
      if (f != &entry)
        decode(*f);
    for (Instruction &in : k.code)
      if (in.flow == Flow::Call)
        in.target = starts.at(calls.at(in.source));
  }

private:
  /// Callees before callers would do as well; a cycle has no end.
  void reach(const Function &f) {
    for (const Function *above : path)
      if (above == &f)
        throw Fault(CUDA_ERROR_INVALID_PTX, "line " + std::to_string(f.line) +
                                                ": '" + f.name +
                                                "' calls itself");
    path.push_back(&f);
    for (const Statement &s : f.code)
      if (s.opcode == "call")
        reach(*calls.emplace(&s, callee(s)).first->second);
    path.pop_back();
    for (const Function *other : reached)
      if (other == &f)
        return;
    reached.push_back(&f);
  }

  const Function *callee(const Statement &s) {
    for (const Operand &o : s.operands)
      if (o.kind == Operand::Name) {
        auto it = ptx.functions.find(o.name);
        if (it != ptx.functions.end() && it->second.defined)
          return &it->second;
        throw Fault(CUDA_ERROR_INVALID_PTX, "line " + std::to_string(s.line) +
                                                ": unknown function '" +
                                                o.name + "': " + s.text);
      }
    throw Fault(CUDA_ERROR_INVALID_PTX,
                "line " + std::to_string(s.line) +
                    ": calls by address are not emulated: " + s.text);
  }

  /// Shared variables that F names get their places; a dynamic one stands
  /// behind all others, so it waits.
  void place(const Function &f) {
    std::function<void(const Operand &)> visit = [&](const Operand &o) {
      if (o.variable && o.variable->space == Space::Shared)
        shared.insert({o.variable->name, o.variable});
      for (const Operand &x : o.list)
        visit(x);
    };
    for (const Statement &s : f.code)
      for (const Operand &o : s.operands)
        visit(o);
    for (const Statement &s : f.code)
      if (s.opcode == "call")
        passParameters(s, *calls.at(&s));
  }

  /// The parameters of a call are those of the function: nobody calls itself,
  /// so there is one of each per thread.
  void passParameters(const Statement &s, const Function &f) {
    std::vector<const Operand *> lists;
    for (const Operand &o : s.operands)
      if (o.kind == Operand::Vector)
        lists.push_back(&o);
    auto same = [&](const std::vector<Variable *> &own) {
      if (own.empty() && (lists.empty() || !lists[0]->list.empty()))
        return;
      bool fits = !lists.empty() && lists[0]->list.size() == own.size();
      for (size_t i = 0; fits && i < own.size(); ++i) {
        const Variable *passed = lists[0]->list[i].variable;
        fits = passed && passed->bytes == own[i]->bytes;
        if (fits)
          rows.offsets[passed] = rows.place(*own[i]);
      }
      if (!fits)
        Decoder(rows, s).fail("other parameters than '" + f.name + "' has");
      lists.erase(lists.begin());
    };
    same(f.results);
    same(f.params);
  }

  void placeShared() {
    u64 end = 0, dynamic = 1;
    for (auto &[name, v] : shared) {
      if (v->dynamic) {
        dynamic = std::max<u64>(dynamic, v->align);
        continue;
      }
      end = (end + v->align - 1) / v->align * v->align;
      rows.offsets[v] = end;
      end += v->bytes;
    }
    end = (end + dynamic - 1) / dynamic * dynamic;
    for (auto &[name, v] : shared)
      if (v->dynamic)
        rows.offsets[v] = end;
    k.staticShared = end;
  }

  void decode(const Function &f) {
    if (f.entry)
      placeShared();
    rows.function = &f;
    rows.registers.clear();
    int words = 0;
    for (const Register &r : f.registers) {
      rows.registers.push_back(r.bytes ? rows.fresh() : k.predicates++);
      words += (r.bytes + 3) / 4;
    }
    k.registers = std::max(k.registers, words);
    int begin = starts[&f] = int(k.code.size());
    for (const Statement &s : f.code)
      k.code.push_back(one(s));
    Instruction last; // where falling off the end and `ret` lead
    last.flow = f.entry ? Flow::Exit : Flow::Return;
    last.source = f.code.empty() ? nullptr : &f.code.back();
    int end = int(k.code.size());
    for (int i = begin; i < end; ++i) {
      Instruction &in = k.code[size_t(i)];
      if (in.flow == Flow::Branch)
        in.target = in.source->target < 0 ? end : begin + in.source->target;
    }
    k.code.push_back(last);
    findJoins(k.code, begin, end + 1);
  }

  Instruction one(const Statement &s) {
    Decoder d(rows, s);
    auto group = groups().find(s.opcode);
    if (group == groups().end())
      d.fail("unknown opcode '" + s.opcode + "'");
    d.in.run = group->second(d);
    if (s.predicate >= 0) {
      if (rows.function->registers[size_t(s.predicate)].bytes)
        d.fail("expects a predicate after @");
      d.in.predicate = rows.registers[size_t(s.predicate)];
      d.in.negated = s.negated;
    }
    std::string left;
    if (!d.allTaken(&left))
      d.fail("'." + left + "' is not emulated");
    if (!d.in.run && d.in.flow == Flow::Next)
      d.fail("not emulated");
    k.waitsForGrid |= d.in.flow == Flow::Grid;
    return d.in;
  }

  const Ptx &ptx;
  Kernel &k;
  Rows rows;
  std::vector<const Function *> path, reached;
  std::map<const Statement *, const Function *> calls;
  std::map<const Function *, int> starts;
  std::map<std::string, const Variable *> shared;
};

} // namespace

std::unique_ptr<Kernel> decodeKernel(const Ptx &ptx, const Function &f) {
  auto k = std::make_unique<Kernel>();
  k->function = &f;
  k->name = f.name;
  if (f.maxThreads)
    k->maxThreads = f.maxThreads;
  for (Variable *v : f.params) {
    v->address = (k->paramBytes + v->align - 1) / v->align * v->align;
    k->params.push_back({v->address, v->bytes});
    k->paramBytes = v->address + v->bytes;
  }
  try {
    KernelDecoder(ptx, *k).run(f);
  } catch (Fault &fault) {
    throw Fault(fault.code, f.name + ": " + fault.what());
  }
  return k;
}

} // namespace cuemu
