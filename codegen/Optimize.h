// LLVM IR to machine code for the exact CPU of a target. The one place that
// knows the optimisation pipeline; knows no kernels and no MLIR.
#pragma once

#include "support/Result.h"
#include "targets/Target.h"

#include <memory>
#include <string>

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace gemmac {

// The machine of `target`: PIC, its CPU and features. Registers LLVM's back
// ends at the first call; thread safe.
std::unique_ptr<llvm::TargetMachine> createTargetMachine(const Target &target);

// Gives the module the target's triple and data layout.
void setTarget(llvm::Module &module, const Target &target);

// O3 with superword vectorisation (it turns scalar helpers into vectors) and
// without LLVM's unroller (schedules say what is unrolled).
void optimizeModule(llvm::Module &module, const Target &target);

// Drops branches on constants, and what nothing calls then. With `throughCalls`
// constants are followed into the functions that get them as arguments, too:
// more passes, but O3 is spared what they drop.
void dropDeadCode(llvm::Module &module, bool throughCalls = false);

// The bytes of an object file, or assembly text. May change the module. Error:
// a function whose frame a worker's stack does not hold, or of unknown size.
Result<std::string> emitObject(llvm::Module &module, const Target &target);
Result<std::string> emitAssembly(llvm::Module &module, const Target &target);

} // namespace gemmac
