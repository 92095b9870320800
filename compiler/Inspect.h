// `gemmac --inspect`: what a checkpoint is and what gemmac would make of it, as
// one screen or as JSON. Must not know MLIR or how anything is read.
#pragma once

#include "codegen/ProgramPlan.h"
#include "compiler/ModelInput.h"
#include "targets/Target.h"

#include <optional>

namespace gemmac {

// What was read before `cannot`, if that is set.
struct Inspection {
  const std::string &path;
  const ModelInput &input;
  const std::vector<Finding> &findings;
  const std::vector<IgnoredTensor> &ignored;
  const std::vector<std::string> &warnings;
  const ProgramPlan &plan;     // no weights: not planned
  const Target *target;        // of the plan
  std::optional<Error> cannot; // why there would be no program
};

// Lines of at most 80 columns where words allow it, with a line end.
std::string inspectionText(const Inspection &inspection);

// One object: path, name, kind, can_compile, error, model, quantisation,
// tensors, program, tokenizer, chat, generation, towers, findings, warnings.
std::string inspectionJson(const Inspection &inspection);

} // namespace gemmac
