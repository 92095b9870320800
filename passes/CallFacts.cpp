// See CallFacts.h.
#include "passes/CallFacts.h"

#include "targets/Layouts.h"

#include <algorithm>

using namespace mlir;

namespace gemmac {

// Members of a stack that one row touches.
static int64_t expertsPerRow(const KernelSpec &spec) {
  return spec.constants.has("top") ? spec.constants.integer("top") : 1;
}

int32_t CallTable::add(kernel::CallOp call, const KernelSpec &spec) {
  StringRef family = spec.family;
  bool isMatrix = family.starts_with("linear") || family == "logits" ||
                  family.starts_with("experts_");
  gm_call facts = {};
  std::string name = spec.family;
  if (ArrayAttr list = call.getWeightsAttr())
    for (auto [i, symbol] : llvm::enumerate(list)) {
      kernel::WeightOp weight =
          kernel::lookupWeight(call, cast<FlatSymbolRefAttr>(symbol));
      int64_t bytes = weight.getBytes(), rows = weight.getRows(),
              stack = std::max<int64_t>(weight.getStack(), 1);
      facts.bytes += bytes;
      if (isMatrix)
        facts.ops += rows * int64_t(weight.getCols()) *
                     (stack > 1 ? expertsPerRow(spec) : 1);
      if (family == "embed")
        facts.row_bytes = int32_t(bytes / rows);
      else if (stack > 1)
        facts.row_bytes = int32_t(bytes / stack * expertsPerRow(spec));
      if (i == 0)
        name += " " + weight.getSymName().str();
    }
  if (call.getCacheAttr()) {
    kernel::CacheOp cache = kernel::lookupCache(call, call.getCacheAttr());
    if (family == "attend")
      facts.key_bytes[cache.getTable() == "local" ? GM_LOCAL : GM_GLOBAL] =
          int32_t((cache.getKPage() + cache.getVPage()) / pageKeys);
    if (!call.getWeightsAttr())
      name += " " + cache.getSymName().str();
  }
  Axis axis = Axis::Blocks;
  parseAxis(call.getAxis().str(), axis);
  static_assert(int(Axis::Blocks) == GM_BLOCKS && int(Axis::Rows) == GM_ROWS &&
                int(Axis::Tiles) == GM_TILES &&
                int(Axis::Splits) == GM_SPLITS && int(Axis::All) == GM_ALL &&
                int(Axis::One) == GM_ONE);
  facts.units = int32_t(call.getUnits());
  facts.axis = int32_t(axis);
  auto [known, isNew] = offsets.try_emplace(name, int32_t(names.size()));
  if (isNew)
    names += name + '\0';
  facts.name = known->second;
  calls.push_back(facts);
  return int32_t(calls.size()) - 1;
}

} // namespace gemmac
