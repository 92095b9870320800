// ModelConfig -> module. The order of the ops follows docs/model/text.md#2.4;
// each group of ops is one of the expansions that GemmaOps.td gives for a fused
// op, so that `optimize` has one form to recognise. Must not know tensors'
// bytes, files or targets.
#include "compiler/importer/Gemma4.h"
#include "compiler/importer/ImportBuilder.h"

#include <cmath>

using namespace mlir;

namespace gemmac {
namespace {

class Importer : ImportBuilder {
public:
  Importer(MLIRContext &context, const ModelConfig &config)
      : ImportBuilder(context), config(config) {}

  OwningOpRef<ModuleOp> build();

private:
  // Symbols.
  void addGlobalWeights();
  void addLayerWeights(int64_t index);
  void addCaches();
  gemma::ConfigAttr configAttr();
  DictionaryAttr ropeAttr(const RopeConfig &rope);

  // The function.
  void addStep();
  Value pleInputs(Value h0);
  Value layer(int64_t number, Value h, Value ple);
  Value attention(Value h);
  void appendKv(Value x);
  Value mlp(Value h);
  Value feedForward(Value h);
  Value experts(Value h, Value dense);
  Value pleBranch(Value h, Value ple);

  // Whether rows of sliding layers see all of their image.
  bool hasBlocks() const { return config.softRows() && config.imageBlocks; }

  // The layer that is being built, its weights and the cache that it reads.
  const LayerConfig &current() const { return config.layer[index]; }
  Symbol own(const Twine &name) {
    return symbol("l" + Twine(index) + "." + name);
  }
  Symbol cache() { return symbol("kv" + Twine(current().donor)); }

  Value norm(const Twine &name, Value x, Symbol weight, int64_t size) {
    return ImportBuilder::norm(name, x, weight, size, config.eps);
  }
  Value rope(const Twine &name, Value x) {
    const RopeConfig &r =
        current().global ? config.globalRope : config.localRope;
    return gemma::RopeOp::create(b, at(name), x.getType(), x,
                                 current().global ? ropeGlobal : ropeLocal,
                                 i64(r.dim), i64(r.pairs));
  }
  const ModelConfig &config;
  int64_t index = 0; // of the layer
  Value ids, slot, pos, ropeLocal, ropeGlobal;
  Value soft, end; // null: the model has none
};

//===-- symbols -----------------------------------------------------------===//

void Importer::addGlobalWeights() {
  int64_t d = config.hidden, p = config.pleWidth, width = config.layers * p;
  weight("embed", "embed_tokens.weight", {config.vocab, d});
  weight("norm", "norm.weight", {d});
  if (!config.tied)
    weight("lm_head", "lm_head.weight", {config.vocab, d});
  if (!p)
    return;
  weight("ple_table", "embed_tokens_per_layer.weight",
         {config.pleVocab, width});
  weight("ple_proj", "per_layer_model_projection.weight", {width, d});
  weight("ple_norm", "per_layer_projection_norm.weight", {p});
}

void Importer::addLayerWeights(int64_t index) {
  const LayerConfig &layer = config.layer[index];
  const int64_t d = config.hidden, hd = layer.headDim, f = layer.ffn,
                p = config.pleWidth, e = config.experts, ef = config.expertFfn;
  const int64_t q = config.heads * hd, kv = layer.kvHeads * hd;
  const bool owns = layer.ownsKv;
  const struct {
    const char *name, *from;
    SmallVector<int64_t, 3> shape;
    bool there = true;
  } weights[] = {
      {"in_norm", "input_layernorm.weight", {d}},
      {"q", "self_attn.q_proj.weight", {q, d}},
      {"k", "self_attn.k_proj.weight", {kv, d}, owns},
      {"v", "self_attn.v_proj.weight", {kv, d}, owns && !layer.keyIsValue},
      {"q_norm", "self_attn.q_norm.weight", {hd}},
      {"k_norm", "self_attn.k_norm.weight", {hd}, owns},
      {"o", "self_attn.o_proj.weight", {d, q}},
      {"post_attn", "post_attention_layernorm.weight", {d}},
      {"pre_ffw", "pre_feedforward_layernorm.weight", {d}},
      {"gate", "mlp.gate_proj.weight", {f, d}},
      {"up", "mlp.up_proj.weight", {f, d}},
      {"down", "mlp.down_proj.weight", {d, f}},
      {"post_ffw", "post_feedforward_layernorm.weight", {d}},
      {"scalar", "layer_scalar", {1}},
      {"plg", "per_layer_input_gate.weight", {p, d}, p > 0},
      {"plp", "per_layer_projection.weight", {d, p}, p > 0},
      {"post_ple", "post_per_layer_input_norm.weight", {d}, p > 0},
      {"router", "router.proj.weight", {e, d}, e > 0},
      {"router_scale", "router.scale", {d}, e > 0},
      {"per_expert", "router.per_expert_scale", {e}, e > 0},
      {"gate_up", "experts.gate_up_proj", {e, 2 * ef, d}, e > 0},
      {"experts_down", "experts.down_proj", {e, d, ef}, e > 0},
      {"pre_ffw2", "pre_feedforward_layernorm_2.weight", {d}, e > 0},
      {"post_ffw1", "post_feedforward_layernorm_1.weight", {d}, e > 0},
      {"post_ffw2", "post_feedforward_layernorm_2.weight", {d}, e > 0}};
  for (const auto &w : weights)
    if (w.there)
      weight("l" + Twine(index) + "." + w.name,
             "layers." + Twine(index) + "." + w.from, w.shape);
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
  if (hasBlocks())
    list.append("image_blocks", b.getBoolAttr(true));
  list.append("layers", i64(config.layers));
  list.append("max_context", i64(config.maxContext));
  list.append("model_type", b.getStringAttr(config.modelType));
  list.append("ple_vocab", i64(config.pleVocab));
  list.append("ple_width", i64(config.pleWidth));
  list.append("rope_global", ropeAttr(config.globalRope));
  list.append("rope_local", ropeAttr(config.localRope));
  if (config.softRows())
    list.append("soft_rows", b.getBoolAttr(true));
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
      b, at("ple_token"), rows(width), ids, Value(), symbol("ple_table"),
      f64(config.pleScale), all,
      gemma::SoftModeAttr::get(b.getContext(), gemma::SoftMode::Zero));
  Value context = linear("ple_projected", h0, symbol("ple_proj"), width, all);
  context = scale("ple_scaled", context, 1 / std::sqrt(double(config.hidden)));
  context = norm("ple_context", context, symbol("ple_norm"), config.pleWidth);
  Value sum = add("ple_sum", context, token);
  return scale("ple", sum, std::sqrt(0.5));
}

// Keys and values of this step's rows into the layer's cache; x is the normed
// input.
void Importer::appendKv(Value x) {
  int64_t width = current().kvHeads * current().headDim;
  Value k0 = linear("k_proj", x, own("k"), width);
  // K = V: the values are the raw projection, before norm and rope.
  Value v0 = current().keyIsValue ? k0 : linear("v_proj", x, own("v"), width);
  Value k = rope("k", norm("k_norm", k0, own("k_norm"), current().headDim));
  Value v = norm("v", v0, Symbol(), current().headDim);
  gemma::AppendOp::create(b, at("append"), k, v, slot, pos, cache());
}

Value Importer::attention(Value h) {
  Value x = norm("attn_in", h, own("in_norm"), config.hidden);
  if (current().ownsKv)
    appendKv(x);
  Value q = linear("q_proj", x, own("q"), config.heads * current().headDim);
  q = rope("q", norm("q_norm", q, own("q_norm"), current().headDim));
  // Global layers are causal in every model (docs/model/vision.md#8.3).
  Value a =
      gemma::AttentionOp::create(b, at("attn_out"), q.getType(), q, slot, pos,
                                 current().global ? Value() : end, cache());
  Value o = linear("attn_proj", a, own("o"), config.hidden);
  return add("ffn_residual", h,
             norm("attn_norm", o, own("post_attn"), config.hidden));
}

Value Importer::mlp(Value h) {
  int64_t width = current().ffn;
  Value x = norm("mlp_in", h, own("pre_ffw"), config.hidden);
  Value g = linear("mlp_gate", x, own("gate"), width);
  Value u = linear("mlp_up", x, own("up"), width);
  return linear("mlp_out", geglu("mlp_act", g, u), own("down"), config.hidden);
}

// The sum of the dense branch and the experts; both read the residual h.
Value Importer::experts(Value h, Value dense) {
  int64_t d = config.hidden, top = config.topExperts;
  Value y1 = norm("mlp_norm", dense, own("post_ffw1"), d);
  auto idsType =
      RankedTensorType::get({ShapedType::kDynamic, top}, b.getI32Type());
  auto router = gemma::RouterOp::create(
      b, at("router"), rows(top), idsType, h, own("router"),
      own("router_scale"), f64(config.eps), f64(1 / std::sqrt(double(d))),
      i64(top));
  Value x = norm("experts_in", h, own("pre_ffw2"), d);
  Value y2 = gemma::ExpertsOp::create(
      b, at("experts_out"), x.getType(), x, router.getWeights(),
      router.getIds(), own("gate_up"), own("experts_down"), own("per_expert"));
  return add("ffn_sum", y1, norm("experts_norm", y2, own("post_ffw2"), d));
}

Value Importer::feedForward(Value h) {
  Value y = mlp(h);
  if (config.experts)
    y = experts(h, y);
  return add(config.pleWidth ? "ple_residual" : "ffn_out", h,
             norm("ffn_norm", y, own("post_ffw"), config.hidden));
}

Value Importer::pleBranch(Value h, Value ple) {
  int64_t p = config.pleWidth;
  Value input = gemma::ColumnsOp::create(
      b, at("ple_input"), rows(p), ple,
      b.getDenseI64ArrayAttr({index * p, (index + 1) * p}));
  Value g = geglu("ple_gated", linear("ple_gate", h, own("plg"), p), input);
  Value y = linear("ple_proj", g, own("plp"), config.hidden);
  return add("ple_out", h, norm("ple_norm", y, own("post_ple"), config.hidden));
}

Value Importer::layer(int64_t number, Value h, Value ple) {
  index = number;
  prefix = "layers." + std::to_string(index) + ".";
  h = attention(h);
  h = feedForward(h);
  if (ple)
    h = pleBranch(h, ple);
  prefix.clear();
  return gemma::ScaleOp::create(b, at("hidden." + Twine(index)), h.getType(), h,
                                own("scalar"), FloatAttr());
}

void Importer::addStep() {
  auto perRow = RankedTensorType::get({ShapedType::kDynamic}, b.getI32Type());
  auto table = [&](const RopeConfig &rope) {
    return RankedTensorType::get({ShapedType::kDynamic, rope.pairs, 2},
                                 b.getF32Type());
  };
  SmallVector<Type> inputs = {perRow, perRow, perRow, table(config.localRope),
                              table(config.globalRope)};
  SmallVector<StringRef> names = {"ids", "slot", "pos", "rope_local",
                                  "rope_global"};
  if (config.softRows()) {
    inputs.push_back(rows(config.hidden));
    names.push_back("soft");
  }
  if (hasBlocks()) {
    inputs.push_back(perRow);
    names.push_back("end");
  }
  auto type =
      b.getFunctionType(inputs, {rows(config.hidden), rows(config.vocab)});
  auto function =
      func::FuncOp::create(b, b.getUnknownLoc(), gemma::stepName, type);
  function->setAttr(gemma::segmentAttr, b.getStringAttr(gemma::stepName));
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
  soft = config.softRows() ? body->getArgument(5) : Value();
  end = hasBlocks() ? body->getArgument(6) : Value();

  b.setInsertionPointToStart(body);
  Value h = gemma::EmbedOp::create(
      b, at("embed"), rows(config.hidden), ids, soft, symbol("embed"),
      f64(config.embedScale), DenseI64ArrayAttr(),
      soft ? gemma::SoftModeAttr::get(b.getContext(), gemma::SoftMode::Row)
           : gemma::SoftModeAttr());
  Value ple = config.pleWidth ? pleInputs(h) : Value();
  for (int64_t i = 0; i < config.layers; ++i)
    h = layer(i, h, ple);
  Value hidden = norm("final_norm", h, symbol("norm"), config.hidden);
  Value logits = gemma::LogitsOp::create(
      b, at(config.softcap ? "scores" : "logits"), rows(config.vocab), hidden,
      symbol(config.tied ? "embed" : "lm_head"));
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
    addLayerWeights(i);
  addCaches();
  addStep();
  if (config.vision)
    importVision(*module, config);
  if (config.audio)
    importAudio(*module, config);
  return module;
}

} // namespace

OwningOpRef<ModuleOp> importGemma4(MLIRContext &context,
                                   const ModelConfig &config) {
  context.loadDialect<gemma::GemmaDialect, func::FuncDialect>();
  return Importer(context, config).build();
}

} // namespace gemmac
