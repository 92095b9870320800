#include "passes/Packing.h"

#include "targets/Formats.h"

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {

static bool isStoredLike(WeightOp a, WeightOp b) {
  return a.getFormatAttr() == b.getFormatAttr() &&
         a.getActAttr() == b.getActAttr();
}

Packing::Packing(ModuleOp module) {
  SymbolTable symbols(module);
  for (auto weight : module.getOps<WeightOp>()) {
    stored.insert(weight);
    rounded.insert(weight);
  }
  module.walk([&](MatrixUser op) {
    for (const MatrixRead &read : op.getMatrices())
      if (read.weight)
        reads.push_back(
            {read, op, symbols.lookup<WeightOp>(read.weight.getAttr())});
  });
  std::map<MatrixKey, WeightOp> firstStored, firstRounded;
  std::map<MatrixKey, MatrixKey> activations; // of packs
  auto add = [&](const Read &read, size_t at) {
    Pack &pack = packs[read.pack];
    if (!llvm::is_contained(pack.parts, read.weight))
      pack.parts.insert(pack.parts.begin() + at, read.weight);
    pack.together &=
        activations.try_emplace(read.pack, read.activation).first->second ==
        read.activation;
  };
  for (const Read &read : reads) {
    auto join = [&](auto &groups, auto &first, const MatrixKey &key) {
      if (key != MatrixKey())
        groups.unionSets(first.try_emplace(key, read.matrix).first->second,
                         read.matrix);
    };
    join(rounded, firstRounded, read.activation);
    if (read.joins || read.pack == MatrixKey())
      continue;
    join(stored, firstStored, read.pack);
    add(read, packs[read.pack].parts.size());
  }
  for (const Read &read : reads)
    if (auto first = firstStored.find(read.pack);
        read.joins && first != firstStored.end() &&
        isStoredLike(read.matrix, first->second))
      add(read, packs[read.pack].joined++);
}

static LogicalResult checkFormat(const Packing::Read &read) {
  MatrixUser op = read.op;
  WeightOp weight = read.matrix;
  std::string name = ("@" + weight.getSymName()).str();
  for (auto [what, format] : {std::pair("format", weight.getFormat()),
                              std::pair("act", weight.getAct())})
    if (!format)
      return op->emitError() << "expects weight " << name << " with a " << what
                             << " (gemma-choose-formats), got none";
  const Format &format = formatOf(*weight.getFormat());
  int64_t columns = weight.dim(weight.rank() - 1);
  if (format.isQuantized() && columns % format.block && !read.pads)
    return op->emitError() << "expects a multiple of " << format.block
                           << " columns of weight " << name << " in format "
                           << *weight.getFormat() << ", got " << columns;
  return success();
}

LogicalResult Packing::check() const {
  constexpr StringLiteral advice =
      " must agree (--quant=bf16 or --quant=f32 makes the formats equal)";
  std::map<MatrixKey, WeightOp> firstStored;
  std::map<std::pair<Operation *, MatrixKey>, WeightOp> firstRounded;
  for (const Read &read : reads) {
    MatrixUser op = read.op;
    WeightOp matrix = read.matrix;
    if (failed(checkFormat(read)))
      return failure();
    if (read.pack != MatrixKey() && !read.joins) {
      WeightOp first = firstStored.try_emplace(read.pack, matrix).first->second;
      if (!isStoredLike(first, matrix))
        return op->emitError()
               << "unsupported: @" << first.getSymName() << " is "
               << *first.getFormat() << " and " << read.weight << " is "
               << *matrix.getFormat() << "; they are stored as one matrix and"
               << advice;
    }
    if (read.activation == MatrixKey())
      continue;
    WeightOp first =
        firstRounded.try_emplace({op, read.activation}, matrix).first->second;
    if (first.getActAttr() != matrix.getActAttr())
      return op->emitError()
             << "unsupported: @" << first.getSymName() << " multiplies "
             << *first.getAct() << " activations and " << read.weight << " "
             << *matrix.getAct() << "; they" << advice;
  }
  return success();
}

Pack Packing::of(MatrixUser op, FlatSymbolRefAttr matrix) const {
  for (const MatrixRead &read : op.getMatrices())
    if (auto pack = packs.find(read.pack);
        read.weight == matrix && pack != packs.end() &&
        llvm::is_contained(pack->second.parts, matrix))
      return pack->second;
  return {.parts = {matrix}};
}

} // namespace gemmac
