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

// Of two matrices that must have one format, the more exact one decides.
static int exactness(StringRef format) {
  return format == "f32"    ? 4
         : format == "bf16" ? 3
         : format == "q8_0" ? 2
         : format == "q4_0" ? 1
                            : 0;
}

// What a matrix of a format multiplies.
static std::string activationOf(const std::string &format) {
  return isQuantized(format) ? "q8" : format;
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
    if (failed(checkOption("quant", quant,
                           {"auto", "none", "bf16", "f32", "q8", "q4"})) ||
        failed(checkOption("cache-type", cacheType,
                           {"auto", "f32", "bf16", "q8"})) ||
        failed(readMap()))
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

  LogicalResult readMap() {
    if (quantMap.empty())
      return success();
    QuantMap::Problem problem;
    if (std::optional<QuantMap> read = QuantMap::read(quantMap, problem)) {
      map = std::move(*read);
      return success();
    }
    return emitError(inMap(problem.line)) << problem.text;
  }

  // A line of the map; 0: the file.
  Location inMap(unsigned line) {
    return FileLineColLoc::get(&getContext(), quantMap, line, 0);
  }

  // What one matrix is to be, and why.
  struct Wish {
    std::string format, reason;
    const QuantMap::Line *line = nullptr; // that asked for `format`
    // Why it has another one than its line asked for: "" or a reason and the
    // matrix that decides.
    std::string lost = {};
    WeightOp decides = {};
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
    for (const QuantMap::Line &line : map.unused())
      emitWarning(inMap(line.number))
          << "no matrix matches '" << line.pattern << "'";

    auto itself = [](const std::string &format) { return format; };
    for (bool changed = true; changed;) { // formats only rise, so this ends
      changed = agree(roles.packed, matrices, wishes,
                      "stored as one matrix with", itself);
      changed |= agree(roles.rounded, matrices, wishes,
                       "multiplying the same activations as", activationOf);
    }
    warnOfLost(matrices, wishes);

    // Nothing averages the head's errors: int8 activations of this one product
    // are a fifth to a third of what 8 bits cost. It computes few rows and
    // waits for its weights, so wider activations take next to no time. Beside
    // matrices of 4 bits they would not be seen.
    const bool wide = llvm::none_of(matrices, [&](WeightOp weight) {
      return StringRef(wishes.at(weight).format).starts_with("q4");
    });
    std::map<std::pair<std::string, std::string>, std::vector<StringRef>> said;
    for (WeightOp weight : matrices) {
      const Wish &chosen = wishes.at(weight);
      weight.setFormat(chosen.format);
      weight.setAct(wide && chosen.format == "q8_0" &&
                            roles.heads.contains(weight)
                        ? "f32"
                        : activationOf(chosen.format));
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
      if (!inserted && exactness(wishes.at(weight).format) >
                           exactness(wishes.at(it->second).format))
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
                    " @" + decides.getSymName())
                       .str();
      own.format = format;
      own.lost = why.str();
      own.decides = decides;
      changed = true;
    }
    return changed;
  }

  // What the user's map says and does not get.
  void warnOfLost(ArrayRef<WeightOp> matrices,
                  const std::map<Operation *, Wish> &wishes) {
    struct Lost {
      std::string asked;
      std::vector<StringRef> names, deciding;
    };
    std::map<std::tuple<unsigned, std::string, std::string>, Lost> all;
    for (WeightOp weight : matrices) {
      const Wish &wish = wishes.at(weight);
      // q4 is what q4_bf and q4_0 begin with.
      if (wish.lost.empty() || !wish.line ||
          StringRef(wish.format).starts_with(wish.line->format))
        continue;
      Lost &lost = all[{wish.line->number, wish.format, wish.lost}];
      lost.asked = wish.line->format;
      lost.names.push_back(weight.getSymName());
      if (WeightOp decides = wish.decides;
          decides && !llvm::is_contained(lost.deciding, decides.getSymName()))
        lost.deciding.push_back(decides.getSymName());
    }
    for (const auto &[key, lost] : all) {
      const auto &[line, format, why] = key;
      InFlightDiagnostic diag = emitWarning(inMap(line))
                                << foldLayerNames(lost.names)
                                << (lost.names.size() == 1 ? " is " : " are ")
                                << format << ", not " << lost.asked << ": "
                                << why;
      if (!lost.deciding.empty())
        diag << " " << foldLayerNames(lost.deciding) << "; map both";
    }
  }

  // What one matrix would have on its own.
  Wish wish(WeightOp weight, const Roles &roles) {
    int64_t k = weight.dim(weight.rank() - 1);
    std::string source = weight.getSource().value_or("").str();
    const QuantMap::Line *line =
        map.find({weight.getSymName().str(), weight.getFrom().str(),
                  "model." + weight.getFrom().str(),
                  "model.language_model." + weight.getFrom().str()});
    std::string asked = line ? line->format : quant.getValue();
    std::string reason =
        line ? quantMap + ":" + std::to_string(line->number) : "quant=" + asked;
    auto instead = [&](const char *format, const std::string &why) {
      return Wish{format, why, line, why};
    };
    if (asked == "f32")
      return {"f32", reason, line};
    if (k % 2) // bf16 kernels take pairs of k
      return instead("f32", "k = " + std::to_string(k) + " is odd");
    if (asked == "bf16")
      return {"bf16", reason, line};
    // f16 has more digits than bf16.
    bool wide = source == "f32" || source == "f16";
    Wish plain = {wide ? "f32" : "bf16", source.empty()
                                             ? "no source is bound"
                                             : "the source is " + source};
    if (asked == "none" || (asked == "auto" && !isQuantized(source)))
      return plain;

    if (k % quantBlock)
      return instead("bf16",
                     "k = " + std::to_string(k) + " is no multiple of 32");
    auto table = roles.tables.find(weight);
    if (table != roles.tables.end() && table->second % quantBlock)
      // Segments read rows from a layer on.
      return instead("bf16", "per-layer embeddings of " +
                                 std::to_string(table->second) +
                                 " columns are no multiple of 32");
    Wish result = quantizedWish(weight, roles, asked, source, reason);
    result.line = line;
    return result;
  }

  // The quantised format that `asked` (auto, q8, q4 or a format) means.
  Wish quantizedWish(WeightOp weight, const Roles &roles, StringRef asked,
                     StringRef source, const std::string &reason) {
    if (asked == "auto") {
      std::string is = "the source is " + source.str();
      if (source == "q4_0" || source == "q8_0")
        return {source.str(), is};
      if (source == "q5_0") // its codes and scales are among those of q8_0
        return {"q8_0", is + ", which q8_0 holds exactly"};
      if (requantize && (source == "q4_1" || source == "q4_k"))
        return {"q4_0", is + ", encoded anew (requantize)"};
      return {"q8_0", is + ", encoded anew"};
    }
    if (asked != "q8" && asked != "q4")
      return {asked.str(), reason};
    if (source == "q4_0")
      return {"q4_0", reason + ", the source is q4_0"};
    if (asked == "q8")
      return {"q8_0", reason};
    if (roles.vocabulary.contains(weight))
      return {"q8_0", reason + ", of the vocabulary"};
    if (roles.tables.count(weight))
      return {"q8_0", reason + ", per-layer embeddings"};
    if (roles.perLayer.contains(weight))
      return {"q8_0", reason + ", small and read by every layer"};
    // Every later token reads what these write: their errors weigh most.
    if (roles.keys.contains(weight) && roles.smallKeys())
      return {"q8_0", reason + ", keys and values are small and read often"};
    return {"q4_bf", reason};
  }

  QuantMap map;
};
} // namespace
} // namespace gemmac
