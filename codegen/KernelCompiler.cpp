#include "codegen/KernelCompiler.h"

#include "codegen/kernels/Tile.h"

#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/raw_ostream.h"

namespace gemmac {

bool hasKernel(const std::string &family, const Target &target) {
  return hasTileKernel(family) || hasBodyKernel(family, target);
}

Result<std::unique_ptr<llvm::Module>>
compileKernel(const KernelSpec &spec, const Target &target,
              llvm::LLVMContext &context) {
  if (!hasKernel(spec.family, target))
    return Error{ExitCode::Unsupported, "no body of kernel family '" +
                                            spec.family + "' for target " +
                                            target.name};
  auto module = hasTileKernel(spec.family)
                    ? compileHalideKernel(spec, target, context)
                    : compileBodyKernel(spec, target, context);
  assert((!module || !llvm::verifyModule(**module, &llvm::errs())) &&
         "a kernel is broken IR");
  return module;
}

} // namespace gemmac
