// Gives every weight and cache a storage format. A format is accuracy; layouts
// and instructions are chosen later, per target.
#include "passes/Match.h"
#include "passes/Passes.h"

#include "llvm/ADT/EquivalenceClasses.h"

#include <map>

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_CHOOSEFORMATS
#include "passes/Passes.h.inc"

namespace {
// Which matrices must have one format, and which weights are f32 always.
struct Roles {
  ModuleOp module;
  llvm::EquivalenceClasses<Operation *> groups;
  llvm::SmallPtrSet<Operation *, 16> exact;
  // Members of a group in the order of the module, so that choices and messages
  // do not depend on addresses.
  std::vector<WeightOp> weights;

  explicit Roles(ModuleOp module);

private:
  // These share one kernel, one packed matrix or one rounded activation.
  void together(Operation *user, ArrayRef<FlatSymbolRefAttr> names) {
    Operation *first = nullptr;
    for (FlatSymbolRefAttr name : names)
      if (WeightOp weight = name ? lookupWeight(user, name) : WeightOp()) {
        first = first ? first : weight.getOperation();
        groups.unionSets(first, weight);
      }
  }
  void router(Operation *user, FlatSymbolRefAttr name) {
    if (WeightOp weight = lookupWeight(user, name))
      exact.insert(weight);
  }
};
} // namespace

Roles::Roles(ModuleOp module) : module(module) {
  // q, k and v of one layer are one packed matrix where kv_block and
  // attention_block read the same residual through the same norm.
  std::map<std::pair<const void *, const void *>, FlatSymbolRefAttr> firstOf;
  auto projections = [&](Operation *op, Value h, FlatSymbolRefAttr norm,
                         ArrayRef<FlatSymbolRefAttr> names) {
    together(op, names);
    auto [it, inserted] = firstOf.try_emplace(
        {h.getAsOpaquePointer(), norm.getAttr().getAsOpaquePointer()},
        names[0]);
    if (!inserted)
      together(op, {it->second, names[0]});
  };
  module.walk([&](Operation *op) {
    TypeSwitch<Operation *>(op)
        .Case([&](WeightOp weight) {
          weights.push_back(weight);
          groups.insert(weight);
        })
        .Case([&](KvBlockOp kv) {
          projections(op, kv.getH(), kv.getNormAttr(),
                      {kv.getKAttr(), kv.getVAttr()});
        })
        .Case([&](AttentionBlockOp a) {
          projections(op, a.getH(), a.getNormAttr(), {a.getQAttr()});
        })
        .Case([&](FfnBlockOp ffn) {
          together(op, {ffn.getGateAttr(), ffn.getUpAttr(), ffn.getDownAttr()});
        })
        .Case([&](MoeBlockOp moe) {
          together(op, {moe.getGateAttr(), moe.getUpAttr(), moe.getDownAttr(),
                        moe.getGateUpAttr(), moe.getExpertsDownAttr()});
          router(op, moe.getRouterAttr());
        })
        .Case([&](PleBlockOp ple) {
          together(op, {ple.getGateAttr(), ple.getProjAttr()});
        })
        .Case([&](RouterOp r) { router(op, r.getProjAttr()); });
  });
}

namespace {
struct ChooseFormats : impl::ChooseFormatsBase<ChooseFormats> {
  using Base::Base;

  void runOnOperation() override {
    if (failed(checkOption("quant", quant, {"none", "bf16", "f32"})) ||
        failed(checkOption("cache-type", cacheType, {"auto", "f32", "bf16"})))
      return signalPassFailure();
    chooseWeights();
    std::string cache = cacheType;
    if (cache == "auto")
      cache = quant == "f32" ? "f32" : "bf16";
    for (auto op : getOperation().getOps<gemma::CacheOp>())
      op.setFormat(cache);
  }

  LogicalResult checkOption(StringRef name, StringRef value,
                            ArrayRef<StringRef> allowed) {
    if (llvm::is_contained(allowed, value))
      return success();
    return emitError(getOperation().getLoc())
           << "expects " << name << " " << llvm::join(allowed, ", ") << ", got "
           << value;
  }

  void chooseWeights() {
    Roles roles(getOperation());
    auto isMatrix = [&](WeightOp w) {
      return w.rank() >= 2 && !roles.exact.contains(w);
    };
    // A group is f32 as soon as one of its matrices has to be.
    std::map<Operation *, WeightOp> exactMember;
    for (WeightOp weight : roles.weights)
      if (isMatrix(weight) && wanted(weight) == "f32")
        exactMember.try_emplace(roles.groups.getLeaderValue(weight), weight);

    std::map<std::string, int> counts; // by format and reason
    for (WeightOp weight : roles.weights) {
      auto it = exactMember.find(roles.groups.getLeaderValue(weight));
      bool bf16 = isMatrix(weight) && it == exactMember.end();
      weight.setFormat(bf16 ? "bf16" : "f32");
      weight.setAct(bf16 ? "bf16" : "f32");
      if (!isMatrix(weight))
        continue;
      if (bf16 || wanted(weight) == "f32")
        ++counts[(bf16 ? "bf16, " : "f32, ") + reason(weight)];
      else
        emitRemark(weight.getLoc())
            << "@" << weight.getSymName()
            << " has format f32: it shares a kernel with @"
            << it->second.getSymName();
    }
    for (auto &[text, count] : counts)
      emitRemark(getOperation().getLoc())
          << count << (count == 1 ? " matrix in " : " matrices in ") << text;
  }

  // What one matrix would have on its own.
  StringRef wanted(WeightOp weight) {
    bool odd =
        weight.dim(weight.rank() - 1) % 2; // bf16 kernels take pairs of k
    if (quant == "f32" || odd)
      return "f32";
    if (quant == "bf16" || !weight.getSource())
      return "bf16";
    // A quantised source is rounded to bf16: this is the place to keep its own
    // format instead.
    bool plain = *weight.getSource() == "f32" || *weight.getSource() == "f16";
    return plain ? "f32" : "bf16";
  }

  std::string reason(WeightOp weight) {
    if (quant == "f32")
      return "quant=f32";
    int64_t k = weight.dim(weight.rank() - 1);
    if (k % 2)
      return "k = " + std::to_string(k) + " is odd";
    if (quant == "bf16")
      return "quant=bf16";
    if (!weight.getSource())
      return "no source is bound";
    return "the source is " + weight.getSource()->str();
  }
};
} // namespace
} // namespace gemmac
