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
  // Embedding and head; matrices of the per-layer inputs.
  llvm::SmallPtrSet<Operation *, 16> vocabulary, plain;
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
  void mark(llvm::SmallPtrSet<Operation *, 16> &set, Operation *user,
            FlatSymbolRefAttr name) {
    if (WeightOp weight = lookupWeight(user, name))
      set.insert(weight);
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
          mark(exact, op, moe.getRouterAttr());
        })
        .Case([&](PleBlockOp ple) {
          together(op, {ple.getGateAttr(), ple.getProjAttr()});
          mark(plain, op, ple.getGateAttr());
          mark(plain, op, ple.getProjAttr());
        })
        .Case([&](PleInputsOp ple) {
          mark(plain, op, ple.getTableAttr());
          mark(plain, op, ple.getProjAttr());
        })
        .Case(
            [&](EmbedOp embed) { mark(vocabulary, op, embed.getTableAttr()); })
        .Case([&](LogitsOp logits) {
          mark(vocabulary, op, logits.getWeightAttr());
        })
        .Case([&](TopOp top) { mark(vocabulary, op, top.getWeightAttr()); })
        .Case([&](RouterOp r) { mark(exact, op, r.getProjAttr()); });
  });
}

namespace {
struct ChooseFormats : impl::ChooseFormatsBase<ChooseFormats> {
  using Base::Base;

  void runOnOperation() override {
    if (failed(
            checkOption("quant", quant, {"none", "bf16", "f32", "q8", "q4"})) ||
        failed(checkOption("cache-type", cacheType,
                           {"auto", "f32", "bf16", "q8"})))
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

  // What matrices are asked to be and why, before their groups are looked at.
  struct Wish {
    std::string format, reason;
  };

  // A group has the format of its most exact member.
  static int exactness(StringRef format) {
    return format == "f32"    ? 3
           : format == "bf16" ? 2
           : format == "q8_0" ? 1
                              : 0;
  }

  void chooseWeights() {
    Roles roles(getOperation());
    auto isMatrix = [&](WeightOp w) {
      return w.rank() >= 2 && !roles.exact.contains(w);
    };
    std::map<Operation *, WeightOp> deciding; // by group
    for (WeightOp weight : roles.weights) {
      if (!isMatrix(weight))
        continue;
      auto [it, inserted] =
          deciding.try_emplace(roles.groups.getLeaderValue(weight), weight);
      if (!inserted && exactness(wish(weight, roles).format) >
                           exactness(wish(it->second, roles).format))
        it->second = weight;
    }

    std::map<std::string, int> counts; // by format and reason
    for (WeightOp weight : roles.weights) {
      if (!isMatrix(weight)) {
        weight.setFormat("f32");
        weight.setAct("f32");
        continue;
      }
      WeightOp decides = deciding.at(roles.groups.getLeaderValue(weight));
      std::string format = wish(decides, roles).format;
      weight.setFormat(format);
      weight.setAct(StringRef(format).starts_with("q") ? "q8" : format);
      Wish own = wish(weight, roles);
      if (own.format == format)
        ++counts[format + ", " + own.reason];
      else
        emitRemark(weight.getLoc())
            << "@" << weight.getSymName() << " has format " << format
            << ": it shares a kernel with @" << decides.getSymName();
    }
    for (auto &[text, count] : counts)
      emitRemark(getOperation().getLoc())
          << count << (count == 1 ? " matrix in " : " matrices in ") << text;
  }

  // What one matrix would have on its own.
  Wish wish(WeightOp weight, const Roles &roles) {
    int64_t k = weight.dim(weight.rank() - 1);
    if (quant == "f32")
      return {"f32", "quant=f32"};
    if (k % 2) // bf16 kernels take pairs of k
      return {"f32", "k = " + std::to_string(k) + " is odd"};
    if (quant == "q8" || quant == "q4") {
      if (roles.plain.contains(weight))
        return {"bf16", "per-layer matrices are not quantised"};
      if (k % 32)
        return {"bf16", "k = " + std::to_string(k) + " is no multiple of 32"};
      if (quant == "q8")
        return {"q8_0", "quant=q8"};
      if (roles.vocabulary.contains(weight))
        return {"q8_0", "quant=q4, of the vocabulary"};
      return {"q4_bf", "quant=q4"};
    }
    if (quant == "bf16")
      return {"bf16", "quant=bf16"};
    if (!weight.getSource())
      return {"bf16", "no source is bound"};
    std::string source = weight.getSource()->str();
    // A quantised source is rounded to bf16: this is the place to keep its own
    // format instead.
    bool plain = source == "f32" || source == "f16";
    return {plain ? "f32" : "bf16", "the source is " + source};
  }
};
} // namespace
} // namespace gemmac
