// The stages of the compiler as pipelines, shared by gemmac and gemma-opt. One
// word names the stage, its builder, its --compile-to value and its dump.
#pragma once

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

#include <string>

namespace gemmac {

struct Target;

// What the stages after import may ask for.
struct PipelineOptions : public mlir::PassPipelineOptions<PipelineOptions> {
  Option<std::string> quant{
      *this, "quant",
      llvm::cl::desc("format of matrices: auto (the source's), none (the "
                     "source's, but not "
                     "quantised), bf16, f32, q8, q4"),
      llvm::cl::init("auto")};
  Option<std::string> quantMap{
      *this, "quant-map",
      llvm::cl::desc("file of lines PATTERN FORMAT that go before quant"),
      llvm::cl::init("")};
  Option<bool> requantize{
      *this, "requantize",
      llvm::cl::desc("with quant=auto: 4-bit sources of other types as q4_0"),
      llvm::cl::init(false)};
  Option<std::string> cacheType{
      *this, "cache-type",
      llvm::cl::desc("format of caches: auto (f32 with quant=f32, "
                     "otherwise bf16), f32, bf16"),
      llvm::cl::init("auto")};
  Option<std::string> target{
      *this, "target", llvm::cl::desc("hardware (--list-targets of gemmac)"),
      llvm::cl::init("x86-avx512")};
};

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

// Registers every pass of Passes.td and the four pipelines (gemma-optimize,
// gemma-select, kernel-plan, kernel-native) for textual use.
void registerGemmacPasses();

} // namespace gemmac
