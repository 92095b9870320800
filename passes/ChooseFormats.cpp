// Gives every weight and cache a storage format. A format is accuracy; layouts
// and instructions are chosen later, per target.
#include "passes/Packing.h"
#include "passes/Passes.h"
#include "passes/QuantMap.h"
#include "support/Result.h"
#include "targets/Formats.h"

#include "mlir/IR/Remarks.h"

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

// What the ops demand of the formats of their matrices.
struct Roles {
  Packing packing;
  // Columns of a layer, per table; experts per token, per stack.
  llvm::DenseMap<Operation *, int64_t> counts;
  // Members of a group in the order of the module, so that choices and messages
  // do not depend on addresses.
  SmallVector<WeightOp> weights;

  explicit Roles(ModuleOp module)
      : packing(module), weights(module.getOps<WeightOp>()) {
    for (const Packing::Read &read : packing.reads) {
      roles[read.matrix] |= bit(read.role);
      if (isTower(read.op->getParentOfType<func::FuncOp>()))
        towers.insert(read.matrix);
      if (read.pads)
        padding.insert(read.matrix);
      if (read.count)
        counts[read.matrix] = read.count;
    }
  }
  bool has(WeightOp weight, MatrixRole role) const {
    return roles.lookup(weight) & bit(role);
  }
  bool ofTower(WeightOp weight) const { return towers.contains(weight); }
  // Whether columns of zeros may follow its own.
  bool pads(WeightOp weight) const { return padding.contains(weight); }
  // Whether keys and values are a small part of what a token reads.
  bool smallKeys() const;

private:
  llvm::DenseSet<Operation *> padding;
  llvm::DenseSet<Operation *> towers; // matrices that only towers read
  static unsigned bit(MatrixRole role) { return 1u << unsigned(role); }
  llvm::DenseMap<Operation *, unsigned> roles; // sets of bits
};
} // namespace

bool Roles::smallKeys() const {
  int64_t all = 0, some = 0;
  for (WeightOp weight : weights) {
    if (weight.rank() < 2 || has(weight, MatrixRole::LayerTable) ||
        ofTower(weight))
      continue;
    int64_t read = weight.getTensorType().getNumElements();
    if (has(weight, MatrixRole::Experts))
      read = read / weight.dim(0) * counts.lookup(weight);
    all += read;
    some += has(weight, MatrixRole::Keys) ? read : 0;
  }
  return some * 16 <= all;
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
  auto textOf = [](const Run &run) {
    if (run.first < 0)
      return "@" + run.rest;
    return run.last > run.first
               ? fmt::format("@l{}..{}{}", run.first, run.last, run.rest)
               : fmt::format("@l{}{}", run.first, run.rest);
  };
  return llvm::join(llvm::map_range(runs, textOf), ", ");
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
      if (weight.rank() >= 2 && !roles.has(weight, MatrixRole::Router)) {
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
    auto activationOf = [](const std::string &format) -> std::string {
      return formatOf(format).act;
    };
    for (bool changed = true; changed;) { // formats only rise, so this ends
      changed = agree(roles.packing.stored, matrices, wishes,
                      "stored as one matrix with", itself);
      changed |= agree(roles.packing.rounded, matrices, wishes,
                       "multiplying the same activations as", activationOf);
    }
    warnOfLost(matrices, wishes);

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
      ++(format.isQuantized() ? quantized : plain);
      // A tower's products have many rows: widened weights cost nothing there,
      // and vectors of no target make more products of bf16 pairs than of f32.
      const bool isWide = format.isQuantized()
                              ? wide && roles.has(weight, MatrixRole::Head)
                              : roles.ofTower(weight);
      weight.setAct(isWide && *format.wideAct ? format.wideAct : format.act);
      said[{chosen.format, chosen.reason}].push_back(weight.getSymName());
    }
    for (auto &[choice, names] : said)
      remark::analysis(getOperation().getLoc(),
                       remark::RemarkOpts::name("format").category("formats"))
          << fmt::format("{} {} in {}, {}: {}", names.size(),
                         names.size() == 1 ? "matrix" : "matrices",
                         choice.first, choice.second, foldLayerNames(names));
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
      own.reason = fmt::format("not {} ({}): {} @{}", own.format, own.reason,
                               why.str(), decides.getSymName().str());
      own.format = format;
      own.lost = why.str();
      own.decides = decides;
      changed = true;
    }
    return changed;
  }

  static bool is(const Format *format, Format::Code code) {
    return format && format->code == code;
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
                                << format << ", not " << lost.asked
                                << " as the map asks: " << why;
      if (!lost.deciding.empty())
        diag << " " << foldLayerNames(lost.deciding) << "; map both";
    }
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
    std::string reason =
        line ? fmt::format("{}:{}", quantMap.getValue(), line->number)
             : "quant=" + asked;
    auto instead = [&](const char *format, const std::string &why) {
      return Wish{format, why, line, why};
    };
    const Format *format = findFormat(asked); // none for auto and none
    if (is(format, Format::Code::F32))
      return {"f32", reason, line};
    if (k % 2) // bf16 kernels take pairs of k
      return instead("f32", fmt::format("k = {} is odd", k));
    if (is(format, Format::Code::BF16))
      return {"bf16", reason, line};
    if (!format && (asked == "none" || !source || !source->isQuantized())) {
      // f16 has more digits than bf16.
      bool wide =
          is(source, Format::Code::F32) || is(source, Format::Code::F16);
      return {wide ? "f32" : "bf16",
              source ? fmt::format("the source is {}", source->name)
                     : "no source is bound"};
    }

    if (roles.has(weight, MatrixRole::Positions))
      return instead("bf16", "of positions");
    Wish wish = format ? quantizedWish(weight, roles, *format, source, reason)
                       : storedWish(*source);
    wish.line = line;
    const int block = formatOf(wish.format).block;
    if (k % block && !roles.pads(weight))
      return instead("bf16",
                     fmt::format("k = {} is no multiple of {}", k, block));
    int64_t columns = roles.counts.lookup(weight);
    if (roles.has(weight, MatrixRole::LayerTable) && columns % block)
      // Segments read rows from a layer on.
      return instead("bf16", fmt::format("per-layer embeddings of {} columns "
                                         "are no multiple of {}",
                                         columns, block));
    return wish;
  }

  // The quantised format that keeps most of a quantised source.
  Wish storedWish(const Format &source) {
    std::string is = fmt::format("the source is {}", source.name);
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
    if (roles.ofTower(weight))
      return {"q8_0", reason + ", of a tower"};
    if (roles.has(weight, MatrixRole::Vocabulary))
      return {"q8_0", reason + ", of the vocabulary"};
    if (roles.has(weight, MatrixRole::LayerTable))
      return {"q8_0", reason + ", per-layer embeddings"};
    if (roles.has(weight, MatrixRole::PerLayer))
      return {"q8_0", reason + ", small and read by every layer"};
    // Every later token reads what these write: their errors weigh most.
    if (roles.has(weight, MatrixRole::Keys) && roles.smallKeys())
      return {"q8_0", reason + ", keys and values are small and read often"};
    return {plain.name, reason};
  }

  QuantMap map;
};
} // namespace
} // namespace gemmac
