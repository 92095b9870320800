// gemma-opt: reads IR of any stage, runs passes by flag, prints it.
#include "dialects/gemma/Gemma.h"
#include "dialects/kernel/Kernel.h"
#include "passes/Pipelines.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<mlir::gemma::GemmaDialect, mlir::kernel::KernelDialect,
                  mlir::func::FuncDialect, mlir::LLVM::LLVMDialect>();
  gemmac::registerGemmacPasses();
  mlir::registerTransformsPasses(); // canonicalize, cse, symbol-dce, ...
  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "gemmac: IR to IR, pass by pass\n", registry));
}
