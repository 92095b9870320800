// See ValueNames.h.
#include "compiler/ValueNames.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/AsmParser/AsmParserState.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;

namespace gemmac {

// Calls `visit` for every op below `root` and every argument of its blocks,
// always in the same order.
static void
walkNamed(Operation *root,
          llvm::function_ref<void(Operation *, BlockArgument)> visit) {
  for (Region &region : root->getRegions())
    for (Block &block : region) {
      for (BlockArgument argument : block.getArguments())
        visit(nullptr, argument);
      for (Operation &op : block) {
        visit(&op, {});
        walkNamed(&op, visit);
      }
    }
}

// "" where a value has only a number and where an op has no result.
std::vector<std::string> valueNames(StringRef text,
                                    const DialectRegistry &registry) {
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  ScopedDiagnosticHandler silent(&context, [](Diagnostic &) {});
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(
      llvm::MemoryBuffer::getMemBuffer(text, "", /*RequiresNullTerminator=*/
                                       false),
      llvm::SMLoc());
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  ParserConfig config(&context, /*verifyAfterParse=*/false);
  AsmParserState state;
  if (failed(parseAsmSourceFile(sources, module->getBody(), config, &state)))
    return {};
  std::vector<std::string> names;
  auto add = [&](llvm::SMRange place) {
    StringRef name(place.Start.getPointer(),
                   place.End.getPointer() - place.Start.getPointer());
    name.consume_front("%");
    names.push_back(llvm::all_of(name, llvm::isDigit) ? "" : name.str());
  };
  // A module in the file is the module; anything else stands in one.
  Operation *root = *module;
  if (llvm::hasSingleElement(*module->getBody()) &&
      isa<ModuleOp>(module->getBody()->front()))
    root = &module->getBody()->front();
  walkNamed(root, [&](Operation *op, BlockArgument argument) {
    if (op) {
      const auto *def = state.getOpDef(op);
      if (def && !def->resultGroups.empty())
        return add(def->resultGroups.front().definition.loc);
      return names.push_back("");
    }
    const auto *def = state.getBlockDef(argument.getOwner());
    if (def && argument.getArgNumber() < def->arguments.size())
      return add(def->arguments[argument.getArgNumber()].loc);
    names.push_back("");
  });
  return names;
}

void nameValues(Operation *root, ArrayRef<std::string> names) {
  size_t next = 0;
  auto named = [&](Location loc) -> Location {
    StringRef name = next < names.size() ? StringRef(names[next]) : "";
    ++next;
    if (name.empty() || isa<NameLoc>(loc))
      return loc;
    return NameLoc::get(StringAttr::get(loc.getContext(), name), loc);
  };
  walkNamed(root, [&](Operation *op, BlockArgument argument) {
    if (op)
      op->setLoc(named(op->getLoc()));
    else
      argument.setLoc(named(argument.getLoc()));
  });
}

} // namespace gemmac
