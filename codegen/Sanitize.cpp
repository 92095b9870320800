#include "codegen/Sanitize.h"

#include "codegen/Optimize.h"

#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Operator.h"

using namespace llvm;

namespace gemmac {

static void sanitizeFunction(Function &function) {
  for (const char *name : {"target-cpu", "target-features", "tune-cpu",
                           "no-builtins", "reciprocal-estimates"})
    function.removeFnAttr(name);
  for (Argument &argument : function.args())
    argument.removeAttr(Attribute::NoAlias);
  for (Instruction &instruction :
       make_early_inc_range(instructions(function))) {
    if (isa<NoAliasScopeDeclInst>(instruction)) {
      instruction.eraseFromParent();
      continue;
    }
    instruction.dropUnknownNonDebugMetadata({LLVMContext::MD_loop});
    if (isa<FPMathOperator>(instruction)) {
      FastMathFlags flags;
      flags.setAllowContract(instruction.hasAllowContract());
      instruction.copyFastMathFlags(flags);
    }
  }
}

void sanitizeModule(Module &module, const Target &target) {
  setTarget(module, target);
  if (NamedMDNode *flags = module.getModuleFlagsMetadata())
    module.eraseNamedMetadata(flags);
  for (Function &function : module)
    sanitizeFunction(function);
}

} // namespace gemmac
