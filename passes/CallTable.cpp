// What a kernel call reads and computes: asked of its family.
#include "passes/CallTable.h"

#include "targets/Layouts.h"

#include <algorithm>
#include <cstring>

using namespace mlir;

namespace gemmac {

// Bytes as gm_work holds them: what is larger is the largest.
static int32_t saturated(int64_t bytes) {
  return int32_t(std::min<int64_t>(bytes, INT32_MAX));
}

int32_t CallTable::nameOf(StringRef name) {
  auto [at, isNew] = offsets.try_emplace(name, int32_t(names.size()));
  if (isNew)
    names += name.str() + '\0';
  return at->second;
}

int32_t CallTable::add(kernel::CallOp call, const KernelSpec &spec) {
  const Family &family = *findFamily(spec.family);
  gm_work facts;
  memset(&facts, 0, sizeof facts); // compared by its bytes
  std::string on;
  // Members of a stack that one row touches.
  int64_t members = family.stack ? spec.constants.integer("top") : 1;
  if (ArrayAttr list = call.getWeightsAttr())
    for (auto [i, symbol, operand] :
         llvm::enumerate(list, kernelWeights(spec))) {
      kernel::WeightOp weight = symbols.weight(symbol);
      int64_t bytes = weight.getBytes(), rows = weight.getRows(),
              stack = weight.getStack();
      if (i == 0)
        on = weight.getSymName().str();
      bool isMultiplied = family.matrix == MatrixUse::Product ||
                          family.matrix == MatrixUse::Scan;
      const bool isStack =
          family.stack && !operand.isPlain && !operand.isVector;
      // Codes of one product lie in all of its matrices; a matrix with outputs
      // of its own is another product.
      if (isMultiplied && (i == 0 || operand.isPlain))
        facts.ops += rows * weight.getCols() * (isStack ? members : 1);
      if (family.matrix == MatrixUse::Scan && i > 0)
        continue;
      facts.bytes += bytes;
      if (family.matrix == MatrixUse::Lookup)
        facts.row_bytes = saturated(facts.row_bytes + bytes / rows);
      else if (family.stack) // the others are read by every row
        facts.row_bytes = saturated(
            facts.row_bytes + (isStack ? bytes / stack * members : bytes));
    }
  if (kernel::CacheOp cache = symbols.cache(call)) {
    if (!family.writesCache)
      facts.key_bytes[cache.isLocal() ? GM_LOCAL : GM_GLOBAL] =
          saturated((cache.getKPage() + cache.getVPage()) / pageKeys);
    if (!call.getWeightsAttr())
      on = cache.getSymName().str();
  }
  static_assert(int(Axis::Blocks) == GM_BLOCKS && int(Axis::Rows) == GM_ROWS &&
                int(Axis::Tiles) == GM_TILES &&
                int(Axis::Splits) == GM_SPLITS && int(Axis::All) == GM_ALL &&
                int(Axis::One) == GM_ONE);
  facts.units = int32_t(call.getUnits());
  facts.axis = int32_t(call.getAxis());
  facts.family = nameOf(family.name);
  StringRef bytes(reinterpret_cast<const char *>(&facts), sizeof facts);
  auto [work, isNew] = known.try_emplace(bytes, int32_t(works.size()));
  if (isNew)
    works.push_back(facts);
  calls.push_back({work->second, nameOf(on)});
  return size() - 1;
}

} // namespace gemmac
