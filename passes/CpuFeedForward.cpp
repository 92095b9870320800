// Feed-forward blocks on CPUs: the gated MLP, and the mixture of experts beside
// it, which is divided by output rows and never by expert.
#include "passes/CpuRecipe.h"

namespace gemmac::cpu {

constexpr int64_t maxExperts = 1024, maxTop = 64;
constexpr int64_t interleave = 32; // rows of gate and up, in turn

WeightRef CpuRecipe::gateAndUp(FlatSymbolRefAttr gate, FlatSymbolRefAttr down,
                               StringRef name) {
  return c.symbols.merged(KernelSymbols::siblingName(gate, name),
                          c.packing.of(cast<gemma::MatrixUser>(op), gate).parts,
                          interleave, 2 * c.symbols.describe(down).cols);
}

LogicalResult CpuRecipe::lower(gemma::FfnBlockOp op) {
  layer = op.getGateAttr();
  if (op.getBounds())
    return clippedFfn(op);
  c.symbols.vector(op.getPreAttr()); // its place in the file is here
  WeightRef gateUp = gateAndUp(op.getGateAttr(), op.getDownAttr(), "gate_up");
  WeightRef down = c.symbols.matrix(op.getDownAttr());
  double eps = op.getEps().convertToDouble();
  Value g = normedGeglu(op.getH(), op.getPreAttr(), eps, gateUp);
  Value y = linear(g, down, "mlp_out");
  endBlock({at(op.getH()), y, op.getPostAttr(), op.getScale(), eps},
           op.getResult());
  return success();
}

LogicalResult CpuRecipe::lower(gemma::MoeBlockOp op) {
  layer = op.getGateAttr();
  KernelSymbols &s = c.symbols;
  auto vector = [&](FlatSymbolRefAttr name) { return s.vector(name); };
  Mixture m;
  m.pre = vector(op.getPreAttr());
  m.routerScale = vector(op.getRouterScaleAttr());
  m.preExperts = vector(op.getPreExpertsAttr());
  m.perExpert = vector(op.getPerExpertAttr());
  // Their places in the file are here.
  vector(op.getPostDenseAttr());
  vector(op.getPostExpertsAttr());
  vector(op.getPostAttr());
  m.gateUp = gateAndUp(op.getGateAttr(), op.getDownAttr(), "dense_gate_up");
  m.down = s.matrix(op.getDownAttr());
  m.router = s.matrix(op.getRouterAttr());
  m.up = s.merged(op.getGateUp(), op.getGateUpAttr(), interleave);
  m.expertsDown = s.matrix(op.getExpertsDownAttr());
  int64_t experts = m.router.rows, chosen = op.getTop();
  if (experts > maxExperts || chosen < 1 || chosen > std::min(experts, maxTop))
    return op.emitError("unsupported: ")
           << chosen << " of " << experts << " experts; at most " << maxTop
           << " of " << maxExperts << " are";
  const Format &plain = formatOf(m.router.format);
  if (plain.code != Format::Code::F32 || m.router.act != plain.act)
    return op.emitError("expects router ")
           << op.getRouterAttr() << " in f32, got " << m.router.format;
  const Mixed sums = mixed(op, m);
  endBlock({at(op.getH()), sums.dense, op.getPostAttr(), op.getScale(),
            op.getEps().convertToDouble(), sums.experts, op.getPostDenseAttr(),
            op.getPostExpertsAttr()},
           op.getResult());
  return success();
}

CpuRecipe::Routed CpuRecipe::routed(gemma::MoeBlockOp op, const Mixture &m) {
  Value h = at(op.getH());
  ValueRange x =
      call({.family = "norms3",
            .name = "mlp_in",
            .constants = {{"k", columns(h)},
                          {"eps", op.getEps().convertToDouble()},
                          {"act", m.gateUp.act},
                          {"factor", op.getFactor().convertToDouble()}},
            .inputs = {h},
            .weights = {m.pre, m.routerScale, m.preExperts}});
  Value logits = linear(x[1], m.router, "router");
  return {logits, geglu(x[0], m.gateUp), x[2]};
}

Constants CpuRecipe::ofExperts(gemma::MoeBlockOp op, const Mixture &m,
                               const WeightRef &w) {
  return {{"experts", m.router.rows},
          {"top", int64_t(op.getTop())},
          {"k", w.cols},
          {"format", w.format},
          {"act", m.gateUp.act}}; // of all but the router
}

CpuRecipe::Mixed CpuRecipe::mixed(gemma::MoeBlockOp op, const Mixture &m) {
  const Routed from = routed(op, m);
  auto counts =
      Constants{{"experts", m.router.rows}, {"top", int64_t(op.getTop())}};
  ValueRange choice = call({.family = "top_experts",
                            .name = "chosen",
                            .constants = counts,
                            .inputs = {from.logits},
                            .weights = {m.perExpert}});
  Value order = call({.family = "moe_sort",
                      .name = "order",
                      .constants = counts,
                      .inputs = {choice[1]}})[0];
  Value e = call({.family = "experts_up",
                  .name = "experts_act",
                  .constants = ofExperts(op, m, m.up).set("f", m.up.rows / 2),
                  .inputs = {from.rows, choice[1], order},
                  .weights = {m.up}})[0];
  Value dense = linear(from.gated, m.down, "mlp_out");
  Value sum =
      call({.family = "experts_down",
            .name = "experts_out",
            .constants =
                ofExperts(op, m, m.expertsDown).set("n", m.expertsDown.rows),
            .inputs = {e, choice[1], choice[0], order},
            .weights = {m.expertsDown}})[0];
  return {dense, sum};
}

} // namespace gemmac::cpu
