// See Messages.h.
#include "compiler/Messages.h"

#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace gemmac {

static void print(const char *kind, const std::vector<std::string> &lines) {
  for (const std::string &line : lines)
    llvm::errs() << "gemmac: " << kind << ": " << line << "\n";
}

void Messages::warn(const std::vector<std::string> &lines) const {
  if (warnings)
    print("warning", lines);
}

void Messages::remark(const std::vector<std::string> &lines) const {
  if (remarks)
    print("remark", lines);
}

LogicalResult Messages::report(Diagnostic &diagnostic) const {
  DiagnosticSeverity severity = diagnostic.getSeverity();
  if ((severity == DiagnosticSeverity::Remark && !remarks) ||
      (severity == DiagnosticSeverity::Warning && !warnings))
    return success();
  const char *kind = severity == DiagnosticSeverity::Error     ? "error"
                     : severity == DiagnosticSeverity::Warning ? "warning"
                     : severity == DiagnosticSeverity::Remark  ? "remark"
                                                               : "note";
  llvm::errs() << "gemmac: " << kind << ": ";
  Location at = diagnostic.getLocation();
  if (auto name = dyn_cast<NameLoc>(at))
    llvm::errs() << name.getName().getValue() << ": ";
  else if (auto file = at->findInstanceOf<FileLineColLoc>())
    llvm::errs() << file.getFilename().getValue() << ":" << file.getLine()
                 << ":" << file.getColumn() << ": ";
  llvm::errs() << diagnostic.str() << "\n";
  for (Diagnostic &note : diagnostic.getNotes())
    (void)report(note);
  return success();
}

} // namespace gemmac
