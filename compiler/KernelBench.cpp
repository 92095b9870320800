// See KernelBench.h.
#include "compiler/KernelBench.h"
#include "codegen/KernelJit.h"
#include "runtime/gemma.h"
#include "runtime/host/probe.h"
#include "targets/Layouts.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <sys/mman.h>

namespace gemmac {

namespace {

// The shape of the calls that are timed, as the table of families says it.
struct Shape {
  const Family &family;
  CallShape call;
  int64_t k, experts = 1, top = 1;
  int64_t memberBytes; // of a matrix of the stack
  std::string act;

  // `blocks`: units where no constant says how many outputs there are.
  Shape(const KernelSpec &spec, int64_t blocks)
      : family(*findFamily(spec.family)), call{family, spec.constants},
        k(spec.constants.integer("k")), act(spec.constants.text("act")) {
    if (family.stack) {
      experts = spec.constants.integer("experts");
      top = spec.constants.integer("top");
    }
    int64_t outputs = blocks * family.unit(call);
    call.weights = {outputs * (family.interleaved ? 2 : 1)};
    // What nobody says (per-layer inputs) is as wide as the result.
    for (const Operand &input : family.inputs)
      call.inputs.push_back(input.columns ? input.columns(call) : outputs);
    complete(call, std::vector<int64_t>(family.scalars.size()));
    memberBytes = matrixLayout(spec.constants.text("format"))
                      .bytes(matrixRowsOf(call), k);
  }
  int64_t operations(int64_t rows) const {
    return 2 * rows * top * matrixRowsOf(call) * k;
  }
  // Of all inputs and results.
  int64_t valueBytes(int64_t rows) const {
    int64_t bytes = 0;
    for (size_t i = 0; i < call.inputs.size(); ++i)
      bytes += inputBytes(i, rows);
    return bytes + resultBytes(rows);
  }
  int64_t inputBytes(size_t i, int64_t rows) const {
    return roundUp(rows, fewRows) *
           rowBytes(operandEncoding(family.inputs[i].encoding, call.constants),
                    call.inputs[i]);
  }
  int64_t resultBytes(int64_t rows) const {
    return roundUp(rows, fewRows) *
           rowBytes(operandEncoding(family.results[0].encoding, call.constants),
                    call.results[0]);
  }
};

// Of all operands: about 1/64 or 1 as a float of any size. Denormal numbers
// would be several times slower.
constexpr char anyByte = 0x3c;

// Weights on huge pages, so that reads wait for memory alone: whole stacks (one
// matrix without experts) in sequence, more than caches hold.
class Weights {
public:
  explicit Weights(int64_t stackBytes)
      : stackBytes(stackBytes),
        stacks(std::max<int64_t>(1, gm::PROBE_BYTES / stackBytes)),
        data(static_cast<char *>(mmap(nullptr, size_t(bytes()),
                                      PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    if (!ok())
      return;
    madvise(data, size_t(bytes()), MADV_HUGEPAGE);
    memset(data, anyByte, size_t(bytes()));
  }
  Weights(const Weights &) = delete;
  ~Weights() {
    if (ok())
      munmap(data, size_t(bytes()));
  }
  bool ok() const { return data != MAP_FAILED; }
  int64_t bytes() const { return stackBytes * stacks; }
  char *stack(int64_t turn) const { return data + turn % stacks * stackBytes; }

private:
  int64_t stackBytes, stacks;
  char *data;
};

// One choice of experts for all rows, as top_experts and moe_sort make it.
struct Routing {
  std::vector<int32_t> ids, order;
  int64_t members; // that some row has chosen

  Routing(const Shape &shape, int64_t rows, std::mt19937 &random) {
    std::uniform_int_distribution<int32_t> expert(0, shape.experts - 1);
    for (int64_t r = 0; r < rows; ++r) {
      std::set<int32_t> chosen;
      while (int64_t(chosen.size()) < shape.top)
        chosen.insert(expert(random));
      ids.insert(ids.end(), chosen.begin(), chosen.end());
    }
    order.resize(ids.size());
    std::iota(order.begin(), order.end(), 0);
    llvm::sort(order, [&](int32_t a, int32_t b) {
      return std::pair(ids[a], a) < std::pair(ids[b], b);
    });
    members = std::set(ids.begin(), ids.end()).size();
  }
};

// The operands of the calls for some number of rows.
class Calls {
public:
  Calls(const KernelSpec &spec, const Shape &shape, const Weights &weights,
        int64_t rows)
      : parameters(kernelParameters(spec)), shape(shape), weights(weights),
        rows(rows) {
    for (size_t i = 0; i < shape.call.inputs.size(); ++i)
      buffers[shape.family.inputs[i].name].resize(shape.inputBytes(i, rows),
                                                  anyByte);
    buffers[shape.family.results[0].name].resize(shape.resultBytes(rows),
                                                 anyByte);
    std::mt19937 random(1);
    // Many rows choose nearly all experts at any time.
    for (int64_t i = 0; i < std::max<int64_t>(1, 64 / rows); ++i)
      routings.emplace_back(shape, rows, random);
  }

  // Makes the next call; gives the bytes of weights that it reads.
  int64_t next(const KernelJit &kernel) {
    Routing &routing = routings[turn % routings.size()];
    llvm::SmallVector<void *> pointers;
    llvm::SmallVector<int32_t> integers;
    for (const Parameter &p : parameters)
      if (p.pointer)
        pointers.push_back(pointer(p.name, routing));
      else
        integers.push_back(integer(p.name));
    kernel.call(pointers.data(), integers.data());
    ++turn;
    return routing.members * shape.memberBytes;
  }

private:
  void *pointer(const std::string &name, Routing &routing) {
    auto buffer = buffers.find(name);
    if (buffer == buffers.end())
      return weights.stack(turn);
    return name == "ids"     ? static_cast<void *>(routing.ids.data())
           : name == "order" ? static_cast<void *>(routing.order.data())
                             : static_cast<void *>(buffer->second.data());
  }
  int32_t integer(const std::string &name) const {
    if (name == "rows")
      return int32_t(rows);
    if (name == "begin")
      return 0;
    return int32_t(name == "end" ? unitsOf(shape.call)
                                 : shape.call.scalar(name));
  }

  const std::vector<Parameter> parameters;
  const Shape &shape;
  const Weights &weights;
  const int64_t rows;
  std::map<std::string, std::vector<char>> buffers; // of values
  std::vector<Routing> routings;
  int64_t turn = 0;
};

struct Rate {
  double seconds = 0, bytes = 0; // of a call; bytes per second
};

// The best of several runs, each as long as those of the probe.
Rate bestRate(Calls &calls, const KernelJit &kernel) {
  using Clock = std::chrono::steady_clock;
  Rate best;
  calls.next(kernel); // touches rows and results
  for (int attempt = 0; attempt < 6; ++attempt) {
    const Clock::time_point start = Clock::now();
    double seconds = 0, bytes = 0;
    int64_t count = 0;
    for (; seconds < 0.05; ++count) {
      bytes += double(calls.next(kernel));
      seconds = std::chrono::duration<double>(Clock::now() - start).count();
    }
    if (best.seconds == 0 || bytes / seconds > best.bytes)
      best = {seconds / double(count), bytes / seconds};
  }
  return best;
}

// "19.9     21.8    91.3": a rate, the probe's, its share; "-" without probe.
std::string besideProbe(double rate, double probe) {
  if (probe <= 0)
    return fmt::format("{:8.1f} {:>8} {:>7}", rate * 1e-9, "-", "-");
  return fmt::format("{:8.1f} {:8.1f} {:7.1f}", rate * 1e-9, probe * 1e-9,
                     100 * rate / probe);
}

Status checkSizes(const Shape &shape, const std::vector<int64_t> &rows) {
  int64_t most = *std::max_element(rows.begin(), rows.end());
  uint64_t available = gm::available_memory();
  uint64_t rest = uint64_t(shape.valueBytes(most)) + 2 * gm::PROBE_BYTES;
  if (rest > available ||
      uint64_t(shape.memberBytes) > (available - rest) / shape.experts)
    return makeError(ExitCode::Resources,
                     "not enough memory: {} x {} bytes of weights and {} bytes "
                     "beside them, available {}",
                     shape.experts, shape.memberBytes, rest, available);
  return Done{};
}

} // namespace

Status benchKernel(const KernelSpec &spec, const Target &target,
                   const std::vector<int64_t> &rows, int64_t units,
                   llvm::raw_ostream &out) {
  assert(!rows.empty());
  auto kernel = KernelJit::create(spec, target);
  if (!kernel)
    return kernel.error();
  Shape shape(spec, units);
  if (Status s = checkSizes(shape, rows); !s)
    return s;
  Weights weights(shape.memberBytes * shape.experts);
  if (!weights.ok())
    return makeError(ExitCode::Resources,
                     "not enough memory for {} bytes of weights",
                     weights.bytes());
  out << kernelSymbol(spec) << " for " << target.name
      << ", 1 thread, weights from memory\n"
      << " rows         ms     GB/s    probe  % read     GOPS    probe  % "
         "int8\n";
  gm::Probe before = gm::probe(1, false);
  for (int64_t n : rows) {
    Calls calls(spec, shape, weights, n);
    Rate rate = bestRate(calls, **kernel);
    gm::Probe after = gm::probe(1, false);
    double operations = double(shape.operations(n)) / rate.seconds;
    double int8 = std::max(before.int8_all, after.int8_all);
    out << fmt::format(
        "{:5} {:10.3f} {} {}\n", n, rate.seconds * 1e3,
        besideProbe(rate.bytes, std::max(before.read_all, after.read_all)),
        besideProbe(operations, isQuantized(shape.act) ? int8 : 0));
    out.flush();
    before = after;
  }
  return Done{};
}

} // namespace gemmac
