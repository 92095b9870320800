// ModelConfig -> module. The order of the ops follows docs/model/text.md#2.4;
// each group of ops is one of the expansions that GemmaOps.td gives for a fused
// op, so that `optimize` has one form to recognise. Must not know tensors'
// bytes, files or targets.
#include "compiler/importer/Gemma4.h"

#include "dialects/gemma/Gemma.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

#include <cmath>

using namespace mlir;

namespace gemmac {
namespace {

using Symbol = FlatSymbolRefAttr;

// The symbols of one layer; null where the layer has no such tensor.
struct LayerSymbols {
  Symbol inNorm, q, k, v, qNorm, kNorm, o, postAttn;
  Symbol preFfw, gate, up, down, postFfw, scalar;
  Symbol plg, plp, postPle;
  Symbol router, routerScale, perExpert, gateUp, expertsDown;
  Symbol preFfw2, postFfw1, postFfw2;
  Symbol cache; // the layer's own or its donor's
};

class Importer {
public:
  Importer(MLIRContext &context, const ModelConfig &config)
      : config(config), b(&context) {}

  OwningOpRef<ModuleOp> build();

private:
  // Symbols.
  Symbol weight(const Twine &name, const Twine &from, ArrayRef<int64_t> shape);
  void addGlobalWeights();
  LayerSymbols addLayerWeights(int64_t index);
  void addExpertWeights(LayerSymbols &s, const std::string &name,
                        const std::string &from);
  void addCaches();
  gemma::ConfigAttr configAttr();
  DictionaryAttr ropeAttr(const RopeConfig &rope);

  // The function.
  void addStep();
  Value pleInputs(Value h0);
  Value layer(int64_t index, Value h, Value ple);
  Value attention(int64_t index, Value h);
  void appendKv(int64_t index, Value x);
  Value mlp(int64_t index, Value h);
  Value feedForward(int64_t index, Value h);
  Value experts(const LayerSymbols &s, Value h, Value dense);
  Value pleBranch(int64_t index, Value h, Value ple);

  // Primitives; the location is `prefix` + name.
  Location at(const Twine &name) {
    return NameLoc::get(b.getStringAttr(prefix + name));
  }
  RankedTensorType rows(int64_t columns) {
    return RankedTensorType::get({ShapedType::kDynamic, columns},
                                 b.getF32Type());
  }
  FloatAttr f64(double value) { return b.getF64FloatAttr(value); }
  IntegerAttr i64(int64_t value) { return b.getI64IntegerAttr(value); }
  Value norm(const Twine &name, Value x, Symbol weight, int64_t size) {
    return gemma::RmsNormOp::create(b, at(name), x.getType(), x, weight,
                                    f64(config.eps), i64(size));
  }
  Value linear(const Twine &name, Value x, Symbol weight, int64_t out,
               DenseI64ArrayAttr range = {}) {
    return gemma::LinearOp::create(b, at(name), rows(out), x, weight, range);
  }
  Value rope(const Twine &name, Value x, const LayerConfig &layer) {
    const RopeConfig &r = layer.global ? config.globalRope : config.localRope;
    return gemma::RopeOp::create(b, at(name), x.getType(), x,
                                 layer.global ? ropeGlobal : ropeLocal,
                                 i64(r.dim), i64(r.pairs));
  }
  Value geglu(const Twine &name, Value g, Value u) {
    return gemma::GegluOp::create(b, at(name), g.getType(), g, u);
  }
  Value add(const Twine &name, Value x, Value y) {
    return gemma::AddOp::create(b, at(name), x.getType(), x, y);
  }
  Value scale(const Twine &name, Value x, double factor) {
    return gemma::ScaleOp::create(b, at(name), x.getType(), x, Symbol(),
                                  f64(factor));
  }

  const ModelConfig &config;
  OpBuilder b;
  std::string prefix; // of the names of values: "" or "layers.3."
  Symbol embed, finalNorm, pleTable, pleProj, pleNorm, head;
  std::vector<LayerSymbols> symbols;
  Value ids, slot, pos, ropeLocal, ropeGlobal;
};

//===-- symbols -----------------------------------------------------------===//

Symbol Importer::weight(const Twine &name, const Twine &from,
                        ArrayRef<int64_t> shape) {
  auto type = RankedTensorType::get(shape, b.getF32Type());
  auto op = gemma::WeightOp::create(b, b.getUnknownLoc(), b.getStringAttr(name),
                                    b.getStringAttr(from), TypeAttr::get(type),
                                    StringAttr(), ArrayAttr(), StringAttr(),
                                    StringAttr());
  return Symbol::get(op.getSymNameAttr());
}

void Importer::addGlobalWeights() {
  int64_t d = config.hidden, p = config.pleWidth, width = config.layers * p;
  embed = weight("embed", "embed_tokens.weight", {config.vocab, d});
  finalNorm = weight("norm", "norm.weight", {d});
  head = config.tied ? embed
                     : weight("lm_head", "lm_head.weight", {config.vocab, d});
  if (!p)
    return;
  pleTable = weight("ple_table", "embed_tokens_per_layer.weight",
                    {config.pleVocab, width});
  pleProj = weight("ple_proj", "per_layer_model_projection.weight", {width, d});
  pleNorm = weight("ple_norm", "per_layer_projection_norm.weight", {p});
}

LayerSymbols Importer::addLayerWeights(int64_t index) {
  const LayerConfig &layer = config.layer[index];
  int64_t d = config.hidden, hd = layer.headDim, f = layer.ffn;
  int64_t qWidth = config.heads * hd, kvWidth = layer.kvHeads * hd;
  std::string name = "l" + std::to_string(index) + ".";
  std::string from = "layers." + std::to_string(index) + ".";
  LayerSymbols s;
  auto attn = [&](const char *n, const char *f, ArrayRef<int64_t> shape) {
    return weight(name + n, from + "self_attn." + f + ".weight", shape);
  };
  auto plain = [&](const char *n, const char *f, ArrayRef<int64_t> shape) {
    return weight(name + n, from + f + ".weight", shape);
  };
  s.inNorm = plain("in_norm", "input_layernorm", {d});
  s.q = attn("q", "q_proj", {qWidth, d});
  if (layer.ownsKv) {
    s.k = attn("k", "k_proj", {kvWidth, d});
    if (!layer.keyIsValue)
      s.v = attn("v", "v_proj", {kvWidth, d});
  }
  s.qNorm = attn("q_norm", "q_norm", {hd});
  if (layer.ownsKv)
    s.kNorm = attn("k_norm", "k_norm", {hd});
  s.o = attn("o", "o_proj", {d, qWidth});
  s.postAttn = plain("post_attn", "post_attention_layernorm", {d});
  s.preFfw = plain("pre_ffw", "pre_feedforward_layernorm", {d});
  s.gate = plain("gate", "mlp.gate_proj", {f, d});
  s.up = plain("up", "mlp.up_proj", {f, d});
  s.down = plain("down", "mlp.down_proj", {d, f});
  s.postFfw = plain("post_ffw", "post_feedforward_layernorm", {d});
  s.scalar = weight(name + "scalar", from + "layer_scalar", {1});
  if (config.pleWidth) {
    s.plg = plain("plg", "per_layer_input_gate", {config.pleWidth, d});
    s.plp = plain("plp", "per_layer_projection", {d, config.pleWidth});
    s.postPle = plain("post_ple", "post_per_layer_input_norm", {d});
  }
  if (config.experts)
    addExpertWeights(s, name, from);
  s.cache = Symbol::get(b.getContext(), "kv" + std::to_string(layer.donor));
  return s;
}

void Importer::addExpertWeights(LayerSymbols &s, const std::string &name,
                                const std::string &from) {
  int64_t d = config.hidden, e = config.experts, f = config.expertFfn;
  s.router = weight(name + "router", from + "router.proj.weight", {e, d});
  s.routerScale = weight(name + "router_scale", from + "router.scale", {d});
  s.perExpert =
      weight(name + "per_expert", from + "router.per_expert_scale", {e});
  s.gateUp =
      weight(name + "gate_up", from + "experts.gate_up_proj", {e, 2 * f, d});
  s.expertsDown =
      weight(name + "experts_down", from + "experts.down_proj", {e, d, f});
  s.preFfw2 = weight(name + "pre_ffw2",
                     from + "pre_feedforward_layernorm_2.weight", {d});
  s.postFfw1 = weight(name + "post_ffw1",
                      from + "post_feedforward_layernorm_1.weight", {d});
  s.postFfw2 = weight(name + "post_ffw2",
                      from + "post_feedforward_layernorm_2.weight", {d});
}

void Importer::addCaches() {
  for (int64_t i = 0; i < config.layers; ++i) {
    const LayerConfig &layer = config.layer[i];
    if (!layer.ownsKv)
      continue;
    gemma::CacheOp::create(
        b, b.getUnknownLoc(), b.getStringAttr("kv" + std::to_string(i)),
        i64(layer.global ? 0 : config.window), i64(layer.kvHeads),
        i64(layer.headDim), StringAttr());
  }
}

DictionaryAttr Importer::ropeAttr(const RopeConfig &rope) {
  return b.getDictionaryAttr({b.getNamedAttr("dim", i64(rope.dim)),
                              b.getNamedAttr("pairs", i64(rope.pairs)),
                              b.getNamedAttr("theta", f64(rope.theta))});
}

gemma::ConfigAttr Importer::configAttr() {
  NamedAttrList list;
  list.append("hidden", i64(config.hidden));
  list.append("layers", i64(config.layers));
  list.append("max_context", i64(config.maxContext));
  list.append("model_type", b.getStringAttr(config.modelType));
  list.append("ple_vocab", i64(config.pleVocab));
  list.append("ple_width", i64(config.pleWidth));
  list.append("rope_global", ropeAttr(config.globalRope));
  list.append("rope_local", ropeAttr(config.localRope));
  list.append("softcap", f64(config.softcap));
  list.append("variant", b.getStringAttr(config.variant));
  list.append("vocab", i64(config.vocab));
  list.append("window", i64(config.window));
  return gemma::ConfigAttr::get(b.getContext(),
                                list.getDictionary(b.getContext()));
}

//===-- the function ------------------------------------------------------===//

// ple [n, L P], docs/model/text.md#2.3.
Value Importer::pleInputs(Value h0) {
  int64_t width = config.layers * config.pleWidth;
  auto all = b.getDenseI64ArrayAttr({0, width});
  Value token = gemma::EmbedOp::create(
      b, at("ple_token"), rows(width), ids, Value(), pleTable,
      f64(config.pleScale), all,
      gemma::SoftModeAttr::get(b.getContext(), gemma::SoftMode::Zero));
  Value context = linear("ple_projected", h0, pleProj, width, all);
  context = scale("ple_scaled", context, 1 / std::sqrt(double(config.hidden)));
  context = norm("ple_context", context, pleNorm, config.pleWidth);
  Value sum = add("ple_sum", context, token);
  return scale("ple", sum, std::sqrt(0.5));
}

// Keys and values of this step's rows into the layer's cache; x is the normed
// input.
void Importer::appendKv(int64_t index, Value x) {
  const LayerConfig &layer = config.layer[index];
  const LayerSymbols &s = symbols[index];
  int64_t width = layer.kvHeads * layer.headDim;
  Value k0 = linear("k_proj", x, s.k, width);
  // K = V: the values are the raw projection, before norm and rope.
  Value v0 = layer.keyIsValue ? k0 : linear("v_proj", x, s.v, width);
  Value k = rope("k", norm("k_norm", k0, s.kNorm, layer.headDim), layer);
  Value v = norm("v", v0, Symbol(), layer.headDim);
  gemma::AppendOp::create(b, at("append"), k, v, slot, pos, s.cache);
}

Value Importer::attention(int64_t index, Value h) {
  const LayerConfig &layer = config.layer[index];
  const LayerSymbols &s = symbols[index];
  Value x = norm("attn_in", h, s.inNorm, config.hidden);
  if (layer.ownsKv)
    appendKv(index, x);
  Value q = linear("q_proj", x, s.q, config.heads * layer.headDim);
  q = rope("q", norm("q_norm", q, s.qNorm, layer.headDim), layer);
  Value a = gemma::AttentionOp::create(b, at("attn_out"), q.getType(), q, slot,
                                       pos, Value(), s.cache);
  Value o = linear("attn_proj", a, s.o, config.hidden);
  return add("ffn_residual", h,
             norm("attn_norm", o, s.postAttn, config.hidden));
}

Value Importer::mlp(int64_t index, Value h) {
  const LayerSymbols &s = symbols[index];
  int64_t width = config.layer[index].ffn;
  Value x = norm("mlp_in", h, s.preFfw, config.hidden);
  Value g = linear("mlp_gate", x, s.gate, width);
  Value u = linear("mlp_up", x, s.up, width);
  return linear("mlp_out", geglu("mlp_act", g, u), s.down, config.hidden);
}

// The sum of the dense branch and the experts; both read the residual h.
Value Importer::experts(const LayerSymbols &s, Value h, Value dense) {
  int64_t d = config.hidden, top = config.topExperts;
  Value y1 = norm("mlp_norm", dense, s.postFfw1, d);
  auto idsType =
      RankedTensorType::get({ShapedType::kDynamic, top}, b.getI32Type());
  auto router = gemma::RouterOp::create(
      b, at("router"), rows(top), idsType, h, s.router, s.routerScale,
      f64(config.eps), f64(1 / std::sqrt(double(d))), i64(top));
  Value x = norm("experts_in", h, s.preFfw2, d);
  Value y2 = gemma::ExpertsOp::create(b, at("experts_out"), x.getType(), x,
                                      router.getWeights(), router.getIds(),
                                      s.gateUp, s.expertsDown, s.perExpert);
  return add("ffn_sum", y1, norm("experts_norm", y2, s.postFfw2, d));
}

Value Importer::feedForward(int64_t index, Value h) {
  const LayerSymbols &s = symbols[index];
  Value y = mlp(index, h);
  if (config.experts)
    y = experts(s, h, y);
  return add(config.pleWidth ? "ple_residual" : "ffn_out", h,
             norm("ffn_norm", y, s.postFfw, config.hidden));
}

Value Importer::pleBranch(int64_t index, Value h, Value ple) {
  const LayerSymbols &s = symbols[index];
  int64_t p = config.pleWidth;
  Value own = gemma::ColumnsOp::create(
      b, at("ple_input"), rows(p), ple,
      b.getDenseI64ArrayAttr({index * p, (index + 1) * p}));
  Value g = geglu("ple_gated", linear("ple_gate", h, s.plg, p), own);
  Value y = linear("ple_proj", g, s.plp, config.hidden);
  return add("ple_out", h, norm("ple_norm", y, s.postPle, config.hidden));
}

Value Importer::layer(int64_t index, Value h, Value ple) {
  prefix = "layers." + std::to_string(index) + ".";
  h = attention(index, h);
  h = feedForward(index, h);
  if (ple)
    h = pleBranch(index, h, ple);
  prefix.clear();
  return gemma::ScaleOp::create(b, at("hidden." + Twine(index)), h.getType(), h,
                                symbols[index].scalar, FloatAttr());
}

void Importer::addStep() {
  auto perRow = RankedTensorType::get({ShapedType::kDynamic}, b.getI32Type());
  auto table = [&](const RopeConfig &rope) {
    return RankedTensorType::get({ShapedType::kDynamic, rope.pairs, 2},
                                 b.getF32Type());
  };
  SmallVector<Type> inputs = {perRow, perRow, perRow, table(config.localRope),
                              table(config.globalRope)};
  auto type =
      b.getFunctionType(inputs, {rows(config.hidden), rows(config.vocab)});
  auto function =
      func::FuncOp::create(b, b.getUnknownLoc(), gemma::stepName, type);
  function->setAttr(gemma::segmentAttr, b.getStringAttr(gemma::stepName));
  const char *names[] = {"ids", "slot", "pos", "rope_local", "rope_global"};
  Block *body = function.addEntryBlock();
  for (unsigned i = 0; i < inputs.size(); ++i) {
    function.setArgAttr(i, gemma::argAttr, b.getStringAttr(names[i]));
    body->getArgument(i).setLoc(at(names[i]));
  }
  ids = body->getArgument(0);
  slot = body->getArgument(1);
  pos = body->getArgument(2);
  ropeLocal = body->getArgument(3);
  ropeGlobal = body->getArgument(4);

  b.setInsertionPointToStart(body);
  Value h = gemma::EmbedOp::create(b, at("embed"), rows(config.hidden), ids,
                                   Value(), embed, f64(config.embedScale),
                                   DenseI64ArrayAttr(), gemma::SoftModeAttr());
  Value ple = config.pleWidth ? pleInputs(h) : Value();
  for (int64_t i = 0; i < config.layers; ++i)
    h = layer(i, h, ple);
  Value hidden = norm("final_norm", h, finalNorm, config.hidden);
  Value logits =
      gemma::LogitsOp::create(b, at(config.softcap ? "scores" : "logits"),
                              rows(config.vocab), hidden, head);
  if (config.softcap)
    logits = gemma::SoftcapOp::create(b, at("logits"), logits.getType(), logits,
                                      f64(config.softcap));
  func::ReturnOp::create(b, b.getUnknownLoc(), ValueRange{hidden, logits});
}

OwningOpRef<ModuleOp> Importer::build() {
  OwningOpRef<ModuleOp> module = ModuleOp::create(b.getUnknownLoc());
  module.get()->setAttr(gemma::configAttr, configAttr());
  b.setInsertionPointToEnd(module->getBody());
  addGlobalWeights();
  for (int64_t i = 0; i < config.layers; ++i)
    symbols.push_back(addLayerWeights(i));
  addCaches();
  addStep();
  return module;
}

} // namespace

OwningOpRef<ModuleOp> importGemma4(MLIRContext &context,
                                   const ModelConfig &config) {
  context.loadDialect<gemma::GemmaDialect, func::FuncDialect>();
  return Importer(context, config).build();
}

} // namespace gemmac
