// Packed weights, caches and kernel bodies of the stage `select`.
#include "passes/KernelSymbols.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace gemmac {

KernelSymbols::KernelSymbols(ModuleOp module, const Target &target)
    : target(target), builder(OpBuilder::atBlockBegin(module.getBody())) {
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
                             Location loc, ArrayRef<Attribute> pieces,
                             WeightRef what, const Layout &layout,
                             int64_t stack, int64_t interleave) {
  std::string symbol = created.insert(name).second ? name.str() : unique(name);
  int64_t rows = what.rows;
  if (interleave)
    rows = 2 * roundUp(rows / 2, interleave);
  kernel::WeightOp::create(
      builder, loc, symbol, what.format, layout.name, what.rows, what.cols,
      stack, interleave, builder.getArrayAttr(pieces), FlatSymbolRefAttr(),
      IntegerAttr(), layout.bytes(rows, what.cols) * stack, IntegerAttr());
  what.name = FlatSymbolRefAttr::get(builder.getContext(), symbol);
  return weights[key] = what;
}

WeightRef KernelSymbols::describe(FlatSymbolRefAttr name) {
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  unsigned rank = weight.rank();
  return {name, weight.getFormat()->str(), weight.getAct()->str(),
          rank > 1 ? weight.dim(rank - 2) : 1,
          roundUp(weight.dim(rank - 1), formatOf(*weight.getFormat()).block)};
}

// A head of 8 bits, where a scan of five of them is worth it.
bool KernelSymbols::isScanned(gemma::WeightOp weight) const {
  const Format &format = formatOf(*weight.getFormat());
  return heads.contains(weight.getSymName()) && target.scansHead &&
         *format.scan && *weight.getAct() == format.act && weight.rank() == 2;
}

WeightRef KernelSymbols::matrix(FlatSymbolRefAttr name, int64_t rows) {
  std::string key = "matrix " + name.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  WeightRef what = describe(name);
  int64_t stack = weight.rank() == 3 ? weight.dim(0) : 1;
  auto store = [&](const std::string &key, const std::string &symbol,
                   const Layout &layout) {
    SmallVector<Attribute> all = pieces(weight, 0, what.rows);
    WeightRef padded = what;
    padded.rows = std::max(what.rows, rows);
    return add(key, symbol, weight.getLoc(), all, padded, layout, stack);
  };
  if (!isScanned(weight))
    return store(key, name.getValue().str(),
                 matrixLayout(what.format, target.dot));
  const Format &split = formatOf(formatOf(what.format).scan);
  WeightRef ref = store(key, name.getValue().str(), matrixLayout(split.name));
  ref.low = store(key + " low", unique((name.getValue() + ".low").str()),
                  matrixLayout(split.low))
                .name;
  ref.format = split.name;
  return weights[key] = ref;
}

WeightRef KernelSymbols::merged(StringRef name,
                                ArrayRef<FlatSymbolRefAttr> parts,
                                int64_t interleave, int64_t rows) {
  std::string key = interleave ? "interleaved" : "merged";
  for (FlatSymbolRefAttr part : parts)
    key += " " + part.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  gemma::WeightOp first = tensors.lookup(parts.front().getValue());
  WeightRef all = describe(parts.front());
  SmallVector<Attribute> below;
  if (first.rank() == 3) { // a stack: the halves of every member
    for (int64_t row : {int64_t(0), all.rows / 2})
      llvm::append_range(below, pieces(first, row, row + all.rows / 2));
    return add(key, name, first.getLoc(), below, all,
               matrixLayout(all.format, target.dot), first.dim(0), interleave);
  }
  all.rows = 0;
  for (FlatSymbolRefAttr part : parts) {
    WeightRef ref = describe(part);
    assert(ref.format == all.format && ref.act == all.act &&
           "Packing::check has compared them");
    llvm::append_range(below,
                       pieces(tensors.lookup(part.getValue()), 0, ref.rows));
    all.rows += ref.rows;
  }
  all.rows = std::max(all.rows, rows);
  return add(key, unique(name), first.getLoc(), below, all,
             matrixLayout(all.format, target.dot), 1, interleave);
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

WeightRef KernelSymbols::table(FlatSymbolRefAttr name) {
  std::string key = "table " + name.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  WeightRef what = describe(name);
  what.rows = weight.getTensorType().getNumElements() / what.cols;
  return add(key, name.getValue(), weight.getLoc(),
             pieces(weight, 0, what.rows), what,
             matrixLayout(what.format, target.dot));
}

WeightRef KernelSymbols::vector(FlatSymbolRefAttr name) {
  std::string key = "vector " + name.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  return add(key, name.getValue(), weight.getLoc(), pieces(weight, 0, 1),
             {name, "f32", "f32", 1, weight.dim(0)}, rowsLayout("f32"));
}

WeightRef KernelSymbols::gathered(FlatSymbolRefAttr name) {
  std::string key = "gathered " + name.getValue().str();
  if (auto it = weights.find(key); it != weights.end())
    return it->second;
  gemma::WeightOp weight = tensors.lookup(name.getValue());
  WeightRef what = describe(name);
  what = add(key, name.getValue(), weight.getLoc(),
             pieces(weight, 0, what.rows), what, rowsLayout(what.format));
  std::prev(builder.getInsertionPoint())
      ->setAttr(kernel::pleMark, builder.getUnitAttr());
  return what;
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
  if (dim % 32 || dim > target.mostHeadSize)
    return user->emitError()
           << "unsupported: cache " << name << " has " << heads
           << " heads of size " << dim
           << "; the head size must be a multiple of 32, at most "
           << target.mostHeadSize;
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
