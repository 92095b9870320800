// Attention on CPUs: split by keys with partial results and a merge in class
// `few`; over tiles of rows, merging as it goes, in class `many`. The
// arithmetic is the same.
#include "passes/CpuRecipe.h"

namespace gemmac::cpu {

// `own` are neighbours in one matrix of the file. Where all of its readers
// stand together one product serves them; else each multiplies its own rows.
FailureOr<Projection> CpuRecipe::project(Value h, FlatSymbolRefAttr norm,
                                         double eps,
                                         ArrayRef<FlatSymbolRefAttr> own,
                                         StringRef name) {
  const Pack pack = c.packing.of(cast<gemma::MatrixUser>(op), own.front());
  WeightRef w = pack.parts.size() == 1 ? c.symbols.matrix(own.front()) : [&] {
    StringRef last = StringRef("qkv").substr(!pack.joined, pack.parts.size());
    return c.symbols.merged(
        KernelSymbols::siblingName(pack.parts.front(), last), pack.parts);
  }();
  Projection result;
  int64_t begin = w.rows, end = 0;
  for (FlatSymbolRefAttr matrix : own) {
    int64_t row = 0;
    for (const FlatSymbolRefAttr *part = pack.parts.begin(); *part != matrix;
         ++part)
      row += c.symbols.describe(*part).rows;
    result.columns.push_back(row);
    begin = std::min(begin, row);
    end = std::max(end, row + c.symbols.describe(matrix).rows);
  }
  const bool isShared = pack.joined && pack.together;
  if (!isShared && end - begin < w.rows) {
    FailureOr<WeightRef> part = c.symbols.view(
        op, (w.name.getValue() + "_" + name).str(), w, begin, end);
    if (failed(part))
      return failure();
    w = *part;
    for (int64_t &column : result.columns)
      column -= begin;
  }
  result.product = normedLinear(h, norm, eps, w, isShared ? "qkv" : name);
  return result;
}

LogicalResult CpuRecipe::lower(gemma::KvBlockOp op) {
  layer = op.getKAttr();
  SmallVector<FlatSymbolRefAttr> own = {op.getKAttr()};
  if (op.getV())
    own.push_back(op.getVAttr());
  double eps = op.getEps().convertToDouble();
  FailureOr<kernel::CacheOp> cache = c.symbols.cache(op, op.getCacheAttr());
  if (failed(cache))
    return failure();
  FailureOr<Projection> kv =
      project(op.getH(), op.getNormAttr(), eps, own, "kv");
  if (failed(kv))
    return failure();
  append(op, *cache, *kv);
  return success();
}

void CpuRecipe::append(gemma::KvBlockOp op, kernel::CacheOp cache,
                       const Projection &kv) {
  call({.family = "append",
        .constants = {{"heads", int64_t(cache.getHeads())},
                      {"hd", int64_t(cache.getDim())},
                      {"pairs", int64_t(op.getPairs())},
                      {"eps", op.getEps().convertToDouble()},
                      {"cache", cache.getFormat().str()}},
        .inputs = {kv.product, at(op.getTable()), ioArg(Io::tile)},
        .weights = {c.symbols.vector(op.getKNormAttr())},
        .chosen = {kv.columns.front(), kv.columns.back()},
        .cache = op.getCacheAttr()});
}

LogicalResult CpuRecipe::lower(gemma::AttentionBlockOp op) {
  layer = op.getQAttr();
  FailureOr<kernel::CacheOp> cache = c.symbols.cache(op, op.getCacheAttr());
  if (failed(cache))
    return failure();
  // Splits of global layers end with their rows.
  if (op.getEnd() && !cache->isLocal())
    return op.emitError("unsupported: blocks of images on a layer without a "
                        "window; it is causal in every model");
  WeightRef o = c.symbols.matrix(op.getOAttr());
  c.symbols.vector(op.getQNormAttr()); // its place in the file is here
  double eps = op.getEps().convertToDouble();
  FailureOr<Projection> q =
      project(op.getH(), op.getNormAttr(), eps, op.getQAttr(), "q");
  if (failed(q))
    return failure();
  Value y = attentionProduct(op, *cache, *q, o);
  endBlock({at(op.getH()), y, op.getPostAttr(), std::nullopt, eps},
           op.getResult());
  return success();
}

Value CpuRecipe::attentionProduct(gemma::AttentionBlockOp op,
                                  kernel::CacheOp cache, const Projection &q,
                                  const WeightRef &o) {
  int64_t hd = cache.getDim(), heads = o.cols / hd;
  Value roped = call({.family = "rope_q",
                      .name = "q_roped",
                      .constants = {{"heads", heads},
                                    {"hd", hd},
                                    {"pairs", int64_t(op.getPairs())},
                                    {"eps", op.getEps().convertToDouble()},
                                    {"cache", cache.getFormat().str()}},
                      .inputs = {q.product, at(op.getTable())},
                      .weights = {c.symbols.vector(op.getQNormAttr())},
                      .chosen = q.columns})[0];
  Value a = attend(roped, cache, op.getEnd(), heads, o.act);
  return linear(a, o, "attn_proj");
}

// The attention itself, rounded to `act`, whose blocks of 32 columns lie in one
// head.
Value CpuRecipe::attend(Value q, kernel::CacheOp cache, Value end,
                        int64_t heads, StringRef act) {
  bool isLocal = cache.isLocal();
  int64_t hd = cache.getDim();
  Call what = {.family = end ? "attend_blocks" : "attend",
               .name = c.few() ? "attn_parts" : "attn_out",
               // Partials are f32 whatever reads the merged result.
               .constants = {{"heads", heads},
                             {"hd", hd},
                             {"group", heads / int64_t(cache.getHeads())},
                             {"window", int64_t(cache.getWindow())},
                             {"cache", cache.getFormat().str()},
                             {"act", c.few() ? "f32" : act.str()}},
               .inputs = {q, ioArg(Io::tile)},
               .cache = FlatSymbolRefAttr::get(cache.getSymNameAttr())};
  if (end)
    what.inputs.push_back(at(end));
  if (!c.few())
    return call(what)[0];
  what.inputs.push_back(ioArg(isLocal ? Io::split_local : Io::split_global));
  Value parts = ioArg(isLocal ? Io::parts_local : Io::parts_global);
  return call({.family = "merge",
               .name = "attn_out",
               .constants = {{"heads", heads}, {"hd", hd}, {"act", act.str()}},
               .inputs = {call(what)[0], parts}})[0];
}

} // namespace gemmac::cpu
