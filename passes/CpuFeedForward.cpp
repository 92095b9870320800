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
  addNorm(op.getH(), linear(g, down, "mlp_out"), op.getPostAttr(),
          op.getScale(), eps, op.getResult());
  return success();
}

LogicalResult CpuRecipe::lower(gemma::MoeBlockOp op) {
  layer = op.getGateAttr();
  KernelSymbols &s = c.symbols;
  auto vector = [&](FlatSymbolRefAttr name) { return s.vector(name); };
  auto pre = vector(op.getPreAttr()),
       routerScale = vector(op.getRouterScaleAttr()),
       preExperts = vector(op.getPreExpertsAttr()),
       perExpert = vector(op.getPerExpertAttr()),
       postDense = vector(op.getPostDenseAttr()),
       postExperts = vector(op.getPostExpertsAttr()),
       post = vector(op.getPostAttr());
  WeightRef gateUp =
      gateAndUp(op.getGateAttr(), op.getDownAttr(), "dense_gate_up");
  WeightRef down = s.matrix(op.getDownAttr()),
            router = s.matrix(op.getRouterAttr()),
            up = s.merged(op.getGateUp(), op.getGateUpAttr(), interleave),
            expertsDown = s.matrix(op.getExpertsDownAttr());
  int64_t k = columns(op.getH()), experts = router.rows, chosen = op.getTop();
  if (experts > maxExperts || chosen < 1 || chosen > std::min(experts, maxTop))
    return op.emitError("unsupported: ")
           << chosen << " of " << experts << " experts; at most " << maxTop
           << " of " << maxExperts << " are";
  const Format &plain = formatOf(router.format);
  if (plain.code != Format::Code::F32 || router.act != plain.act)
    return op.emitError("expects router ")
           << op.getRouterAttr() << " in f32, got " << router.format;
  const std::string &act = gateUp.act; // of all but the router
  double eps = op.getEps().convertToDouble();
  Value h = at(op.getH());
  ValueRange x =
      call({.family = "norms3",
            .name = "mlp_in",
            .constants = {{"k", k},
                          {"eps", eps},
                          {"act", act},
                          {"factor", op.getFactor().convertToDouble()}},
            .inputs = {h},
            .weights = {pre, routerScale, preExperts}});
  Value scores = linear(x[1], router, "router");
  Value g = geglu(x[0], gateUp);
  auto counts = Constants{{"experts", experts}, {"top", chosen}};
  auto ofExperts = [&](const WeightRef &w) {
    return Constants(counts)
        .set("k", w.cols)
        .set("format", w.format)
        .set("act", act);
  };
  ValueRange choice = call({.family = "top_experts",
                            .name = "chosen",
                            .constants = counts,
                            .inputs = {scores},
                            .weights = {perExpert}});
  Value order = call({.family = "moe_sort",
                      .name = "order",
                      .constants = counts,
                      .inputs = {choice[1]}})[0];
  Value e = call({.family = "experts_up",
                  .name = "experts_act",
                  .constants = ofExperts(up).set("f", up.rows / 2),
                  .inputs = {x[2], choice[1], order},
                  .weights = {up}})[0];
  Value dense = linear(g, down, "mlp_out");
  Value sum =
      call({.family = "experts_down",
            .name = "experts_out",
            .constants = ofExperts(expertsDown).set("n", expertsDown.rows),
            .inputs = {e, choice[1], choice[0], order},
            .weights = {expertsDown}})[0];
  Call last = {.family = "add_norm3",
               .constants = {{"k", k},
                             {"eps", eps},
                             {"scaled", int64_t(op.getScale().has_value())}},
               .inputs = {h, dense, sum},
               .weights = {postDense, postExperts, post}};
  if (op.getScale())
    last.weights.push_back(vector(op.getScaleAttr()));
  c.values.map(op.getResult(), call(last)[0]);
  return success();
}

} // namespace gemmac::cpu
