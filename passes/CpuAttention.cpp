// Attention on CPUs: split by keys with partial results and a merge in class
// `few`; over tiles of rows, merging as it goes, in class `many`. The
// arithmetic is the same.
#include "passes/CpuRecipe.h"

namespace gemmac::cpu {

// The attention_block of the same layer, which shares the norm and the cache;
// null if another layer owns the queries' input.
static gemma::AttentionBlockOp queriesOf(gemma::KvBlockOp kv) {
  gemma::AttentionBlockOp found;
  kv->getParentOfType<ModuleOp>().walk([&](gemma::AttentionBlockOp block) {
    if (block.getNorm() == kv.getNorm() && block.getCache() == kv.getCache())
      found = block;
  });
  return found;
}

static gemma::KvBlockOp keysOf(gemma::AttentionBlockOp block) {
  gemma::KvBlockOp found;
  block->getParentOfType<ModuleOp>().walk([&](gemma::KvBlockOp kv) {
    if (block.getNorm() == kv.getNorm() && block.getCache() == kv.getCache())
      found = kv;
  });
  return found;
}

// Both read one residual in one function: one product serves them.
static bool together(gemma::KvBlockOp kv, gemma::AttentionBlockOp block) {
  return kv && block && kv->getBlock() == block->getBlock() &&
         kv.getH() == block.getH() && kv.getEps() == block.getEps();
}

// q | k | v below each other; v is absent where K = V.
static FailureOr<WeightRef> packedQkv(KernelSymbols &symbols, Operation *user,
                                      gemma::AttentionBlockOp block,
                                      gemma::KvBlockOp kv) {
  SmallVector<FlatSymbolRefAttr> parts;
  if (block)
    parts.push_back(block.getQAttr());
  parts.push_back(kv.getKAttr());
  if (kv.getV())
    parts.push_back(kv.getVAttr());
  if (parts.size() == 1)
    return symbols.matrix(user, parts.front());
  std::string last =
      std::string(block ? "q" : "") + "k" + (kv.getV() ? "v" : "");
  return symbols.merged(user, KernelSymbols::siblingName(parts.front(), last),
                        parts);
}

// Queries in another format than keys and values are a matrix of their own.
static bool agree(KernelSymbols &symbols, gemma::KvBlockOp kv,
                  gemma::AttentionBlockOp block) {
  FailureOr<WeightRef> q = symbols.describe(block, block.getQAttr());
  FailureOr<WeightRef> k = symbols.describe(kv, kv.getKAttr());
  return failed(q) || failed(k) || (q->format == k->format && q->act == k->act);
}

LogicalResult CpuRecipe::kvBlock(gemma::KvBlockOp op) {
  layer = op.getKAttr();
  gemma::AttentionBlockOp queries = queriesOf(op), block;
  if (queries && agree(c.symbols, op, queries))
    block = queries;
  FailureOr<WeightRef> packed = packedQkv(c.symbols, op, block, op);
  FailureOr<WeightRef> k = c.symbols.describe(op, op.getKAttr());
  FailureOr<kernel::CacheOp> cache = c.symbols.cache(op, op.getCacheAttr());
  FailureOr<Value> tile = ioArg(Io::tile);
  if (failed(packed) || failed(k) || failed(cache) || failed(tile))
    return failure();
  int64_t heads = cache->getHeads(), hd = cache->getDim();
  int64_t column = 0; // of k in the product
  WeightRef w = *packed;
  if (block) {
    int64_t queries = packed->rows - k->rows * (op.getV() ? 2 : 1);
    if (together(op, block)) {
      column = queries;
    } else {
      std::string name = (w.name.getValue() + "_kv").str();
      FailureOr<WeightRef> part = c.symbols.view(op, name, w, queries, w.rows);
      if (failed(part))
        return failure();
      w = *part;
    }
  }
  double eps = op.getEps().convertToDouble();
  Value x = norm(at(op.getH()), c.symbols.vector(op.getNormAttr()), eps, w.act,
                 "attn_in");
  Value product = linear(x, w, together(op, block) ? "qkv" : "kv");
  if (together(op, block))
    c.products[block] = product;
  else if (together(op, queries))
    c.norms[queries] = {x, w.act};
  call({.family = "append",
        .constants = Constants()
                         .set("heads", heads)
                         .set("hd", hd)
                         .set("pairs", int64_t(op.getPairs()))
                         .set("eps", eps)
                         .set("cache", cache->getFormat().str()),
        .inputs = {product, at(op.getTable()), *tile},
        .weights = {c.symbols.vector(op.getKNormAttr())},
        .chosen = {column, op.getV() ? column + k->rows : column},
        .cache = op.getCacheAttr()});
  return success();
}

LogicalResult CpuRecipe::attentionBlock(gemma::AttentionBlockOp op) {
  layer = op.getQAttr();
  if (op.getEnd())
    return op.emitError("unsupported: attention to image blocks");
  FailureOr<kernel::CacheOp> cache = c.symbols.cache(op, op.getCacheAttr());
  FailureOr<WeightRef> q = c.symbols.describe(op, op.getQAttr());
  FailureOr<WeightRef> o = c.symbols.matrix(op, op.getOAttr());
  WeightRef qNorm = c.symbols.vector(op.getQNormAttr());
  if (failed(cache) || failed(q) || failed(o))
    return failure();
  int64_t hd = cache->getDim(), heads = q->rows / hd;
  double eps = op.getEps().convertToDouble();
  Value h = at(op.getH()), product = c.products.lookup(op);
  if (!product) {
    FailureOr<WeightRef> w = failure();
    gemma::KvBlockOp kv = keysOf(op);
    if (kv && agree(c.symbols, kv, op)) {
      // The cut layer: keys in body, queries in tail, one packed matrix.
      w = packedQkv(c.symbols, op, op, kv);
      if (succeeded(w))
        w = c.symbols.view(op, (w->name.getValue() + "_q").str(), *w, 0,
                           q->rows);
    } else {
      w = c.symbols.matrix(op, op.getQAttr());
    }
    if (failed(w))
      return failure();
    auto [x, act] = c.norms.lookup(op);
    if (!x || act != w->act)
      x = norm(h, c.symbols.vector(op.getNormAttr()), eps, w->act, "attn_in");
    product = linear(x, *w, "q");
  }
  Value roped = call({.family = "rope_q",
                      .name = "q_roped",
                      .constants = Constants()
                                       .set("heads", heads)
                                       .set("hd", hd)
                                       .set("pairs", int64_t(op.getPairs()))
                                       .set("eps", eps)
                                       .set("cache", cache->getFormat().str()),
                      .inputs = {product, at(op.getTable())},
                      .weights = {qNorm},
                      .chosen = {0}})[0];
  Value a = attend(roped, *cache, heads, o->act);
  if (!a)
    return failure();
  addNorm(h, linear(a, *o, "attn_proj"), op.getPostAttr(), std::nullopt, eps,
          op.getResult());
  return success();
}

// The attention itself, rounded to `act`, whose blocks of 32 columns lie in one
// head; null after an error.
Value CpuRecipe::attend(Value q, kernel::CacheOp cache, int64_t heads,
                        StringRef act) {
  bool isLocal = cache.isLocal();
  FailureOr<Value> tile = ioArg(Io::tile);
  FailureOr<Value> split = ioArg(isLocal ? Io::split_local : Io::split_global),
                   parts = ioArg(isLocal ? Io::parts_local : Io::parts_global);
  if (failed(tile) || failed(split) || failed(parts))
    return {};
  int64_t hd = cache.getDim();
  Call what = {.family = "attend",
               .name = c.few() ? "attn_parts" : "attn_out",
               // Partials are f32 whatever reads the merged result.
               .constants = Constants()
                                .set("heads", heads)
                                .set("hd", hd)
                                .set("group", heads / int64_t(cache.getHeads()))
                                .set("window", int64_t(cache.getWindow()))
                                .set("cache", cache.getFormat().str())
                                .set("act", c.few() ? "f32" : act.str()),
               .inputs = {q, *tile},
               .cache = FlatSymbolRefAttr::get(cache.getSymNameAttr())};
  if (!c.few())
    return call(what)[0];
  what.inputs.push_back(*split);
  return call(
      {.family = "merge",
       .name = "attn_out",
       .constants =
           Constants().set("heads", heads).set("hd", hd).set("act", act.str()),
       .inputs = {call(what)[0], *parts}})[0];
}

} // namespace gemmac::cpu
