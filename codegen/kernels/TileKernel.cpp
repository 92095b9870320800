// The registry of Halide families, and the border that no exception crosses.
#include "codegen/kernels/common.h"

#include <map>
#include <mutex>

namespace gemmac {

// Every Halide family and its builder.
#define GM_TILE_FAMILIES(X)                                                    \
  X("add", buildAdd)                                                           \
  X("add_norm", buildAddNorm)                                                  \
  X("add_norm3", buildAddNorm3)                                                \
  X("add_positions", buildAddPositions)                                        \
  X("affine", buildAffine)                                                     \
  X("bias", buildBias)                                                         \
  X("clip", buildClip)                                                         \
  X("copy", buildCopy)                                                         \
  X("embed", buildEmbed)                                                       \
  X("experts_down", buildExpertsDown)                                          \
  X("experts_up", buildExpertsUp)                                              \
  X("geglu", buildGeglu)                                                       \
  X("glu", buildGlu)                                                           \
  X("layer_norm", buildLayerNorm)                                              \
  X("linear", buildLinear)                                                     \
  X("linear_geglu", buildLinearGeglu)                                          \
  X("linear_ple", buildLinearPle)                                              \
  X("logits", buildLogits)                                                     \
  X("norm", buildNorm)                                                         \
  X("norms3", buildNorms3)                                                     \
  X("plain_norm", buildPlainNorm)                                              \
  X("ple_finish", buildPleFinish)                                              \
  X("pool", buildPool)                                                         \
  X("quant", buildQuant)                                                       \
  X("residual", buildResidual)                                                 \
  X("silu", buildSilu)                                                         \
  X("standardize", buildStandardize)                                           \
  X("take", buildTake)

#define GM_DECLARE(NAME, BUILD)                                                \
  TileKernel BUILD(const KernelSpec &, const Target &);
GM_TILE_FAMILIES(GM_DECLARE)
#undef GM_DECLARE

static const std::map<std::string, BuildTiles> &builders() {
#define GM_ENTRY(NAME, BUILD) {NAME, BUILD},
  static const std::map<std::string, BuildTiles> all = {
      GM_TILE_FAMILIES(GM_ENTRY)};
#undef GM_ENTRY
  return all;
}

bool hasTileKernel(const std::string &family) {
  return builders().count(family);
}

// Keeps Halide's warnings off the user's terminal; errors become exceptions.
namespace {
class Reporter : public Halide::CompileTimeErrorReporter {
public:
  void warning(const char *) override {}
  [[noreturn]] void error(const char *message) override {
    throw Halide::CompileError(message);
  }
};
} // namespace

Result<TileKernel> makeTileKernel(const KernelSpec &spec,
                                  const Target &target) {
  static Reporter reporter;
  static std::once_flag once;
  std::call_once(
      once, [] { Halide::set_custom_compile_time_error_reporter(&reporter); });
  auto builder = builders().find(spec.family);
  assert(builder != builders().end() && "not a Halide family");
  auto fail = [&](const char *reason) {
    return Error{ExitCode::Unsupported, "cannot make kernel '" +
                                            kernelSymbol(spec) + "' for " +
                                            target.name + ": " + reason};
  };
  try {
    return builder->second(spec, target);
  } catch (const Halide::Error &error) { // not a std::exception
    return fail(error.what());
  } catch (const std::exception &error) {
    return fail(error.what());
  }
}

} // namespace gemmac
