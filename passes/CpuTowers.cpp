// Vision and audio towers on CPUs, in class `many` alone: rows are patches or
// frames. Bounds of clipped linears join whatever rounds their input or reads
// their output; only the norm that several of them share is rounded apart.
#include "passes/CpuRecipe.h"

namespace gemmac::cpu {

//===-- parts -------------------------------------------------------------===//

void CpuRecipe::bound(Call &what, ArrayAttr bounds,
                      std::initializer_list<int> indices) {
  what.constants.set("clipped", int64_t(bounds ? 1 : 0));
  for (int index : indices)
    if (bounds)
      what.weights.push_back(
          c.symbols.vector(cast<FlatSymbolRefAttr>(bounds[unsigned(index)])));
}

Value CpuRecipe::clip(Value x, ArrayAttr bounds, int matrix, StringRef act,
                      StringRef name) {
  Call what = {.family = "clip",
               .name = name,
               .constants = {{"k", columns(x)}, {"act", act.str()}},
               .inputs = {x}};
  for (unsigned index : {4 * matrix, 4 * matrix + 1})
    what.weights.push_back(
        c.symbols.vector(cast<FlatSymbolRefAttr>(bounds[index])));
  return call(what)[0];
}

Value CpuRecipe::plainNorm(Value x, double eps, StringRef act, StringRef name) {
  return call(
      {.family = "plain_norm",
       .name = name,
       .constants = {{"k", columns(x)}, {"eps", eps}, {"act", act.str()}},
       .inputs = {x}})[0];
}

StringRef CpuRecipe::actOf(Value value) {
  if (value.hasOneUse())
    if (auto project = dyn_cast<gemma::ProjectOp>(*value.user_begin()))
      return *gemma::lookupWeight(project, project.getWeightAttr()).getAct();
  return "f32";
}

void CpuRecipe::residual(Value h, Value y, FlatSymbolRefAttr post, double eps,
                         double factor, ArrayAttr bounds, int matrix,
                         Value result) {
  Call what = {
      .family = "residual",
      .constants = {{"k", columns(h)}, {"eps", eps}, {"factor", factor}},
      .inputs = {h, y},
      .weights = {c.symbols.vector(post)}};
  bound(what, bounds, {4 * matrix + 2, 4 * matrix + 3});
  c.values.map(result, call(what)[0]);
}

//===-- rows in, rows out -------------------------------------------------===//

LogicalResult CpuRecipe::lower(gemma::AffineOp op) {
  Value x = at(op.getX());
  c.values.map(
      op.getResult(),
      call({.family = "affine",
            .constants = {{"k", columns(x)},
                          {"factor", op.getFactor().convertToDouble()},
                          {"offset", op.getOffset().convertToDouble()}},
            .inputs = {x}})[0]);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::StandardizeOp op) {
  Value x = at(op.getX());
  c.values.map(op.getResult(),
               call({.family = "standardize",
                     .constants = {{"k", columns(x)}},
                     .inputs = {x},
                     .weights = {c.symbols.vector(op.getBiasAttr()),
                                 c.symbols.vector(op.getScaleAttr())}})[0]);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::AddPositionsOp op) {
  WeightRef table = c.symbols.table(op.getTableAttr());
  const int64_t positions = table.rows / 2;
  std::vector<int64_t> steps = {1, positions};
  if (op.getInner())
    steps = {2, 1};
  c.values.map(op.getResult(),
               call({.family = "add_positions",
                     .constants = {{"k", table.cols}, {"format", table.format}},
                     .inputs = {at(op.getX()), at(op.getPosition())},
                     .weights = {table},
                     .chosen = steps})[0]);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::PoolOp op) {
  Value x = at(op.getX());
  c.values.map(
      op.getResult(),
      call({.family = "pool",
            .constants = {{"k", columns(x)},
                          {"n", int64_t(op.getCount())},
                          {"factor", op.getFactor().convertToDouble()}},
            .inputs = {x}})[0]);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::LayerNormOp op) {
  Value x = at(op.getX());
  if (int64_t(op.getSize()) != columns(x))
    return op.emitError("unsupported: a norm of groups of columns that is not "
                        "part of a subsample");
  Call what = {.family = "layer_norm",
               .constants = {{"k", columns(x)},
                             {"eps", op.getEps().convertToDouble()},
                             {"act", actOf(op.getResult()).str()},
                             {"biased", int64_t(op.getBias() ? 1 : 0)}},
               .inputs = {x},
               .weights = {c.symbols.vector(op.getWeightAttr())}};
  if (op.getBias())
    what.weights.push_back(c.symbols.vector(op.getBiasAttr()));
  c.values.map(op.getResult(), call(what)[0]);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::ProjectOp op) {
  layer = op.getWeightAttr();
  WeightRef w = c.symbols.matrix(op.getWeightAttr());
  Value x = at(op.getX());
  if (kernel::encodingOf(cast<RankedTensorType>(x.getType())) != w.act)
    x = quant(x, w.act, "");
  Value y = linear(x, w, "");
  if (op.getBias())
    y = call({.family = "bias",
              .constants = {{"k", columns(y)}},
              .inputs = {y},
              .weights = {c.symbols.vector(op.getBiasAttr())}})[0];
  c.values.map(op.getResult(), y);
  return success();
}

//===-- vision ------------------------------------------------------------===//

LogicalResult CpuRecipe::lower(gemma::VisionAttentionBlockOp op) {
  layer = op.getQAttr();
  ArrayAttr bounds = op.getBoundsAttr();
  const double eps = op.getEps().convertToDouble();
  WeightRef o = c.symbols.matrix(op.getOAttr());
  const int64_t hd = op.getDim(), heads = o.cols / hd;
  // Queries and keys of bf16 lose no more than those of a cache.
  const std::string stored =
      formatOf(o.format).code == Format::Code::F32 ? "f32" : "bf16";
  Value h = at(op.getH());
  SmallVector<Value> products =
      projections(h, op.getNormAttr(), eps,
                  {op.getQAttr(), op.getKAttr(), op.getVAttr()}, bounds);
  const Constants constants = {
      {"heads", heads}, {"hd", hd}, {"eps", eps}, {"cache", stored}};
  Call query = {.family = "heads_q",
                .name = "q",
                .constants = constants,
                .inputs = {products[0], at(op.getTable())},
                .weights = {c.symbols.vector(op.getQNormAttr())}};
  bound(query, bounds, {2, 3});
  Value q = call(query)[0];
  Call pages = {.family = "heads_kv",
                .name = "kv",
                .constants = constants,
                .inputs = {products[1], products[2], at(op.getTable())},
                .weights = {c.symbols.vector(op.getKNormAttr())}};
  bound(pages, bounds, {6, 7, 10, 11});
  ValueRange kv = call(pages);
  // Of heads that are no whole blocks rows are rounded when all are there.
  const bool apart = bounds || hd % formatOf(o.act).block;
  Value a = call({.family = "attend_all",
                  .name = "attn_out",
                  .constants = {{"heads", heads},
                                {"hd", hd},
                                {"cache", stored},
                                {"act", apart ? "f32" : o.act}},
                  .inputs = {q, kv[0], kv[1], ioArg(Io::tile)}})[0];
  if (bounds)
    a = clip(a, bounds, 3, o.act, "o_in");
  else if (apart)
    a = quant(a, o.act, "o_in");
  residual(h, linear(a, o, "attn_proj"), op.getPostAttr(), eps, 1, bounds, 3,
           op.getResult());
  return success();
}

// Products of query, key and value with the normed residual.
SmallVector<Value> CpuRecipe::projections(Value h, FlatSymbolRefAttr norm,
                                          double eps,
                                          ArrayRef<FlatSymbolRefAttr> matrices,
                                          ArrayAttr bounds) {
  static const char *const names[] = {"q_proj", "k_proj", "v_proj"},
                           *const inputs[] = {"q_in", "k_in", "v_in"};
  SmallVector<Value> products;
  for (auto [i, matrix] : llvm::enumerate(matrices)) {
    WeightRef w = c.symbols.matrix(matrix);
    Value x = this->norm(h, c.symbols.vector(norm), eps, bounds ? "f32" : w.act,
                         "attn_in");
    if (bounds)
      x = clip(x, bounds, int(i), w.act, inputs[i]);
    products.push_back(linear(x, w, names[i]));
  }
  return products;
}

// Of a clipped gated MLP every matrix stands alone.
LogicalResult CpuRecipe::clippedFfn(gemma::FfnBlockOp op) {
  if (c.few() || op.getScale())
    return op.emitError("unsupported: bounds in a step, and a layer's scalar "
                        "beside them");
  ArrayAttr bounds = op.getBoundsAttr();
  const double eps = op.getEps().convertToDouble();
  const int64_t hidden = c.symbols.describe(op.getDownAttr()).cols;
  WeightRef gate = c.symbols.matrix(op.getGateAttr(), hidden),
            up = c.symbols.matrix(op.getUpAttr(), hidden),
            down = c.symbols.matrix(op.getDownAttr());
  Value h = at(op.getH());
  Value x = norm(h, c.symbols.vector(op.getPreAttr()), eps, "f32", "mlp_in");
  Value g = linear(clip(x, bounds, 0, gate.act, "gate_in"), gate, "gate_proj");
  Value u = linear(clip(x, bounds, 1, up.act, "up_in"), up, "up_proj");
  Call gated = {.family = "geglu",
                .name = "mlp_act",
                .constants = {{"k", columns(g)}, {"act", down.act}},
                .inputs = {g, u}};
  bound(gated, bounds, {2, 3, 6, 7, 8, 9});
  residual(h, linear(call(gated)[0], down, "mlp_out"), op.getPostAttr(), eps, 1,
           bounds, 2, op.getResult());
  return success();
}

//===-- audio -------------------------------------------------------------===//

// A row of the audio segment is four frames, of its first values two.
LogicalResult CpuRecipe::lower(gemma::SubsampleOp op) {
  const int64_t bins = op.getBins();
  const int64_t in = gemma::columnsOf(op.getX()) / bins,
                out = gemma::columnsOf(op.getResult()) / (bins / 2);
  Value x = at(op.getX());
  int64_t frames = 2;
  if (isa<BlockArgument>(x)) {
    frames = 4;
    x.setType(rowsOf("f32", frames * bins * in));
  }
  if (columns(x) != frames * bins * in)
    return op.emitError("unsupported: rows of ")
           << columns(x) << " columns; expects " << frames << " frames each";
  c.values.map(op.getResult(),
               call({.family = "conv2d",
                     .constants = {{"g", frames},
                                   {"channels_in", in},
                                   {"channels_out", out},
                                   {"bins", bins},
                                   {"eps", op.getEps().convertToDouble()}},
                     .inputs = {x, ioArg(Io::frames)},
                     .weights = {c.symbols.vector(op.getWeightAttr()),
                                 c.symbols.vector(op.getNormAttr())}})[0]);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::ConformerFfnBlockOp op) {
  layer = op.getUpAttr();
  ArrayAttr bounds = op.getBoundsAttr();
  const double eps = op.getEps().convertToDouble();
  WeightRef up = c.symbols.matrix(op.getUpAttr()),
            down = c.symbols.matrix(op.getDownAttr());
  Value h = at(op.getH());
  Value x = norm(h, c.symbols.vector(op.getPreAttr()), eps,
                 bounds ? "f32" : up.act, "ffn_in");
  if (bounds)
    x = clip(x, bounds, 0, up.act, "up_in");
  Value u = linear(x, up, "up_proj");
  Call act = {.family = "silu",
              .name = "ffn_act",
              .constants = {{"k", columns(u)}, {"act", down.act}},
              .inputs = {u}};
  bound(act, bounds, {2, 3, 4, 5});
  residual(h, linear(call(act)[0], down, "ffn_out"), op.getPostAttr(), eps,
           op.getFactor().convertToDouble(), bounds, 1, op.getResult());
  return success();
}

LogicalResult CpuRecipe::lower(gemma::ConformerAttentionBlockOp op) {
  layer = op.getQAttr();
  ArrayAttr bounds = op.getBoundsAttr();
  const double eps = op.getEps().convertToDouble();
  WeightRef o = c.symbols.matrix(op.getOAttr()),
            rel = c.symbols.matrix(op.getRelAttr());
  Value h = at(op.getH());
  SmallVector<Value> inputs =
      projections(h, op.getPreAttr(), eps,
                  {op.getQAttr(), op.getKAttr(), op.getVAttr()}, bounds);
  const int64_t hd = op.getDim(), window = op.getWindow();
  inputs.push_back(call({.family = "rel_positions",
                         .name = "positions",
                         .constants = {{"k", rel.cols},
                                       {"window", window},
                                       {"format", rel.format}},
                         .weights = {rel}})[0]);
  const bool apart = hd % formatOf(o.act).block;
  Call attend = {.family = "rel_attend",
                 .name = "attn_out",
                 .constants = {{"heads", columns(h) / hd},
                               {"hd", hd},
                               {"window", window},
                               {"cap", op.getCap().convertToDouble()},
                               {"act", apart ? "f32" : o.act}},
                 .inputs = inputs,
                 .weights = {c.symbols.vector(op.getScaleAttr())}};
  bound(attend, bounds, {2, 3, 6, 7, 10, 11, 12, 13});
  Value a = call(attend)[0];
  if (apart)
    a = quant(a, o.act, "o_in");
  residual(h, linear(a, o, "attn_proj"), op.getPostAttr(), eps, 1, bounds, 3,
           op.getResult());
  return success();
}

LogicalResult CpuRecipe::lower(gemma::ConformerConvBlockOp op) {
  layer = op.getStartAttr();
  ArrayAttr bounds = op.getBoundsAttr();
  const double eps = op.getEps().convertToDouble();
  WeightRef start = c.symbols.matrix(op.getStartAttr()),
            end = c.symbols.matrix(op.getEndAttr()),
            kernel = c.symbols.vector(op.getDepthwiseAttr());
  Value h = at(op.getH());
  const int64_t k = columns(h);
  Value x = norm(h, c.symbols.vector(op.getPreAttr()), eps,
                 bounds ? "f32" : start.act, "conv_in");
  if (bounds)
    x = clip(x, bounds, 0, start.act, "start_in");
  Call gate = {.family = "glu",
               .name = "glu",
               .constants = {{"k", k}},
               .inputs = {linear(x, start, "start_proj")}};
  bound(gate, bounds, {2, 3});
  Call conv = {.family = "depthwise",
               .name = "conv_act",
               .constants = {{"k", k},
                             {"taps", kernel.cols / k},
                             {"eps", eps},
                             {"act", end.act}},
               .inputs = {call(gate)[0]},
               .weights = {kernel, c.symbols.vector(op.getNormAttr())}};
  bound(conv, bounds, {4, 5});
  Call sum = {.family = "add",
              .constants = {{"k", k}},
              .inputs = {h, linear(call(conv)[0], end, "end_proj")}};
  bound(sum, bounds, {6, 7});
  c.values.map(op.getResult(), call(sum)[0]);
  return success();
}

} // namespace gemmac::cpu
