// Gives every weight and cache a storage format. A format is accuracy; layouts
// and instructions are chosen later, per target.
#include "passes/Match.h"
#include "passes/Passes.h"
#include "passes/QuantMap.h"
#include "targets/Layouts.h"

#include "llvm/ADT/EquivalenceClasses.h"

#include <map>

using namespace mlir;
using namespace mlir::gemma;

namespace gemmac {
#define GEN_PASS_DEF_CHOOSEFORMATS
#include "passes/Passes.h.inc"

std::vector<std::string> quantWords() {
  std::vector<std::string> words = formatNames(Format::Quant);
  words.insert(words.begin(), {"auto", "none"});
  return words;
}

std::vector<std::string> cacheWords() {
  std::vector<std::string> words = formatNames(Format::Cache);
  words.insert(words.begin(), "auto");
  return words;
}

namespace {
using Groups = llvm::EquivalenceClasses<Operation *>;

// Which matrices must have one format, and which weights are f32 always.
struct Roles {
  ModuleOp module;
  // Matrices that are stored as one; those that share a rounded activation.
  Groups packed, rounded;
  llvm::SmallPtrSet<Operation *, 16> exact;
  // Embedding and head; the head alone; matrices of the per-layer inputs.
  llvm::SmallPtrSet<Operation *, 16> vocabulary, heads, perLayer;
  // Tables of per-layer embeddings: the columns of a layer.
  llvm::SmallDenseMap<Operation *, int64_t> tables;
  // Projections to keys and values; experts per token of a stack.
  llvm::SmallPtrSet<Operation *, 16> keys;
  llvm::DenseMap<Operation *, int64_t> chosen;
  // Members of a group in the order of the module, so that choices and messages
  // do not depend on addresses.
  std::vector<WeightOp> weights;

  explicit Roles(ModuleOp module);
  // Whether keys and values are a small part of what a token reads.
  bool smallKeys() const;

private:
  void together(Groups &groups, Operation *user,
                ArrayRef<FlatSymbolRefAttr> names) {
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
  // q, k and v of one layer read one rounded activation where kv_block and
  // attention_block read the same residual through the same norm.
  std::map<std::pair<const void *, const void *>, FlatSymbolRefAttr> firstOf;
  auto projections = [&](Operation *op, Value h, FlatSymbolRefAttr norm,
                         ArrayRef<FlatSymbolRefAttr> names) {
    together(rounded, op, names);
    auto [it, inserted] = firstOf.try_emplace(
        {h.getAsOpaquePointer(), norm.getAttr().getAsOpaquePointer()},
        names[0]);
    if (!inserted)
      together(rounded, op, {it->second, names[0]});
  };
  module.walk([&](Operation *op) {
    TypeSwitch<Operation *>(op)
        .Case([&](WeightOp weight) {
          weights.push_back(weight);
          packed.insert(weight);
          rounded.insert(weight);
        })
        .Case([&](KvBlockOp kv) {
          together(packed, op, {kv.getKAttr(), kv.getVAttr()});
          mark(keys, op, kv.getKAttr());
          if (kv.getV())
            mark(keys, op, kv.getVAttr());
          projections(op, kv.getH(), kv.getNormAttr(),
                      {kv.getKAttr(), kv.getVAttr()});
        })
        .Case([&](AttentionBlockOp a) {
          projections(op, a.getH(), a.getNormAttr(), {a.getQAttr()});
        })
        .Case([&](FfnBlockOp ffn) {
          together(packed, op, {ffn.getGateAttr(), ffn.getUpAttr()});
          together(rounded, op, {ffn.getGateAttr(), ffn.getDownAttr()});
        })
        .Case([&](MoeBlockOp moe) {
          together(packed, op, {moe.getGateAttr(), moe.getUpAttr()});
          together(rounded, op,
                   {moe.getGateAttr(), moe.getDownAttr(), moe.getGateUpAttr(),
                    moe.getExpertsDownAttr()});
          mark(exact, op, moe.getRouterAttr());
          for (FlatSymbolRefAttr experts :
               {moe.getGateUpAttr(), moe.getExpertsDownAttr()})
            if (WeightOp weight = lookupWeight(op, experts))
              chosen[weight] = moe.getTop();
        })
        .Case([&](PleBlockOp ple) {
          together(rounded, op, {ple.getGateAttr(), ple.getProjAttr()});
          mark(perLayer, op, ple.getGateAttr());
          mark(perLayer, op, ple.getProjAttr());
        })
        .Case([&](PleInputsOp ple) {
          mark(perLayer, op, ple.getProjAttr());
          if (WeightOp table = lookupWeight(op, ple.getTableAttr()))
            tables[table] = ple.getWidth();
        })
        .Case(
            [&](EmbedOp embed) { mark(vocabulary, op, embed.getTableAttr()); })
        .Case([&](LogitsOp logits) {
          mark(vocabulary, op, logits.getWeightAttr());
          mark(heads, op, logits.getWeightAttr());
        })
        .Case([&](TopOp top) {
          mark(vocabulary, op, top.getWeightAttr());
          mark(heads, op, top.getWeightAttr());
        })
        .Case([&](RouterOp r) { mark(exact, op, r.getProjAttr()); });
  });
}

bool Roles::smallKeys() const {
  int64_t all = 0, some = 0;
  for (WeightOp weight : weights) {
    if (weight.rank() < 2 || tables.contains(weight))
      continue;
    int64_t read = weight.getTensorType().getNumElements();
    if (auto it = chosen.find(weight); it != chosen.end())
      read = read / weight.dim(0) * it->second;
    all += read;
    some += keys.contains(weight) ? read : 0;
  }
  return some * 16 <= all;
}

// What a matrix of a format multiplies.
static std::string activationOf(const std::string &format) {
  return formatOf(format).act;
}

// "l0.q, l1.q, l2.q, embed" -> "@l0..2.q, @embed".
static std::string foldLayerNames(ArrayRef<StringRef> names) {
  struct Run {
    std::string rest; // behind the layer's number
    int64_t first, last;
  };
  std::vector<Run> runs;
  for (StringRef name : names) {
    StringRef rest = name;
    int64_t layer;
    if (!rest.consume_front("l") || rest.consumeInteger(10, layer) ||
        !rest.starts_with(".")) {
      runs.push_back({name.str(), -1, -1});
      continue;
    }
    auto before = llvm::find_if(runs, [&](const Run &run) {
      return run.rest == rest && run.last == layer - 1 && run.first >= 0;
    });
    if (before == runs.end())
      runs.push_back({rest.str(), layer, layer});
    else
      before->last = layer;
  }
  return llvm::join(llvm::map_range(runs,
                                    [](const Run &run) {
                                      std::string text = "@";
                                      if (run.first >= 0)
                                        text += "l" + std::to_string(run.first);
                                      if (run.last > run.first)
                                        text += ".." + std::to_string(run.last);
                                      return text + run.rest;
                                    }),
                    ", ");
}

namespace {
struct ChooseFormats : impl::ChooseFormatsBase<ChooseFormats> {
  using Base::Base;

  void runOnOperation() override {
    if (failed(checkOption("quant", quant, quantWords())) ||
        failed(checkOption("cache-type", cacheType, cacheWords())) ||
        failed(readMap()))
      return signalPassFailure();
    chooseWeights();
    std::string cache = cacheType;
    if (cache == "auto")
      cache = is(findFormat(quant), Format::Code::F32) ? "f32" : "bf16";
    for (auto op : getOperation().getOps<gemma::CacheOp>())
      op.setFormat(cache);
  }

  LogicalResult checkOption(StringRef name, StringRef value,
                            ArrayRef<std::string> allowed) {
    if (llvm::is_contained(allowed, value))
      return success();
    return emitError(getOperation().getLoc())
           << "expects " << name << " " << llvm::join(allowed, ", ") << ", got "
           << value;
  }

  LogicalResult readMap() {
    if (quantMap.empty())
      return success();
    std::string problem;
    if (std::optional<QuantMap> read = QuantMap::read(quantMap, problem)) {
      map = std::move(*read);
      return success();
    }
    return emitError(getOperation().getLoc()) << problem;
  }

  // What one matrix is to be, and why.
  struct Wish {
    std::string format, reason;
  };

  void chooseWeights() {
    Roles roles(getOperation());
    std::map<Operation *, Wish> wishes;
    std::vector<WeightOp> matrices;
    for (WeightOp weight : roles.weights) {
      if (weight.rank() >= 2 && !roles.exact.contains(weight)) {
        matrices.push_back(weight);
        wishes[weight] = wish(weight, roles);
        continue;
      }
      weight.setFormat("f32");
      weight.setAct("f32");
    }
    for (const std::string &unused : map.unused())
      emitWarning(getOperation().getLoc()) << unused;

    auto itself = [](const std::string &format) { return format; };
    for (bool changed = true; changed;) { // formats only rise, so this ends
      changed =
          agree(roles.packed, matrices, wishes, "stored as one matrix", itself);
      changed |= agree(roles.rounded, matrices, wishes,
                       "multiplying the same activations", activationOf);
    }

    // Nothing averages the head's errors: int8 activations of this one product
    // are a fifth to a third of what 8 bits cost. It computes few rows and
    // waits for its weights, so wider activations take next to no time. Beside
    // matrices of 4 bits they would not be seen.
    const bool wide = llvm::none_of(matrices, [&](WeightOp weight) {
      const Format &format = formatOf(wishes.at(weight).format);
      return format.isQuantized() && format.bits == 4;
    });
    std::map<std::pair<std::string, std::string>, std::vector<StringRef>> said;
    for (WeightOp weight : matrices) {
      const Wish &chosen = wishes.at(weight);
      weight.setFormat(chosen.format);
      const Format &format = formatOf(chosen.format);
      weight.setAct(wide && *format.wideAct && roles.heads.contains(weight)
                        ? format.wideAct
                        : format.act);
      said[{chosen.format, chosen.reason}].push_back(weight.getSymName());
    }
    for (auto &[choice, names] : said)
      emitRemark(getOperation().getLoc())
          << names.size()
          << (names.size() == 1 ? " matrix in " : " matrices in ")
          << choice.first << ", " << choice.second << ": "
          << foldLayerNames(names);
  }

  // Gives every member of a group the most exact format of its members, where
  // they differ in what `key` says of it. True if that changed something.
  bool agree(const Groups &groups, ArrayRef<WeightOp> matrices,
             std::map<Operation *, Wish> &wishes, StringRef why,
             llvm::function_ref<std::string(const std::string &)> key) {
    std::map<Operation *, WeightOp> deciding;
    for (WeightOp weight : matrices) {
      auto [it, inserted] =
          deciding.try_emplace(groups.getLeaderValue(weight), weight);
      if (!inserted && isMoreExact(formatOf(wishes.at(weight).format),
                                   formatOf(wishes.at(it->second).format)))
        it->second = weight;
    }
    bool changed = false;
    for (WeightOp weight : matrices) {
      WeightOp decides = deciding.at(groups.getLeaderValue(weight));
      Wish &own = wishes.at(weight);
      const std::string &format = wishes.at(decides).format;
      if (key(own.format) == key(format))
        continue;
      own.reason = ("not " + own.format + " (" + own.reason + "): " + why +
                    " with @" + decides.getSymName())
                       .str();
      own.format = format;
      changed = true;
    }
    return changed;
  }

  static bool is(const Format *format, Format::Code code) {
    return format && format->code == code;
  }

  // What one matrix would have on its own.
  Wish wish(WeightOp weight, const Roles &roles) {
    int64_t k = weight.dim(weight.rank() - 1);
    const Format *source = findFormat(weight.getSource().value_or(""));
    const QuantMap::Line *line =
        map.find({weight.getSymName().str(), weight.getFrom().str(),
                  "model." + weight.getFrom().str(),
                  "model.language_model." + weight.getFrom().str()});
    std::string asked = line ? line->format : quant.getValue();
    std::string reason = line ? line->place : "quant=" + asked;
    const Format *format = findFormat(asked); // none for auto and none
    if (is(format, Format::Code::F32))
      return {"f32", reason};
    if (k % 2) // bf16 kernels take pairs of k
      return {"f32", "k = " + std::to_string(k) + " is odd"};
    if (is(format, Format::Code::BF16))
      return {"bf16", reason};
    if (!format && (asked == "none" || !source || !source->isQuantized())) {
      // f16 has more digits than bf16.
      bool wide =
          is(source, Format::Code::F32) || is(source, Format::Code::F16);
      return {wide ? "f32" : "bf16",
              source ? std::string("the source is ") + source->name
                     : "no source is bound"};
    }

    Wish wish = format ? quantizedWish(weight, roles, *format, source, reason)
                       : storedWish(*source);
    const int block = formatOf(wish.format).block;
    std::string no = " no multiple of " + std::to_string(block);
    if (k % block)
      return {"bf16", "k = " + std::to_string(k) + " is" + no};
    auto table = roles.tables.find(weight);
    if (table != roles.tables.end() && table->second % block)
      return {"bf16", // segments read rows from a layer on
              "per-layer embeddings of " + std::to_string(table->second) +
                  " columns are" + no};
    return wish;
  }

  // The quantised format that keeps most of a quantised source.
  Wish storedWish(const Format &source) {
    std::string is = std::string("the source is ") + source.name;
    if (source.may(Format::Weight))
      return {source.name, is};
    if (*source.within) // its codes and scales are among those
      return {source.within,
              is + ", which " + source.within + " holds exactly"};
    if (requantize && source.bits == 4)
      return {"q4_0", is + ", encoded anew (requantize)"};
    return {"q8_0", is + ", encoded anew"};
  }

  // The quantised format that `asked`, a format or what stands for one, means.
  Wish quantizedWish(WeightOp weight, const Roles &roles, const Format &asked,
                     const Format *source, const std::string &reason) {
    if (!*asked.means)
      return {asked.name, reason};
    // Codes of 4 bits would only get worse.
    if (source && source->may(Format::Weight) && source->isQuantized() &&
        source->bits == 4)
      return {source->name, reason + ", the source is " + source->name};
    const Format &plain = formatOf(asked.means);
    if (plain.bits > 4)
      return {plain.name, reason};
    if (roles.vocabulary.contains(weight))
      return {"q8_0", reason + ", of the vocabulary"};
    if (roles.tables.count(weight))
      return {"q8_0", reason + ", per-layer embeddings"};
    if (roles.perLayer.contains(weight))
      return {"q8_0", reason + ", small and read by every layer"};
    // Every later token reads what these write: their errors weigh most.
    if (roles.keys.contains(weight) && roles.smallKeys())
      return {"q8_0", reason + ", keys and values are small and read often"};
    return {plain.name, reason};
  }

  QuantMap map;
};
} // namespace
} // namespace gemmac
