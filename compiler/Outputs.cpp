// See Outputs.h.
#include "compiler/Outputs.h"

#include "codegen/Linker.h"
#include "compiler/Library.h"
#include "compiler/ModelInput.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"

namespace gemmac {

using llvm::sys::fs::UniqueID;

// `path` exists and is one of `inputs`.
static Status
checkDistinct(const std::string &path,
              const std::vector<std::pair<UniqueID, std::string>> &inputs) {
  UniqueID id;
  if (llvm::sys::fs::getUniqueID(path, id))
    return Done{};
  for (const auto &[input, name] : inputs)
    if (id == input)
      return makeError(
          ExitCode::Usage,
          "input and output are the same file: writing '{}' would destroy '{}'",
          path, name);
  return Done{};
}

Status checkOutputs(const DriverOptions &o, const Destination &output) {
  using Kind = Destination::Kind;
  const std::optional<Form> form = formOf(o.emit);
  const bool program = o.compileTo.empty() && form;
  if (program && o.output == "-")
    return Error{ExitCode::Usage,
                 "-o - prints text; a program needs a file name"};
  if (output.kind == Kind::Folder)
    return makeError(ExitCode::Usage,
                     "-o expects a file name, got the folder '{}'", o.output);
  if (program && output.kind == Kind::Special)
    return makeError(
        ExitCode::Usage,
        "-o expects a regular file or /dev/null for a program, got '{}'",
        o.output);
  if (output.kind == Kind::Null && !o.verify.empty())
    return Error{ExitCode::Usage, "--verify measures a program that stays, but "
                                  "-o discards it"};

  std::vector<std::string> outputs;
  if (output.kind == Kind::File)
    outputs.push_back(output.path);
  if (program && output.kind == Kind::File &&
      (o.weights == "external" || form == Form::StaticLibrary)) {
    outputs.push_back(weightsPath(*form, output.path));
    if (Status s = checkWeightsPath(outputs.back()); !s)
      return s;
  }
  std::error_code ignored; // an absent folder holds nothing
  if (!o.dumpTo.empty())
    for (llvm::sys::fs::directory_iterator at(o.dumpTo, ignored), end;
         !ignored && at != end; at.increment(ignored))
      outputs.push_back(at->path());

  std::vector<std::string> files = checkpointFiles(o.input);
  files.insert(files.end(), {o.mmproj, o.quantMap, o.verify, o.compileFrom});
  std::vector<std::pair<UniqueID, std::string>> inputs;
  for (const std::string &file : files)
    if (UniqueID id; !file.empty() && !llvm::sys::fs::getUniqueID(file, id))
      inputs.push_back({id, file});
  for (const std::string &path : outputs)
    if (Status s = checkDistinct(path, inputs); !s)
      return s;
  return Done{};
}

} // namespace gemmac
