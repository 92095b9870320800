// Recipes for CPUs: which kernels a fused op becomes, over which axis. In class
// `few` tiny row ops run redundantly on every worker (`all`) and matrix
// products over blocks; in class `many` row ops run over rows. Attention is
// split by keys and merged in `few`, and runs over tiles in `many`. Must not
// know barriers or places.
#include "passes/Recipes.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace gemmac {
namespace {

constexpr int64_t maxExperts = 1024, maxTop = 64, topCount = 64;

// The constants, operands and results of one call.
struct Call {
  const char *family;
  Constants constants;
  SmallVector<Value> inputs;
  SmallVector<FlatSymbolRefAttr> weights = {};
  SmallVector<int64_t> scalars = {};
  SmallVector<Type> results = {};
  FlatSymbolRefAttr cache = {};
};

class CpuRecipe {
public:
  CpuRecipe(RecipeContext &c, Operation *op)
      : c(c), op(op), loc(op->getLoc()) {}

  LogicalResult lower();
  Value copyOut(Location where, Value value);

private:
  LogicalResult embed(gemma::EmbedOp op);
  LogicalResult take(gemma::TakeOp op);
  LogicalResult rmsNorm(gemma::RmsNormOp op);
  LogicalResult pleInputs(gemma::PleInputsOp op);
  LogicalResult kvBlock(gemma::KvBlockOp op);
  LogicalResult attentionBlock(gemma::AttentionBlockOp op);
  LogicalResult ffnBlock(gemma::FfnBlockOp op);
  LogicalResult moeBlock(gemma::MoeBlockOp op);
  LogicalResult pleBlock(gemma::PleBlockOp op);
  LogicalResult top(gemma::TopOp op);
  LogicalResult logits(gemma::LogitsOp op);

  // Calls. `rowOp` runs over rows, or on all workers in `few`.
  ValueRange call(const Call &what, Axis axis, int64_t units = 1);
  ValueRange rowOp(const Call &what) {
    return call(what, c.few() ? Axis::All : Axis::Rows);
  }
  Value norm(Value x, FlatSymbolRefAttr w, double eps, StringRef act,
             std::optional<Axis> axis = {});
  Value quant(Value x, StringRef act);
  Value linear(Value x, const WeightRef &w);
  Value geglu(Value x, const WeightRef &w, StringRef act);
  LogicalResult addNorm(Value h, Value y, FlatSymbolRefAttr post,
                        std::optional<StringRef> scale, double eps,
                        Value result);
  Value attend(Value q, kernel::CacheOp cache, int64_t heads, StringRef act);
  FailureOr<Value> capped(Value hidden, FlatSymbolRefAttr weight, double cap);

  // Types.
  RankedTensorType rowsOf(StringRef encoding, int64_t columns);
  int64_t columns(Value v) {
    return cast<RankedTensorType>(v.getType()).getDimSize(1);
  }
  int64_t stride(Value v) {
    return rowStride(
        kernel::encodingOf(cast<RankedTensorType>(v.getType())).str(),
        columns(v));
  }
  Value at(Value gemmaValue) { return c.values.lookup(gemmaValue); }
  FailureOr<Value> ioArg(StringRef name);
  FlatSymbolRefAttr symbol(StringRef name) {
    return FlatSymbolRefAttr::get(c.builder.getContext(), name);
  }

  RecipeContext &c;
  Operation *op;
  Location loc;
};

//===-- calls -------------------------------------------------------------===//

RankedTensorType CpuRecipe::rowsOf(StringRef encoding, int64_t columns) {
  Builder &b = c.builder;
  Type element = encoding == "f32"    ? Type(b.getF32Type())
                 : encoding == "bf16" ? Type(b.getBF16Type())
                                      : Type(b.getI32Type());
  return RankedTensorType::get({ShapedType::kDynamic, columns}, element);
}

FailureOr<Value> CpuRecipe::ioArg(StringRef name) {
  if (Value value = c.io.lookup(name))
    return value;
  return op->emitError() << "needs the step array '" << name
                         << "', which this segment has not";
}

ValueRange CpuRecipe::call(const Call &what, Axis axis, int64_t units) {
  OpBuilder &b = c.builder;
  KernelSpec spec = {what.family, c.rows, what.constants};
  SmallVector<Attribute> weights(what.weights.begin(), what.weights.end());
  auto callOp = kernel::CallOp::create(
      b, loc, what.results, c.symbols.body(spec, loc), what.inputs,
      weights.empty() ? ArrayAttr() : b.getArrayAttr(weights), what.cache,
      what.scalars.empty() ? DenseI64ArrayAttr()
                           : b.getDenseI64ArrayAttr(what.scalars),
      b.getStringAttr(axisName(axis)), b.getI64IntegerAttr(units), ArrayAttr());
  return callOp.getResults();
}

Value CpuRecipe::norm(Value x, FlatSymbolRefAttr w, double eps, StringRef act,
                      std::optional<Axis> axis) {
  int64_t k = columns(x);
  Call what = {
      .family = "norm",
      .constants =
          Constants().set("k", k).set("eps", eps).set("act", act.str()),
      .inputs = {x},
      .weights = {w},
      .results = {rowsOf(act, k)}};
  return axis ? call(what, *axis)[0] : rowOp(what)[0];
}

Value CpuRecipe::quant(Value x, StringRef act) {
  if (act == "f32")
    return x;
  int64_t k = columns(x);
  return rowOp({.family = "quant",
                .constants = Constants().set("k", k).set("act", act.str()),
                .inputs = {x},
                .results = {rowsOf(act, k)}})[0];
}

Value CpuRecipe::linear(Value x, const WeightRef &w) {
  return call({.family = "linear",
               .constants = Constants()
                                .set("k", w.cols)
                                .set("format", w.format)
                                .set("act", w.act),
               .inputs = {x},
               .weights = {w.name},
               .scalars = {rowStride("f32", w.rows)},
               .results = {rowsOf("f32", w.rows)}},
              Axis::Blocks, roundUp(w.rows, 16) / 16)[0];
}

// `w` interleaves gate and up; the result is rounded to `act`.
Value CpuRecipe::geglu(Value x, const WeightRef &w, StringRef act) {
  int64_t width = w.rows / 2;
  return call({.family = "linear_geglu",
               .constants = Constants()
                                .set("k", w.cols)
                                .set("format", w.format)
                                .set("act", act.str()),
               .inputs = {x},
               .weights = {w.name},
               .scalars = {rowStride(act.str(), width)},
               .results = {rowsOf(act, width)}},
              Axis::Blocks, roundUp(width, 32) / 32)[0];
}

LogicalResult CpuRecipe::addNorm(Value h, Value y, FlatSymbolRefAttr post,
                                 std::optional<StringRef> scale, double eps,
                                 Value result) {
  FailureOr<WeightRef> w = c.symbols.vector(op, post);
  if (failed(w))
    return failure();
  int64_t k = columns(h);
  Call what = {.family = "add_norm",
               .constants = Constants()
                                .set("k", k)
                                .set("eps", eps)
                                .set("scaled", int64_t(scale.has_value())),
               .inputs = {h, y},
               .weights = {w->name},
               .results = {rowsOf("f32", k)}};
  if (scale) {
    FailureOr<WeightRef> s = c.symbols.vector(op, symbol(*scale));
    if (failed(s))
      return failure();
    what.weights.push_back(s->name);
  }
  c.values.map(result, rowOp(what)[0]);
  return success();
}

Value CpuRecipe::copyOut(Location where, Value value) {
  loc = where;
  int64_t k = columns(value);
  return call({.family = "copy",
               .constants = Constants().set("k", k),
               .inputs = {value},
               .results = {rowsOf("f32", k)}},
              c.few() ? Axis::One : Axis::Rows)[0];
}

//===-- rows in, rows out -------------------------------------------------===//

LogicalResult CpuRecipe::embed(gemma::EmbedOp op) {
  if (op.getSoft() || op.getColumns() || op.getSoftMode())
    return op.emitError(
        "unsupported: soft rows and column ranges of an embedding");
  FailureOr<WeightRef> table = c.symbols.matrix(op, op.getTableAttr());
  if (failed(table))
    return failure();
  Constants constants;
  constants.set("k", table->cols)
      .set("format", table->format)
      .set("scale", op.getScale().convertToDouble());
  c.values.map(op.getResult(),
               rowOp({.family = "embed",
                      .constants = constants,
                      .inputs = {at(op.getIds())},
                      .weights = {table->name},
                      .results = {rowsOf("f32", table->cols)}})[0]);
  return success();
}

LogicalResult CpuRecipe::take(gemma::TakeOp op) {
  int64_t k = columns(op.getX());
  c.values.map(op.getResult(),
               rowOp({.family = "take",
                      .constants = Constants().set("k", k),
                      .inputs = {at(op.getX()), at(op.getIndex())},
                      .results = {rowsOf("f32", k)}})[0]);
  return success();
}

// The norm that leaves the segment is shared by all workers: worker 0 writes
// it.
LogicalResult CpuRecipe::rmsNorm(gemma::RmsNormOp op) {
  if (!op.getWeight() || int64_t(op.getSize()) != columns(op.getX()))
    return op.emitError(
        "unsupported: a norm outside the fused blocks needs a weight "
        "and the size of its rows");
  FailureOr<WeightRef> w = c.symbols.vector(op, op.getWeightAttr());
  if (failed(w))
    return failure();
  bool leaves = llvm::any_of(op->getUsers(), llvm::IsaPred<func::ReturnOp>);
  std::optional<Axis> axis;
  if (leaves && c.few())
    axis = Axis::One;
  c.values.map(
      op.getResult(),
      norm(at(op.getX()), w->name, op.getEps().convertToDouble(), "f32", axis));
  return success();
}

//===-- per-layer embeddings ----------------------------------------------===//

LogicalResult CpuRecipe::pleInputs(gemma::PleInputsOp op) {
  if (op.getSoft())
    return op.emitError("unsupported: soft rows in per-layer inputs");
  int64_t first = op.getLayers()[0], last = op.getLayers()[1],
          p = op.getWidth();
  FailureOr<WeightRef> table = c.symbols.gathered(op, op.getTableAttr());
  FailureOr<WeightRef> proj = c.symbols.matrix(op, op.getProjAttr());
  FailureOr<WeightRef> w = c.symbols.vector(op, op.getNormAttr());
  FailureOr<Value> token = ioArg("ple");
  if (failed(table) || failed(proj) || failed(w) || failed(token))
    return failure();
  if (c.pleColumns)
    return op.emitError("unsupported: a second ple_inputs in one segment");
  if (first < 0 || first >= last || last * p > table->cols ||
      last * p > proj->rows)
    return op.emitError("expects layers inside the tables, got [")
           << first << ", " << last << ") of width " << p << " in "
           << table->cols << " columns";
  c.pleColumns = {first * p, last * p};
  token->setType(rowsOf(table->format, (last - first) * p));

  WeightRef rows = *proj;
  if (first != 0 || last * p != proj->rows) {
    std::string name = (proj->name.getValue() + "_" + Twine(first)).str();
    FailureOr<WeightRef> part =
        c.symbols.view(op, name, *proj, first * p, last * p);
    if (failed(part))
      return failure();
    rows = *part;
  }
  Value context = linear(quant(at(op.getH0()), proj->act), rows);
  // rms(c x; eps) = rms(x; eps / c^2)
  double factor = op.getContextScale().convertToDouble();
  double eps = op.getEps().convertToDouble() / (factor * factor);
  Call what = {.family = "ple_finish",
               .constants =
                   Constants()
                       .set("p", p)
                       .set("eps", eps)
                       .set("format", table->format)
                       .set("token_scale", op.getTokenScale().convertToDouble())
                       .set("scale", op.getScale().convertToDouble()),
               .inputs = {context, *token},
               .weights = {w->name},
               .scalars = {last - first},
               .results = {rowsOf("f32", (last - first) * p)}};
  Value y = c.few() ? call(what, Axis::Blocks, last - first)[0]
                    : call(what, Axis::Rows)[0];
  c.values.map(op.getResult(), y);
  return success();
}

LogicalResult CpuRecipe::pleBlock(gemma::PleBlockOp op) {
  FailureOr<WeightRef> gate = c.symbols.matrix(op, op.getGateAttr());
  FailureOr<WeightRef> proj = c.symbols.matrix(op, op.getProjAttr());
  if (failed(gate) || failed(proj))
    return failure();
  // A slice of the per-layer inputs is a column offset, not a kernel.
  Value ple = op.getPle();
  int64_t column = 0;
  if (auto slice = ple.getDefiningOp<gemma::ColumnsOp>()) {
    column = slice.getRange()[0];
    ple = slice.getX();
  }
  if (gate->act != proj->act)
    return op.emitError("unsupported: ")
           << op.getGateAttr() << " multiplies " << gate->act
           << " activations and " << op.getProjAttr() << " " << proj->act;
  Value h = at(op.getH()), all = at(ple);
  Value x = quant(h, gate->act);
  Value g =
      call({.family = "linear_ple",
            .constants = Constants()
                             .set("k", gate->cols)
                             .set("format", gate->format)
                             .set("act", gate->act),
            .inputs = {x, all},
            .weights = {gate->name},
            .scalars = {rowStride(gate->act, gate->rows), stride(all), column},
            .results = {rowsOf(gate->act, gate->rows)}},
           Axis::Blocks, roundUp(gate->rows, 16) / 16)[0];
  return addNorm(h, linear(g, *proj), op.getPostAttr(), op.getScale(),
                 op.getEps().convertToDouble(), op.getResult());
}

//===-- attention ---------------------------------------------------------===//

// The attention_block of the same layer, which shares the norm and the cache;
// null if another layer owns the queries' input.
gemma::AttentionBlockOp queriesOf(gemma::KvBlockOp kv) {
  gemma::AttentionBlockOp found;
  kv->getParentOfType<ModuleOp>().walk([&](gemma::AttentionBlockOp block) {
    if (block.getNorm() == kv.getNorm() && block.getCache() == kv.getCache())
      found = block;
  });
  return found;
}

gemma::KvBlockOp keysOf(gemma::AttentionBlockOp block) {
  gemma::KvBlockOp found;
  block->getParentOfType<ModuleOp>().walk([&](gemma::KvBlockOp kv) {
    if (block.getNorm() == kv.getNorm() && block.getCache() == kv.getCache())
      found = kv;
  });
  return found;
}

// Both read one residual in one function: one product serves them.
bool together(gemma::KvBlockOp kv, gemma::AttentionBlockOp block) {
  return kv && block && kv->getBlock() == block->getBlock() &&
         kv.getH() == block.getH() && kv.getEps() == block.getEps();
}

// q | k | v below each other; v is absent where K = V.
FailureOr<WeightRef> packedQkv(KernelSymbols &symbols, Operation *user,
                               gemma::AttentionBlockOp block,
                               gemma::KvBlockOp kv) {
  SmallVector<FlatSymbolRefAttr> parts;
  if (block)
    parts.push_back(block.getQAttr());
  parts.push_back(kv.getKAttr());
  if (kv.getV())
    parts.push_back(kv.getVAttr());
  std::string last =
      std::string(block ? "q" : "") + "k" + (kv.getV() ? "v" : "");
  return symbols.merged(user, KernelSymbols::siblingName(parts.front(), last),
                        parts);
}

LogicalResult CpuRecipe::kvBlock(gemma::KvBlockOp op) {
  gemma::AttentionBlockOp block = queriesOf(op);
  FailureOr<WeightRef> packed = packedQkv(c.symbols, op, block, op);
  FailureOr<WeightRef> k = c.symbols.describe(op, op.getKAttr());
  FailureOr<WeightRef> in = c.symbols.vector(op, op.getNormAttr());
  FailureOr<WeightRef> kNorm = c.symbols.vector(op, op.getKNormAttr());
  FailureOr<kernel::CacheOp> cache = c.symbols.cache(op, op.getCacheAttr());
  FailureOr<Value> tile = ioArg("tile");
  if (failed(packed) || failed(k) || failed(in) || failed(kNorm) ||
      failed(cache) || failed(tile))
    return failure();
  int64_t heads = cache->getHeads(), hd = cache->getDim();
  if (k->rows != heads * hd)
    return op.emitError("expects ") << op.getKAttr() << " with " << heads * hd
                                    << " rows, got " << k->rows;
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
  Value product = linear(norm(at(op.getH()), in->name, eps, w.act), w);
  if (together(op, block))
    c.products[block] = product;
  call({.family = "append",
        .constants = Constants()
                         .set("heads", heads)
                         .set("hd", hd)
                         .set("pairs", int64_t(op.getPairs()))
                         .set("eps", eps)
                         .set("cache", cache->getFormat().str()),
        .inputs = {product, at(op.getTable()), *tile},
        .weights = {kNorm->name},
        .scalars = {stride(product), column,
                    op.getV() ? column + k->rows : column},
        .cache = op.getCacheAttr()},
       Axis::Tiles);
  return success();
}

LogicalResult CpuRecipe::attentionBlock(gemma::AttentionBlockOp op) {
  if (op.getEnd())
    return op.emitError("unsupported: attention to image blocks");
  FailureOr<kernel::CacheOp> cache = c.symbols.cache(op, op.getCacheAttr());
  FailureOr<WeightRef> q = c.symbols.describe(op, op.getQAttr());
  FailureOr<WeightRef> o = c.symbols.matrix(op, op.getOAttr());
  FailureOr<WeightRef> qNorm = c.symbols.vector(op, op.getQNormAttr());
  if (failed(cache) || failed(q) || failed(o) || failed(qNorm))
    return failure();
  int64_t hd = cache->getDim(), kvHeads = cache->getHeads(),
          heads = q->rows / hd;
  if (q->rows % hd || heads % kvHeads || heads == 0)
    return op.emitError("unsupported: ")
           << op.getQAttr() << " has " << q->rows
           << " rows, which are no multiple of " << kvHeads
           << " K/V heads of size " << hd;
  double eps = op.getEps().convertToDouble();
  Value h = at(op.getH()), product = c.products.lookup(op);
  if (!product) {
    FailureOr<WeightRef> w = failure();
    if (gemma::KvBlockOp kv = keysOf(op)) {
      // The cut layer: keys in body, queries in tail, one packed matrix.
      w = packedQkv(c.symbols, op, op, kv);
      if (succeeded(w))
        w = c.symbols.view(op, (w->name.getValue() + "_q").str(), *w, 0,
                           q->rows);
    } else {
      w = c.symbols.matrix(op, op.getQAttr());
    }
    FailureOr<WeightRef> in = c.symbols.vector(op, op.getNormAttr());
    if (failed(w) || failed(in))
      return failure();
    product = linear(norm(h, in->name, eps, w->act), *w);
  }
  Value roped = rowOp({.family = "rope_q",
                       .constants = Constants()
                                        .set("heads", heads)
                                        .set("hd", hd)
                                        .set("pairs", int64_t(op.getPairs()))
                                        .set("eps", eps)
                                        .set("cache", cache->getFormat().str()),
                       .inputs = {product, at(op.getTable())},
                       .weights = {qNorm->name},
                       .scalars = {stride(product), 0},
                       .results = {rowsOf(cache->getFormat(), heads * hd)}})[0];
  Value a = attend(roped, *cache, heads, o->act);
  if (!a)
    return failure();
  return addNorm(h, linear(a, *o), op.getPostAttr(), std::nullopt, eps,
                 op.getResult());
}

// The attention itself, rounded to `act`; null after an error.
Value CpuRecipe::attend(Value q, kernel::CacheOp cache, int64_t heads,
                        StringRef act) {
  std::string kind = cache.getTable().str();
  FailureOr<Value> tile = ioArg("tile");
  FailureOr<Value> split = ioArg("split_" + kind),
                   parts = ioArg("parts_" + kind);
  if (failed(tile) || failed(split) || failed(parts))
    return {};
  int64_t kvHeads = cache.getHeads(), hd = cache.getDim();
  auto constants = Constants()
                       .set("heads", heads)
                       .set("hd", hd)
                       .set("group", heads / kvHeads)
                       .set("window", int64_t(cache.getWindow()))
                       .set("cache", cache.getFormat().str());
  auto name = FlatSymbolRefAttr::get(cache.getSymNameAttr());
  if (!c.few())
    return call({.family = "attend",
                 .constants = constants.set("act", act.str()),
                 .inputs = {q, *tile},
                 .results = {rowsOf(act, heads * hd)},
                 .cache = name},
                Axis::Tiles, kvHeads)[0];
  // Partials are f32 whatever reads the merged result.
  Value partials = call({.family = "attend",
                         .constants = constants.set("act", "f32"),
                         .inputs = {q, *tile, *split},
                         .results = {rowsOf("f32", heads * (hd + 2))},
                         .cache = name},
                        Axis::Splits, kvHeads)[0];
  return call(
      {.family = "merge",
       .constants =
           Constants().set("heads", heads).set("hd", hd).set("act", act.str()),
       .inputs = {partials, *parts},
       .results = {rowsOf(act, heads * hd)}},
      Axis::Blocks, heads * hd / 32)[0];
}

//===-- feed-forward ------------------------------------------------------===//

LogicalResult CpuRecipe::ffnBlock(gemma::FfnBlockOp op) {
  FailureOr<WeightRef> pre = c.symbols.vector(op, op.getPreAttr());
  FailureOr<WeightRef> gateUp = c.symbols.interleaved(
      op, KernelSymbols::siblingName(op.getGateAttr(), "gate_up"),
      {op.getGateAttr(), op.getUpAttr()});
  FailureOr<WeightRef> down = c.symbols.matrix(op, op.getDownAttr());
  if (failed(pre) || failed(gateUp) || failed(down))
    return failure();
  if (gateUp->act != down->act)
    return op.emitError("unsupported: ")
           << op.getGateAttr() << " multiplies " << gateUp->act
           << " activations and " << op.getDownAttr() << " " << down->act;
  double eps = op.getEps().convertToDouble();
  Value h = at(op.getH());
  Value x = norm(h, pre->name, eps, gateUp->act);
  Value y = linear(geglu(x, *gateUp, down->act), *down);
  return addNorm(h, y, op.getPostAttr(), op.getScale(), eps, op.getResult());
}

LogicalResult CpuRecipe::moeBlock(gemma::MoeBlockOp op) {
  KernelSymbols &s = c.symbols;
  auto vector = [&](FlatSymbolRefAttr name) { return s.vector(op, name); };
  auto pre = vector(op.getPreAttr()),
       routerScale = vector(op.getRouterScaleAttr()),
       preExperts = vector(op.getPreExpertsAttr()),
       perExpert = vector(op.getPerExpertAttr()),
       postDense = vector(op.getPostDenseAttr()),
       postExperts = vector(op.getPostExpertsAttr()),
       post = vector(op.getPostAttr());
  auto gateUp = s.interleaved(
      op, KernelSymbols::siblingName(op.getGateAttr(), "dense_gate_up"),
      {op.getGateAttr(), op.getUpAttr()});
  auto down = s.matrix(op, op.getDownAttr()),
       router = s.matrix(op, op.getRouterAttr());
  auto up = s.interleaved(op, op.getGateUp(), {op.getGateUpAttr()});
  auto expertsDown = s.matrix(op, op.getExpertsDownAttr());
  if (failed(pre) || failed(routerScale) || failed(preExperts) ||
      failed(perExpert) || failed(postDense) || failed(postExperts) ||
      failed(post) || failed(gateUp) || failed(down) || failed(router) ||
      failed(up) || failed(expertsDown))
    return failure();
  int64_t k = columns(op.getH()), experts = router->rows, chosen = op.getTop();
  int64_t width = up->rows / 2;
  if (experts > maxExperts || chosen < 1 || chosen > std::min(experts, maxTop))
    return op.emitError("unsupported: ")
           << chosen << " of " << experts << " experts; at most " << maxTop
           << " of " << maxExperts << " are";
  if (router->format != "f32" || router->act != "f32")
    return op.emitError("expects router ")
           << op.getRouterAttr() << " in f32, got " << router->format;
  std::string act = gateUp->act;
  if (down->act != act || up->act != act || expertsDown->act != act)
    return op.emitError(
        "unsupported: the experts' and the dense matrices multiply "
        "activations of different formats (--quant=bf16 or --quant=f32 "
        "makes them equal)");
  double eps = op.getEps().convertToDouble();
  Value h = at(op.getH());
  ValueRange x =
      rowOp({.family = "norms3",
             .constants = Constants()
                              .set("k", k)
                              .set("eps", eps)
                              .set("act", act)
                              .set("factor", op.getFactor().convertToDouble()),
             .inputs = {h},
             .weights = {pre->name, routerScale->name, preExperts->name},
             .results = {rowsOf(act, k), rowsOf("f32", k), rowsOf(act, k)}});
  Value scores = linear(x[1], *router);
  Value g = geglu(x[0], *gateUp, act);
  auto counts = Constants().set("experts", experts).set("top", chosen);
  ValueRange choice =
      rowOp({.family = "top_experts",
             .constants = counts,
             .inputs = {scores},
             .weights = {perExpert->name},
             .results = {rowsOf("f32", chosen), rowsOf("i32", chosen)}});
  Value order = call({.family = "moe_sort",
                      .constants = counts,
                      .inputs = {choice[1]},
                      .results = {rowsOf("i32", chosen)}},
                     c.few() ? Axis::All : Axis::One)[0];
  Value e = call({.family = "experts_up",
                  .constants = Constants(counts)
                                   .set("k", k)
                                   .set("f", width)
                                   .set("format", up->format)
                                   .set("act", act),
                  .inputs = {x[2], choice[1], order},
                  .weights = {up->name},
                  .results = {rowsOf(act, chosen * rowStride(act, width))}},
                 Axis::Blocks, roundUp(width, 32) / 32)[0];
  Value dense = linear(g, *down);
  Value sum = call({.family = "experts_down",
                    .constants = Constants(counts)
                                     .set("k", expertsDown->cols)
                                     .set("n", expertsDown->rows)
                                     .set("format", expertsDown->format)
                                     .set("act", act),
                    .inputs = {e, choice[1], choice[0], order},
                    .weights = {expertsDown->name},
                    .scalars = {rowStride("f32", expertsDown->rows)},
                    .results = {rowsOf("f32", expertsDown->rows)}},
                   Axis::Blocks, roundUp(expertsDown->rows, 16) / 16)[0];
  Call last = {.family = "add_norm3",
               .constants =
                   Constants()
                       .set("k", k)
                       .set("eps", eps)
                       .set("scaled", int64_t(op.getScale().has_value())),
               .inputs = {h, dense, sum},
               .weights = {postDense->name, postExperts->name, post->name},
               .results = {rowsOf("f32", k)}};
  if (op.getScale()) {
    auto scale = vector(op.getScaleAttr());
    if (failed(scale))
      return failure();
    last.weights.push_back(scale->name);
  }
  c.values.map(op.getResult(), rowOp(last)[0]);
  return success();
}

//===-- output ------------------------------------------------------------===//

// Softcapped scores of the whole vocabulary (cap 0: no softcap).
FailureOr<Value> CpuRecipe::capped(Value hidden, FlatSymbolRefAttr weight,
                                   double cap) {
  FailureOr<WeightRef> w = c.symbols.matrix(op, weight);
  if (failed(w))
    return failure();
  if (!c.few())
    return op->emitError("unsupported: scores of the vocabulary in class many"),
           failure();
  return call({.family = "logits",
               .constants = Constants()
                                .set("k", w->cols)
                                .set("format", w->format)
                                .set("act", w->act)
                                .set("cap", cap),
               .inputs = {quant(hidden, w->act)},
               .weights = {w->name},
               .scalars = {rowStride("f32", w->rows)},
               .results = {rowsOf("f32", w->rows)}},
              Axis::Blocks, roundUp(w->rows, 16) / 16)[0];
}

// A softcap that is the only user joins the product.
LogicalResult CpuRecipe::logits(gemma::LogitsOp op) {
  gemma::SoftcapOp cap;
  if (op->hasOneUse())
    cap = dyn_cast<gemma::SoftcapOp>(*op->user_begin());
  FailureOr<Value> y = capped(at(op.getHidden()), op.getWeightAttr(),
                              cap ? cap.getCap().convertToDouble() : 0.0);
  if (failed(y))
    return failure();
  c.values.map(op.getResult(), *y);
  if (cap)
    c.values.map(cap.getResult(), *y);
  return success();
}

LogicalResult CpuRecipe::top(gemma::TopOp op) {
  FailureOr<Value> y =
      capped(at(op.getHidden()), op.getWeightAttr(),
             op.getCap() ? op.getCap()->convertToDouble() : 0.0);
  FailureOr<Value> mask = ioArg("mask");
  if (failed(y) || failed(mask))
    return failure();
  if (op.getCount() != topCount)
    return op.emitError("expects count ")
           << topCount << ", got " << op.getCount();
  int64_t vocab = columns(*y);
  int64_t parts = std::clamp<int64_t>(vocab / 16, 1, 64);
  ValueRange best = call({.family = "top",
                          .inputs = {*y, *mask},
                          .scalars = {vocab, stride(*y), parts},
                          .results = {rowsOf("f32", parts * topCount),
                                      rowsOf("i32", parts * topCount)}},
                         Axis::Blocks, parts);
  ValueRange merged =
      call({.family = "top_merge",
            .inputs = {best[0], best[1]},
            .scalars = {parts},
            .results = {rowsOf("i32", topCount), rowsOf("f32", topCount)}},
           Axis::One);
  c.values.map(op.getIds(), merged[0]);
  c.values.map(op.getValues(), merged[1]);
  c.scores = *y;
  return success();
}

LogicalResult CpuRecipe::lower() {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](gemma::EmbedOp op) { return embed(op); })
      .Case([&](gemma::TakeOp op) { return take(op); })
      .Case([&](gemma::RmsNormOp op) { return rmsNorm(op); })
      .Case([&](gemma::PleInputsOp op) { return pleInputs(op); })
      .Case([&](gemma::KvBlockOp op) { return kvBlock(op); })
      .Case([&](gemma::AttentionBlockOp op) { return attentionBlock(op); })
      .Case([&](gemma::FfnBlockOp op) { return ffnBlock(op); })
      .Case([&](gemma::MoeBlockOp op) { return moeBlock(op); })
      .Case([&](gemma::PleBlockOp op) { return pleBlock(op); })
      .Case([&](gemma::TopOp op) { return top(op); })
      .Case([&](gemma::LogitsOp op) { return logits(op); })
      // Joined by their users: a column offset of ple_block, the cap of logits.
      .Case([&](gemma::ColumnsOp op) -> LogicalResult {
        if (llvm::all_of(op->getUsers(), llvm::IsaPred<gemma::PleBlockOp>))
          return success();
        return op.emitError(
            "unsupported: a column slice that is not the per-layer "
            "input of a ple_block");
      })
      .Case([&](gemma::SoftcapOp op) -> LogicalResult {
        if (c.values.contains(op.getResult()))
          return success();
        return op.emitError(
            "unsupported: a softcap of anything but logits that have "
            "no other user");
      })
      .Default([](Operation *op) {
        return op->emitError(
            "has no kernel: optimize should have fused it into a block");
      });
}

} // namespace

LogicalResult lowerForCpu(RecipeContext &context, Operation *op) {
  return CpuRecipe(context, op).lower();
}

Value copyOutForCpu(RecipeContext &context, Location loc, Value value) {
  return CpuRecipe(context, context.source).copyOut(loc, value);
}

} // namespace gemmac
