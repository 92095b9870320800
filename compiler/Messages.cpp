// See Messages.h.
#include "compiler/Messages.h"
#include "compiler/StandardStreams.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Remarks.h"

#include <fmt/core.h>

using namespace mlir;

namespace gemmac {

static void print(const char *kind, const std::vector<std::string> &lines) {
  for (const std::string &line : lines)
    say(std::string("gemmac: ") + kind + ": " + line + "\n");
}

void Messages::warn(const std::vector<std::string> &lines) const {
  if (warnings)
    print("warning", lines);
}

void Messages::remark(const std::vector<std::string> &lines) const {
  if (remarks)
    print("remark", lines);
}

namespace {
// Remarks of passes in the form of all messages.
struct RemarkPrinter : remark::detail::MLIRRemarkStreamerBase {
  void streamOptimizationRemark(const remark::detail::Remark &remark) override {
    std::string text;
    if (auto name = dyn_cast<NameLoc>(remark.getLocation()))
      text = name.getName().str() + ": ";
    for (const remark::detail::Remark::Arg &part : remark.getArgs())
      text += part.val;
    print("remark", {text});
  }
};
} // namespace

void Messages::listen(MLIRContext &context) const {
  // A kind without a filter of its own is not reported, whatever `all` says.
  remark::RemarkCategories categories = {.all = {},
                                         .passed = ".*",
                                         .missed = ".*",
                                         .analysis = ".*",
                                         .failed = ".*"};
  if (remarks)
    (void)remark::enableOptimizationRemarks(
        context, std::make_unique<RemarkPrinter>(),
        std::make_unique<remark::RemarkEmittingPolicyAll>(), categories);
}

std::string Messages::text(const Diagnostic &diagnostic) {
  Location at = diagnostic.getLocation();
  std::string place;
  // A place in a file that somebody wrote says more than a value's name.
  if (auto file = at->findInstanceOf<FileLineColLoc>()) {
    place = file.getFilename().str();
    for (unsigned number : {file.getLine(), file.getColumn()})
      if (number)
        place += fmt::format(":{}", number);
    place += ": ";
  } else if (auto name = dyn_cast<NameLoc>(at)) {
    place = name.getName().str() + ": ";
  }
  return place + diagnostic.str();
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
  print(kind, {text(diagnostic)});
  for (Diagnostic &note : diagnostic.getNotes())
    (void)report(note);
  return success();
}

} // namespace gemmac
