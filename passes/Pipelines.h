// The stages of the compiler as pipelines, shared by gemmac and gemma-opt. One
// word names the stage, its builder, its --compile-to value and its dump.
#pragma once

#include "passes/Passes.h"

#include "mlir/Pass/PassManager.h"

namespace gemmac {

// What the stages after import may ask for: what their passes do.
struct PipelineOptions : ChooseFormatsOptions, GemmaToKernelOptions {};

using BuildStage = void (*)(mlir::OpPassManager &, const PipelineOptions &);

// optimize: primitives -> fused blocks with formats, split into segments.
void buildOptimizePipeline(mlir::OpPassManager &pm,
                           const PipelineOptions &options);
// select: fused blocks -> calls of kernels of the target, functions per row
// class.
void buildSelectPipeline(mlir::OpPassManager &pm,
                         const PipelineOptions &options);
// plan: barriers, places, offsets; checked by code that is not the planner.
void buildPlanPipeline(mlir::OpPassManager &pm, const PipelineOptions &options);
// native: straight-line LLVM dialect.
void buildNativePipeline(mlir::OpPassManager &pm,
                         const PipelineOptions &options);

// Registers every pass of Passes.td and the four pipelines for textual use:
// gemma-optimize (with the options of gemma-choose-formats), gemma-select (of
// gemma-to-kernel), kernel-plan, kernel-native.
void registerGemmacPasses();

} // namespace gemmac
