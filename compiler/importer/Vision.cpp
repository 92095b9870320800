// VisionConfig -> weights and @image: a tower over patches, or one product per
// cell. The order of the ops follows docs/model/vision.md#3 and #7. Must not
// know tensors' bytes, files or targets.
#include "compiler/importer/TowerBuilder.h"

#include <cmath>

using namespace mlir;

namespace gemmac {
namespace {

class VisionImporter : TowerBuilder {
public:
  VisionImporter(ModuleOp module, const ModelConfig &config)
      : TowerBuilder(module), config(config), v(*config.vision) {
    clipped = v.clipped;
  }

  void build() {
    v.tower ? addTower() : addCells();
    weight("vision.proj", "embed_vision.embedding_projection.weight",
           {config.hidden, v.output});
    addFunction();
  }

private:
  void addTower();
  void addCells();
  void addFunction();
  Value tower();
  Value cells();
  Value layer(int64_t index, Value h);

  const ModelConfig &config;
  const VisionConfig &v;
  Value pixels, position, rope;
};

void VisionImporter::addTower() {
  const int64_t d = v.width, heads = v.heads * v.headDim;
  weight("vision.patch", "vision_tower.patch_embedder.input_proj.weight",
         {d, v.patch * v.patch * 3});
  weight("vision.positions",
         "vision_tower.patch_embedder.position_embedding_table",
         {2, v.positions, d});
  for (int64_t i = 0; i < v.layers; ++i) {
    enter("v", i, "vision_tower.encoder.layers.");
    own("in_norm", "input_layernorm.weight", {d});
    linearWeight("q", "self_attn.q_proj", {heads, d});
    linearWeight("k", "self_attn.k_proj", {heads, d});
    linearWeight("v", "self_attn.v_proj", {heads, d});
    own("q_norm", "self_attn.q_norm.weight", {v.headDim});
    own("k_norm", "self_attn.k_norm.weight", {v.headDim});
    linearWeight("o", "self_attn.o_proj", {d, heads});
    own("post_attn", "post_attention_layernorm.weight", {d});
    own("pre_ffw", "pre_feedforward_layernorm.weight", {d});
    linearWeight("gate", "mlp.gate_proj", {v.ffn, d});
    linearWeight("up", "mlp.up_proj", {v.ffn, d});
    linearWeight("down", "mlp.down_proj", {d, v.ffn});
    own("post_ffw", "post_feedforward_layernorm.weight", {d});
  }
  if (v.standardized) {
    weight("vision.std_bias", "vision_tower.std_bias", {d});
    weight("vision.std_scale", "vision_tower.std_scale", {d});
  }
}

void VisionImporter::addCells() {
  const int64_t d = v.width, values = v.cell() * v.cell() * 3;
  auto both = [&](const Twine &name, const Twine &from, int64_t size) {
    weight(name, "vision_embedder." + from + ".weight", {size});
    weight(name + "_bias", "vision_embedder." + from + ".bias", {size});
  };
  both("vision.ln1", "patch_ln1", values);
  weight("vision.patch", "vision_embedder.patch_dense.weight", {d, values});
  weight("vision.patch_bias", "vision_embedder.patch_dense.bias", {d});
  both("vision.ln2", "patch_ln2", d);
  weight("vision.positions", "vision_embedder.pos_embedding",
         {v.positions, 2, d});
  both("vision.ln3", "pos_norm", d);
}

Value VisionImporter::layer(int64_t index, Value h) {
  enter("v", index, "");
  const int64_t heads = v.heads * v.headDim;
  Value x = norm("attn_in", h, own("in_norm"), v.width, v.eps);
  Value q = clippedLinear("q", x, heads), k = clippedLinear("k", x, heads),
        w = clippedLinear("v", x, heads);
  q = norm("q_norm", q, own("q_norm"), v.headDim, v.eps);
  k = norm("k_norm", k, own("k_norm"), v.headDim, v.eps);
  q = gemma::Rope2dOp::create(b, at("q"), q.getType(), q, rope, i64(v.headDim));
  k = gemma::Rope2dOp::create(b, at("k"), k.getType(), k, rope, i64(v.headDim));
  w = norm("v", w, Symbol(), v.headDim, v.eps);
  Value a = gemma::SelfAttentionOp::create(b, at("attn_out"), q.getType(), q, k,
                                           w, i64(v.headDim));
  a = clippedLinear("o", a, v.width);
  h = add("ffn_residual", h,
          norm("attn_norm", a, own("post_attn"), v.width, v.eps));
  x = norm("mlp_in", h, own("pre_ffw"), v.width, v.eps);
  Value g = clippedLinear("gate", x, v.ffn), u = clippedLinear("up", x, v.ffn);
  Value y = clippedLinear("down", geglu("mlp_act", g, u), v.width);
  return add("out", h, norm("ffn_norm", y, own("post_ffw"), v.width, v.eps));
}

Value VisionImporter::tower() {
  Value x = gemma::AffineOp::create(b, at("patches"), pixels.getType(), pixels,
                                    f64(2), f64(-1));
  Value h = linear("patch", x, symbol("vision.patch"), v.width);
  h = gemma::AddPositionsOp::create(b, at("embed"), h.getType(), h, position,
                                    symbol("vision.positions"), UnitAttr());
  for (int64_t i = 0; i < v.layers; ++i)
    h = layer(i, h);
  prefix = "vision.";
  h = gemma::PoolOp::create(b, at("mean"), h.getType(), h, i64(v.pool * v.pool),
                            f64(1));
  h = scale("pooled", h, std::sqrt(double(v.width)));
  if (v.standardized)
    h = gemma::StandardizeOp::create(b, at("tower"), h.getType(), h,
                                     symbol("vision.std_bias"),
                                     symbol("vision.std_scale"));
  return h;
}

Value VisionImporter::cells() {
  auto layerNorm = [&](const Twine &name, Value x) -> Value {
    return gemma::LayerNormOp::create(b, at(name), x.getType(), x,
                                      symbol("vision." + name),
                                      symbol("vision." + name + "_bias"),
                                      f64(1e-5), i64(gemma::columnsOf(x)));
  };
  Value h = linear("patch", layerNorm("ln1", pixels), symbol("vision.patch"),
                   v.width);
  h = layerNorm("ln2", bias("patch_bias", h, symbol("vision.patch_bias")));
  h = gemma::AddPositionsOp::create(b, at("embed"), h.getType(), h, position,
                                    symbol("vision.positions"),
                                    b.getUnitAttr());
  return layerNorm("ln3", h);
}

void VisionImporter::addFunction() {
  const int64_t side = v.tower ? v.patch : v.cell();
  auto i32 = b.getI32Type();
  const int64_t any = ShapedType::kDynamic;
  SmallVector<Type> types = {rows(side * side * 3),
                             RankedTensorType::get({any, 2}, i32)};
  SmallVector<StringRef> names = {"pixels", "position"};
  if (v.tower) {
    types.push_back(
        RankedTensorType::get({any, v.headDim / 2, 2}, b.getF32Type()));
    names.push_back("rope_patch");
  }
  Block *body = addSegment("image", types, names);
  pixels = body->getArgument(0);
  position = body->getArgument(1);
  if (v.tower)
    rope = body->getArgument(2);
  prefix = "vision.";
  finish(v.tower ? tower() : cells(), "vision.proj", config.hidden, v.eps);
}

} // namespace

void importVision(ModuleOp module, const ModelConfig &config) {
  VisionImporter(module, config).build();
}

} // namespace gemmac
