// Packed weights, caches and kernel bodies of the stage `select`.
#include "passes/KernelSymbols.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace gemmac {

KernelSymbols::KernelSymbols(ModuleOp module, const Target &target)
    : target(target), module(module),
      builder(OpBuilder::atBlockBegin(module.getBody())) {
  for (auto weight : module.getOps<gemma::WeightOp>()) {
    tensors[weight.getSymName()] = weight;
    names.insert(weight.getSymName());
  }
  for (auto cache : module.getOps<gemma::CacheOp>())
    sourceCaches[cache.getSymName()] = cache;
  module.walk([&](gemma::TopOp top) { heads.insert(top.getWeight()); });
}

std::string KernelSymbols::siblingName(FlatSymbolRefAttr tensor,
                                       StringRef last) {
  auto [prefix, own] = tensor.getValue().rsplit('.');
  return own.empty() ? last.str() : (prefix + "." + last).str();
}

// Names of merged weights stay clear of the tensors' names, which single
// weights keep.
std::string KernelSymbols::unique(StringRef name) {
  std::string result = name.str();
  for (int i = 1; !names.insert(result).second; ++i)
    result = llvm::formatv("{0}_{1}", name, i);
  return result;
}

// Ops verify that weights and caches exist and have their shapes, but not what
// gemma-choose-formats leaves on them.
FailureOr<gemma::WeightOp> KernelSymbols::tensor(Operation *user,
                                                 FlatSymbolRefAttr name) {
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  for (auto [what, format] : {std::pair("format", weight.getFormat()),
                              std::pair("act", weight.getAct())})
    if (!format)
      return user->emitError() << "expects weight " << name << " with a "
                               << what << " (gemma-choose-formats), got none";
  const Format &format = formatOf(*weight.getFormat());
  if (format.isQuantized() && weight.dim(weight.rank() - 1) % format.block)
    return user->emitError()
           << "expects a multiple of " << format.block << " columns of weight "
           << name << " in format " << *weight.getFormat() << ", got "
           << weight.dim(weight.rank() - 1);
  return weight;
}

SmallVector<Attribute> KernelSymbols::pieces(gemma::WeightOp weight,
                                             int64_t begin, int64_t end) {
  auto piece = [&](StringRef tensor, int64_t first, int64_t last) -> Attribute {
    return kernel::PieceAttr::get(builder.getContext(), tensor, first, last, 0,
                                  weight.dim(weight.rank() - 1));
  };
  if (!weight.getPartsAttr())
    return {piece(weight.getFrom(), begin, end)};
  SmallVector<Attribute> result;
  int64_t rows = weight.dim(weight.rank() - 2) / 2, row = 0;
  for (StringRef part : weight.getPartsAttr().getAsValueRange<StringAttr>()) {
    int64_t first = std::max<int64_t>(begin - row, 0),
            last = std::min(end - row, rows);
    if (first < last)
      result.push_back(piece(part, first, last));
    row += rows;
  }
  return result;
}

WeightRef KernelSymbols::add(const std::string &key, StringRef name,
                             Location loc, ArrayAttr pieces, StringRef format,
                             StringRef act, const Layout &layout, Shape shape) {
  std::string symbol = created.insert(name).second ? name.str() : unique(name);
  int64_t rows = shape.rows;
  if (shape.interleave)
    rows = 2 * roundUp(rows / 2, shape.interleave);
  kernel::WeightOp::create(
      builder, loc, symbol, format, layout.name, shape.rows, shape.cols,
      shape.stack, shape.interleave, pieces, FlatSymbolRefAttr(), IntegerAttr(),
      layout.bytes(rows, shape.cols) * shape.stack, IntegerAttr());
  WeightRef ref = {FlatSymbolRefAttr::get(builder.getContext(), symbol),
                   format.str(), act.str(), shape.rows, shape.cols};
  return weights[key] = ref;
}

FailureOr<WeightRef> KernelSymbols::describe(Operation *user,
                                             FlatSymbolRefAttr name) {
  FailureOr<gemma::WeightOp> weight = tensor(user, name);
  if (failed(weight))
    return failure();
  unsigned rank = weight->rank();
  return WeightRef{name, weight->getFormat()->str(), weight->getAct()->str(),
                   rank > 1 ? weight->dim(rank - 2) : 1, weight->dim(rank - 1)};
}

// A head of 8 bits, where a scan of five of them is worth it.
bool KernelSymbols::isScanned(gemma::WeightOp weight) const {
  const Format &format = formatOf(*weight.getFormat());
  return heads.contains(weight.getSymName()) && target.scansHead &&
         *format.scan && *weight.getAct() == format.act && weight.rank() == 2;
}

FailureOr<WeightRef> KernelSymbols::matrix(Operation *user,
                                           FlatSymbolRefAttr name) {
  std::string key = "matrix " + name.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  FailureOr<gemma::WeightOp> weight = tensor(user, name);
  if (failed(weight))
    return failure();
  unsigned rank = weight->rank();
  int64_t rows = weight->dim(rank - 2), stack = rank == 3 ? weight->dim(0) : 1;
  std::string format = weight->getFormat()->str();
  auto store = [&](const std::string &key, const std::string &symbol,
                   const Layout &layout) {
    return add(key, symbol, weight->getLoc(),
               builder.getArrayAttr(pieces(*weight, 0, rows)), format,
               weight->getAct()->str(), layout,
               {rows, weight->dim(rank - 1), stack, 0});
  };
  if (!isScanned(*weight))
    return store(key, name.getValue().str(), matrixLayout(format, target.dot));
  const Format &split = formatOf(formatOf(format).scan);
  WeightRef ref = store(key, name.getValue().str(), matrixLayout(split.name));
  ref.low = store(key + " low", unique((name.getValue() + ".low").str()),
                  matrixLayout(split.low))
                .name;
  ref.format = split.name;
  return weights[key] = ref;
}

FailureOr<WeightRef> KernelSymbols::merged(Operation *user, StringRef name,
                                           ArrayRef<FlatSymbolRefAttr> parts) {
  std::string key = "merged";
  for (FlatSymbolRefAttr part : parts)
    key += " " + part.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  FailureOr<WeightRef> first = describe(user, parts.front());
  if (failed(first))
    return failure();
  SmallVector<Attribute> below;
  int64_t rows = 0;
  for (FlatSymbolRefAttr part : parts) {
    FailureOr<WeightRef> ref = describe(user, part);
    if (failed(ref))
      return failure();
    if (ref->format != first->format || ref->act != first->act)
      return user->emitError()
             << "unsupported: " << parts.front() << " is " << first->format
             << " and " << part << " is " << ref->format
             << "; they are stored as one matrix and must agree (--quant=bf16 "
                "or "
                "--quant=f32 makes the formats equal)";
    llvm::append_range(below,
                       pieces(tensors.lookup(part.getValue()), 0, ref->rows));
    rows += ref->rows;
  }
  return add(
      key, unique(name), tensors.lookup(parts.front().getValue()).getLoc(),
      builder.getArrayAttr(below), first->format, first->act,
      matrixLayout(first->format, target.dot), {rows, first->cols, 1, 0});
}

FailureOr<WeightRef>
KernelSymbols::interleaved(Operation *user, StringRef name,
                           ArrayRef<FlatSymbolRefAttr> parts) {
  std::string key = "interleaved";
  for (FlatSymbolRefAttr part : parts)
    key += " " + part.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  FailureOr<WeightRef> gate = describe(user, parts.front());
  FailureOr<WeightRef> up = describe(user, parts.back());
  if (failed(gate) || failed(up))
    return failure();
  gemma::WeightOp first = tensors.lookup(parts.front().getValue());
  gemma::WeightOp last = tensors.lookup(parts.back().getValue());
  bool isStack = parts.size() == 1;
  if (gate->format != up->format || gate->act != up->act)
    return user->emitError()
           << "unsupported: gate " << parts.front() << " (" << gate->format
           << ") and up " << parts.back() << " (" << up->format
           << ") are stored interleaved and must have one format";
  int64_t half = isStack ? gate->rows / 2 : gate->rows;
  SmallVector<Attribute> both = pieces(first, 0, half);
  llvm::append_range(both, isStack ? pieces(first, half, 2 * half)
                                   : pieces(last, 0, half));
  return add(key, isStack ? name.str() : unique(name), first.getLoc(),
             builder.getArrayAttr(both), gate->format, gate->act,
             matrixLayout(gate->format, target.dot),
             {2 * half, gate->cols, isStack ? first.dim(0) : 1, 32});
}

FailureOr<WeightRef> KernelSymbols::view(Operation *user, StringRef name,
                                         const WeightRef &weight, int64_t begin,
                                         int64_t end) {
  std::string key =
      llvm::formatv("view {0} {1} {2}", weight.name.getValue(), begin, end);
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  const Layout &layout = matrixLayout(weight.format, target.dot);
  if (begin % layout.rowGroup || (end != weight.rows && end % layout.rowGroup))
    return user->emitError()
           << "unsupported: rows [" << begin << ", " << end << ") of "
           << weight.name << " do not begin and end at multiples of "
           << layout.rowGroup;
  std::string symbol = unique(name);
  kernel::WeightOp::create(
      builder, user->getLoc(), symbol, weight.format, layout.name, end - begin,
      weight.cols, 1, 0, ArrayAttr(), weight.name,
      builder.getI64IntegerAttr(begin), layout.bytes(end - begin, weight.cols),
      IntegerAttr());
  WeightRef ref = {FlatSymbolRefAttr::get(builder.getContext(), symbol),
                   weight.format, weight.act, end - begin, weight.cols};
  return weights[key] = ref;
}

WeightRef KernelSymbols::vector(FlatSymbolRefAttr name) {
  std::string key = "vector " + name.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  return add(key, name.getValue(), weight.getLoc(),
             builder.getArrayAttr(pieces(weight, 0, 1)), "f32", "f32",
             rowsLayout("f32"), {1, weight.dim(0), 1, 0});
}

FailureOr<WeightRef> KernelSymbols::gathered(Operation *user,
                                             FlatSymbolRefAttr name) {
  std::string key = "gathered " + name.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  FailureOr<WeightRef> ref = describe(user, name);
  if (failed(ref))
    return failure();
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  WeightRef added =
      add(key, name.getValue(), weight.getLoc(),
          builder.getArrayAttr(pieces(weight, 0, ref->rows)), ref->format,
          ref->act, rowsLayout(ref->format), {ref->rows, ref->cols, 1, 0});
  std::prev(builder.getInsertionPoint())
      ->setAttr(kernel::pleMark, builder.getUnitAttr());
  return added;
}

FailureOr<kernel::CacheOp> KernelSymbols::cache(Operation *user,
                                                FlatSymbolRefAttr name) {
  if (auto it = caches.find(name.getValue()); it != caches.end())
    return it->second;
  gemma::CacheOp source = sourceCaches.lookup(name.getValue());
  if (!source.getFormat())
    return user->emitError() << "expects cache " << name
                             << " with a format (gemma-choose-formats)";
  std::string format = source.getFormat()->str();
  int64_t heads = source.getHeads(), dim = source.getDim();
  if (dim % 32 || dim > 1024)
    return user->emitError()
           << "unsupported: cache " << name << " has " << heads
           << " heads of size " << dim
           << "; the head size must be a multiple of 32, at most 1024";
  auto cache = kernel::CacheOp::create(
      builder, source.getLoc(), source.getSymName(), format, heads, dim,
      source.getWindow(), keyPageBytes(format, heads, dim),
      valuePageBytes(format, heads, dim), IntegerAttr());
  return caches[name.getValue()] = cache;
}

FlatSymbolRefAttr KernelSymbols::body(const KernelSpec &spec, Location loc) {
  std::string symbol = kernelSymbol(spec);
  if (bodies.insert(symbol).second)
    kernel::DefOp::create(
        builder, loc, symbol, spec.family, spec.rows,
        kernel::constantsAttr(builder.getContext(), spec.constants));
  return FlatSymbolRefAttr::get(builder.getContext(), symbol);
}

} // namespace gemmac
