// See OtherForms.h.
#include "compiler/importer/OtherForms.h"

#include "compiler/importer/File.h"

#include <algorithm>

namespace gemmac {
namespace {

// What people have in the place of safetensors, by the beginning and the end of
// a file's name, and what is said of the first that fits.
struct OtherForm {
  std::string_view begin, end;
  ExitCode code;
  const char *what;
};
const char pickled[] =
    "is in PyTorch's pickle format, which is not read; load the model in "
    "transformers and save it with save_pretrained";
const char converted[] =
    "is in the format of another framework, which is not read; convert the "
    "model to the safetensors of transformers";
const OtherForm otherForms[] = {
    {"adapter_config.json", "", ExitCode::Unsupported,
     "describes an adapter (such as LoRA), not a model; merge it into its base "
     "model (merge_and_unload of peft) and compile what that saves"},
    {"", ".gguf", ExitCode::BadInput,
     "is a model of its own: pass that file, not the folder"},
    {"consolidated", ".safetensors", ExitCode::Unsupported,
     "is in the layout of Meta or Mistral, which is not read; convert the "
     "model to the safetensors of transformers"},
    {"pytorch_model", ".bin", ExitCode::Unsupported, pickled},
    {"pytorch_model", ".bin.index.json", ExitCode::Unsupported, pickled},
    {"model", ".bin", ExitCode::Unsupported, pickled},
    {"model", ".pt", ExitCode::Unsupported, pickled},
    {"model", ".pth", ExitCode::Unsupported, pickled},
    {"consolidated", ".pth", ExitCode::Unsupported, pickled},
    {"", ".ckpt", ExitCode::Unsupported, pickled},
    {"", ".distcp", ExitCode::Unsupported,
     "is a part of a distributed checkpoint of PyTorch, which is not read; "
     "export the model with save_pretrained"},
    {"", ".npz", ExitCode::Unsupported,
     "holds NumPy arrays (older MLX), which are not read; convert the model to "
     "the safetensors of transformers"},
    {"tf_model", ".h5", ExitCode::Unsupported, converted},
    {"", ".weights.h5", ExitCode::Unsupported, converted},
    {"flax_model", ".msgpack", ExitCode::Unsupported, converted},
    {"", ".onnx", ExitCode::Unsupported, converted},
    {"", ".task", ExitCode::Unsupported, converted},
    {"", ".litertlm", ExitCode::Unsupported, converted},
};

} // namespace

Status explainFolder(const std::string &folder, const char *lacking) {
  std::vector<std::string> names = fileNames(folder);
  for (const OtherForm &form : otherForms) {
    auto fits = [&](const std::string &name) {
      return name.starts_with(form.begin) && name.ends_with(form.end);
    };
    auto first = std::find_if(names.begin(), names.end(), fits);
    if (first == names.end())
      continue;
    auto more = std::count_if(first + 1, names.end(), fits);
    return makeError(form.code, "{}: has no {}, but it holds '{}'{}, which {}",
                     folder, lacking, *first,
                     more ? fmt::format(" (and {} more such)", more) : "",
                     form.what);
  }
  return Done{};
}

} // namespace gemmac
