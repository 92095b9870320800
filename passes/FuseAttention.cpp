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
  auto norm = match.producer<RmsNormOp>(x, "the input of the projections");
  return match.norm(norm, "the pre-norm", norm ? columnsOf(norm.getX()) : 0);
}

// A rotated head norm of a projection: rope(norm(linear x)).
namespace {
struct Head {
  RopeOp rope;
  RmsNormOp norm;
  LinearOp linear;
};
} // namespace

static std::optional<Head> matchHead(Match &match, Value value, CacheOp cache,
                                     StringRef what, bool sharedProjection) {
  Head head;
  head.rope = match.producer<RopeOp>(value, what);
  if (!head.rope || !match.single(value, what))
    return std::nullopt;
  if (head.rope.getDim() != cache.getDim())
    return match.fail(what + " is rotated in heads of " +
                      Twine(head.rope.getDim()) + ", the cache has " +
                      Twine(cache.getDim())),
           std::nullopt;
  head.norm = match.norm(match.producer<RmsNormOp>(head.rope.getX(), what),
                         what, cache.getDim());
  if (!head.norm || !match.single(head.norm.getResult(), what))
    return std::nullopt;
  head.linear = match.linear(head.norm.getX(), what);
  if (!head.linear ||
      !match.single(head.linear.getResult(), what, sharedProjection ? 2 : 1))
    return std::nullopt;
  return head;
}

static bool fuseKv(AppendOp append) {
  Match match(append);
  CacheOp cache = lookupCache(append, append.getCacheAttr());
  auto vNorm = match.norm(match.producer<RmsNormOp>(append.getV(), "the value"),
                          "the value", cache.getDim(), /*weighted=*/false);
  if (!vNorm || !match.single(append.getV(), "the value"))
    return match.decline();
  LinearOp v = match.linear(vNorm.getX(), "the value");
  if (!v)
    return match.decline();
  // K = V: both come from one projection, which then has two users.
  auto kRope = append.getK().getDefiningOp<RopeOp>();
  auto kNorm = kRope ? kRope.getX().getDefiningOp<RmsNormOp>() : RmsNormOp();
  bool keyIsValue = kNorm && kNorm.getX() == v.getResult();
  std::optional<Head> k =
      matchHead(match, append.getK(), cache, "the key", keyIsValue);
  if (!k || (!keyIsValue && !match.single(v.getResult(), "the value")) ||
      !match.same(v.getX(), k->linear.getX(), "the input of the value",
                  "the input of the key"))
    return match.decline();
  RmsNormOp pre = preNorm(match, v.getX());
  if (!pre)
    return match.decline();

  OpBuilder b(append);
  KvBlockOp::create(b, append.getLoc(), pre.getX(), append.getSlot(),
                    append.getPos(), k->rope.getTable(), pre.getWeightAttr(),
                    k->linear.getWeightAttr(),
                    keyIsValue ? FlatSymbolRefAttr() : v.getWeightAttr(),
                    k->norm.getWeightAttr(), append.getCacheAttr(),
                    b.getF64FloatAttr(*match.eps), k->rope.getPairsAttr());
  Operation *key = k->rope, *value = vNorm;
  append.erase();
  eraseDead(key);
  eraseDead(value);
  return true;
}

static bool fuseAttention(AttentionOp attention) {
  Match match(attention);
  CacheOp cache = lookupCache(attention, attention.getCacheAttr());
  std::optional<Head> q =
      matchHead(match, attention.getQ(), cache, "the query", false);
  RmsNormOp pre = q ? preNorm(match, q->linear.getX()) : RmsNormOp();
  if (!pre)
    return match.decline();
  LinearOp o = match.linearUser(attention.getResult(), "the attention");
  auto post = o ? match.user<RmsNormOp>(o.getResult(), "the output projection")
                : RmsNormOp();
  post = match.norm(post, "the post-norm", post ? columnsOf(post.getX()) : 0);
  auto add =
      post ? match.user<AddOp>(post.getResult(), "the post-norm") : AddOp();
  if (!add)
    return match.decline();
  Value residual =
      add.getLhs() == post.getResult() ? add.getRhs() : add.getLhs();
  if (!match.same(residual, pre.getX(), "the residual",
                  "the input of the pre-norm"))
    return match.decline();

  // At the attention, not at the sum: the cache is read there.
  OpBuilder b(attention);
  auto block = AttentionBlockOp::create(
      b, add.getLoc(), add.getType(), pre.getX(), attention.getSlot(),
      attention.getPos(), attention.getEnd(), q->rope.getTable(),
      pre.getWeightAttr(), q->linear.getWeightAttr(), q->norm.getWeightAttr(),
      o.getWeightAttr(), post.getWeightAttr(), attention.getCacheAttr(),
      b.getF64FloatAttr(*match.eps), q->rope.getPairsAttr());
  add.replaceAllUsesWith(block.getResult());
  eraseDead(add);
  return true;
}

namespace {
struct FuseAttention : impl::FuseAttentionBase<FuseAttention> {
  using Base::Base;
  void runOnOperation() override {
    SmallVector<AppendOp> appends;
    SmallVector<AttentionOp> attentions;
    getOperation().walk([&](AppendOp op) { appends.push_back(op); });
    getOperation().walk([&](AttentionOp op) { attentions.push_back(op); });
    for (AppendOp op : appends)
      ++(fuseKv(op) ? fused : declined);
    for (AttentionOp op : attentions)
      ++(fuseAttention(op) ? fused : declined);
  }
};
} // namespace
} // namespace gemmac
