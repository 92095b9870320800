// Forms kv_block and attention_block from the primitives of one layer. Matches
// by data flow, so the order of independent ops does not matter.
#include "passes/Match.h"
#include "passes/Passes.h"

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_FUSEATTENTION
#include "passes/Passes.h.inc"

// The shared input of query, key and value: the norm of the residual.
static RmsNormOp preNorm(Match &match, Value x) {
  return match.norm(
      match.producer<RmsNormOp>(x, "the input of the projections"),
      "the pre-norm");
}

// A rotated head norm of a projection: rope(norm(linear x)).
namespace {
struct Head {
  RopeOp rope;
  RmsNormOp norm;
  LinearOp linear;
};
} // namespace

static Head matchHead(Match &match, Value value, CacheOp cache, StringRef what,
                      bool sharedProjection) {
  Head head;
  head.rope = match.producer<RopeOp>(value, what);
  match.single(value, what);
  if (head.rope && head.rope.getDim() != cache.getDim())
    match.fail(what + " is rotated in heads of " + Twine(head.rope.getDim()) +
               ", the cache has " + Twine(cache.getDim()));
  head.norm = match.norm(match.producer<RmsNormOp>(inputOf(head.rope), what),
                         what, cache.getDim());
  match.single(resultOf(head.norm), what);
  head.linear = match.linear(inputOf(head.norm), what);
  match.single(resultOf(head.linear), what, sharedProjection ? 2 : 1);
  return head;
}

static bool fuseKv(AppendOp append) {
  Match match(append);
  CacheOp cache = lookupCache(append, append.getCacheAttr());
  auto vNorm = match.norm(match.producer<RmsNormOp>(append.getV(), "the value"),
                          "the value", cache.getDim(), /*weighted=*/false);
  match.single(append.getV(), "the value");
  LinearOp v = match.linear(inputOf(vNorm), "the value");
  if (!match.fits())
    return match.decline();
  // K = V: both come from one projection, which then has two users.
  auto kRope = append.getK().getDefiningOp<RopeOp>();
  auto kNorm = kRope ? kRope.getX().getDefiningOp<RmsNormOp>() : RmsNormOp();
  bool keyIsValue = kNorm && kNorm.getX() == v.getResult();
  Head k = matchHead(match, append.getK(), cache, "the key", keyIsValue);
  if (!keyIsValue)
    match.single(v.getResult(), "the value");
  match.same(v.getX(), inputOf(k.linear), "the input of the value",
             "the input of the key");
  RmsNormOp pre = preNorm(match, v.getX());
  if (!match.fits())
    return match.decline();

  OpBuilder b(append);
  KvBlockOp::create(b, append.getLoc(), pre.getX(), append.getSlot(),
                    append.getPos(), k.rope.getTable(), pre.getWeightAttr(),
                    k.linear.getWeightAttr(),
                    keyIsValue ? FlatSymbolRefAttr() : v.getWeightAttr(),
                    k.norm.getWeightAttr(), append.getCacheAttr(),
                    b.getF64FloatAttr(*match.eps), k.rope.getPairsAttr());
  Operation *key = k.rope, *value = vNorm;
  append.erase();
  eraseDead(key);
  eraseDead(value);
  return true;
}

static bool fuseAttention(AttentionOp attention) {
  Match match(attention);
  CacheOp cache = lookupCache(attention, attention.getCacheAttr());
  Head q = matchHead(match, attention.getQ(), cache, "the query", false);
  RmsNormOp pre = preNorm(match, inputOf(q.linear));
  LinearOp o = match.linearUser(attention.getResult(), "the attention");
  auto post =
      match.norm(match.user<RmsNormOp>(resultOf(o), "the output projection"),
                 "the post-norm");
  AddOp add = match.sum(post, "the post-norm", inputOf(pre),
                        "the input of the pre-norm");
  if (!match.fits())
    return match.decline();

  // At the attention, not at the sum: the cache is read there.
  OpBuilder b(attention);
  auto block = AttentionBlockOp::create(
      b, add.getLoc(), add.getType(), pre.getX(), attention.getSlot(),
      attention.getPos(), attention.getEnd(), q.rope.getTable(),
      pre.getWeightAttr(), q.linear.getWeightAttr(), q.norm.getWeightAttr(),
      o.getWeightAttr(), post.getWeightAttr(), attention.getCacheAttr(),
      b.getF64FloatAttr(*match.eps), q.rope.getPairsAttr());
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

namespace {
struct FuseAttention : impl::FuseAttentionBase<FuseAttention> {
  void runOnOperation() override {
    forEach<AppendOp>(getOperation(),
                      [&](AppendOp op) { ++(fuseKv(op) ? fused : declined); });
    forEach<AttentionOp>(getOperation(), [&](AttentionOp op) {
      ++(fuseAttention(op) ? fused : declined);
    });
  }
};
} // namespace
} // namespace gemmac
