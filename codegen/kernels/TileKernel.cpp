// The registry of Halide families, and the border that no exception crosses.
#include "codegen/kernels/common.h"

#include <map>
#include <mutex>

namespace gemmac {

static const std::map<std::string, BuildTiles> &builders() {
  static const std::map<std::string, BuildTiles> all = {
      {"add_norm", buildAddNorm},
      {"add_norm3", buildAddNorm3},
      {"copy", buildCopy},
      {"embed", buildEmbed},
      {"experts_down", buildExpertsDown},
      {"experts_up", buildExpertsUp},
      {"linear", buildLinear},
      {"linear_geglu", buildLinearGeglu},
      {"linear_ple", buildLinearPle},
      {"logits", buildLogits},
      {"norm", buildNorm},
      {"norms3", buildNorms3},
      {"ple_finish", buildPleFinish},
      {"quant", buildQuant},
      {"take", buildTake},
  };
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
