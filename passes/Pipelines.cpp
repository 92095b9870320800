// The stages as pipelines: which passes, in which order, and why there.
#include "passes/Pipelines.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace gemmac {

//===-- optimize ----------------------------------------------------------===//

void buildOptimizePipeline(OpPassManager &pm, const PipelineOptions &options) {
  // Attention first: it absorbs the layers' residual and pre-norm, whatever
  // follows sees one value per block.
  pm.addPass(createFuseAttention());
  // The feed-forward block and the per-layer branch do not overlap; in either
  // order they give the same.
  pm.addPass(createFuseFfn());
  pm.addPass(createFusePle());
  // After the MLPs: products that nobody has taken stand alone.
  pm.addPass(createFuseTowers());
  // Needs the fused blocks: a scalar joins the last block of its layer.
  pm.addPass(createFoldConstants());
  // Before the split, so that both parts of a weight that body and tail share
  // have one format.
  pm.addPass(createChooseFormats(options));
  // Cuts at the last kv_block, so after the fusion that forms it.
  pm.addPass(createSplitSegments());
  pm.addPass(createCheckOptimized());
}

//===-- select ------------------------------------------------------------===//

void buildSelectPipeline(OpPassManager &pm, const PipelineOptions &options) {
  // The first pass that asks for the target.
  pm.addPass(createGemmaToKernel(options));
}

//===-- plan --------------------------------------------------------------===//

void buildPlanPipeline(OpPassManager &pm, const PipelineOptions &options) {
  // The calls are partitioned already; barriers come before memory, because
  // liveness counts in the phases between them.
  pm.addPass(createInsertBarriers());
  pm.addPass(createAssignMemory());
  // Always, not only in tests: a race would be a wrong token once a week.
  pm.addPass(createVerifyPlan());
}

//===-- native ------------------------------------------------------------===//

void buildNativePipeline(OpPassManager &pm, const PipelineOptions &options) {
  pm.addPass(createKernelToLLVM());
}

//===-- registration ------------------------------------------------------===//

// A pipeline whose options are those of one of its passes, `owner`.
static void registerStage(StringRef name, StringRef summary, BuildStage build,
                          StringRef owner = "") {
  registerPassPipeline(
      name, summary,
      [=](OpPassManager &pm, StringRef options,
          function_ref<LogicalResult(const Twine &)> error) {
        build(pm, {});
        for (Pass &pass : llvm::reverse(pm.getPasses()))
          if (pass.getArgument() == owner)
            return pass.initializeOptions(options, error);
        return options.empty() ? success() : error(name + " has no options");
      },
      [](function_ref<void(const detail::PassOptions &)>) {});
}

void registerGemmacPasses() {
  registerTablePasses();
  registerStage("gemma-optimize",
                "Stage optimize: fused blocks with formats, split into "
                "segments (options of --gemma-choose-formats)",
                buildOptimizePipeline, "gemma-choose-formats");
  registerStage("gemma-select",
                "Stage select: calls of the target's kernels (options of "
                "--gemma-to-kernel)",
                buildSelectPipeline, "gemma-to-kernel");
  registerStage("kernel-plan", "Stage plan: barriers, places and offsets",
                buildPlanPipeline);
  registerStage("kernel-native", "Stage native: straight-line LLVM dialect",
                buildNativePipeline);
}

} // namespace gemmac
