// See MappedTensors.h.
#include "compiler/importer/MappedTensors.h"

#include "compiler/importer/ConfigReader.h"
#include "compiler/importer/TensorNames.h"

#include <map>

namespace gemmac {

// A stack that is made of the tensors of its members.
static SourceTensor
joined(const std::map<int64_t, const SourceTensor *> &members,
       const std::string &name, const NamedFile &file) {
  const SourceTensor &first = *members.begin()->second;
  SourceTensor stack = first;
  std::string number = fmt::format(".{}.", members.begin()->first);
  if (size_t at = stack.fileName.rfind(number); at != std::string::npos)
    stack.fileName.replace(at, number.size(), ".*.");
  stack.name = name;
  stack.data = nullptr;
  stack.bytes = first.bytes * members.size();
  stack.shape.insert(stack.shape.begin(), int64_t(members.size()));
  for (const auto &[expert, tensor] : members) {
    if (expert != int64_t(stack.members.size()))
      file.bad("tensor {} is missing for expert {}, but there for {}",
               gemmac::quoted(stack.fileName), stack.members.size(), expert);
    if (tensor->typeName != first.typeName || tensor->shape != first.shape)
      file.unsupported("tensor {} expects type {} and shape {} like that of "
                       "the first expert, got {} and {}",
                       gemmac::quoted(tensor->fileName), first.typeName,
                       shapeText(first.shape), tensor->typeName,
                       shapeText(tensor->shape));
    stack.members.push_back(tensor->data);
  }
  return stack;
}

const SourceTensor *MappedTensors::find(const std::string &name) const {
  auto at = byName.find(name);
  return at == byName.end() ? nullptr : &all[at->second];
}

void MappedTensors::addTensor(std::string name, std::string_view fileName,
                              SourceType type, const char *typeName,
                              std::vector<int64_t> shape, const MappedFile &map,
                              uint64_t begin, uint64_t end) {
  all.push_back({.name = std::move(name),
                 .fileName = std::string(fileName),
                 .type = type,
                 .typeName = typeName,
                 .shape = std::move(shape),
                 .data = map.data() + begin,
                 .bytes = end - begin,
                 .file = int(fileList.size())});
}

void MappedTensors::addFile(MappedFile map) {
  fileList.push_back(
      {map.path(), map.bytes(), map.mtimeNs(), map.ctimeNs(), map.inode()});
  maps.push_back(std::move(map));
}

// One tensor per expert and projection becomes the stack of a layer, whose
// members lie where they are.
void MappedTensors::stackExperts() {
  struct Stack {
    size_t first;
    std::map<int64_t, const SourceTensor *> members;
  };
  std::map<std::string, Stack> stacks;
  for (size_t i = 0; i < all.size(); ++i) {
    std::optional<ExpertName> name = expertOf(all[i].name);
    if (!name || name->expert >= limits::experts)
      continue;
    Stack &stack = stacks.try_emplace(name->stack, Stack{i, {}}).first->second;
    if (auto [at, fresh] = stack.members.emplace(name->expert, &all[i]); !fresh)
      checkCopy(all[i], *at->second);
  }
  std::vector<SourceTensor> result;
  for (size_t i = 0; i < all.size() && !stacks.empty(); ++i) {
    std::optional<ExpertName> name = expertOf(all[i].name);
    auto stack = name ? stacks.find(name->stack) : stacks.end();
    if (stack == stacks.end() || name->expert >= limits::experts)
      result.push_back(std::move(all[i]));
    else if (stack->second.first == i)
      result.push_back(joined(stack->second.members, name->stack,
                              NamedFile{fileList[size_t(all[i].file)].path}));
  }
  if (stacks.empty())
    return;
  all = std::move(result);
  found.push_back({"layout", "every expert has tensors of its own"});
}

namespace {

// How the dimensions of a kernel of 3 x 3 taps follow each other.
enum class KernelOrder {
  Torch, // (out, in, y, x), as transformers saves it
  Mlx,   // (out, y, x, in)
  Either,
  Neither,
};

KernelOrder orderOf(const std::vector<int64_t> &s) {
  const bool torch = s[2] == 3 && s[3] == 3, mlx = s[1] == 3 && s[2] == 3;
  return torch && mlx ? KernelOrder::Either
         : torch      ? KernelOrder::Torch
         : mlx        ? KernelOrder::Mlx
                      : KernelOrder::Neither;
}

bool isConvolution(const SourceTensor &tensor) {
  const std::string_view name = tensor.name;
  return towerOf(name) && tensor.shape.size() > 1 &&
         (name.ends_with("conv.weight") || name.ends_with("conv1d.weight"));
}

void flatten(SourceTensor &tensor, std::vector<int64_t> kernel) {
  tensor.kernel = std::move(kernel);
  tensor.shape = {tensor.elements()};
}

// (channels, taps), with a 1 before or behind the taps or without it: the same
// bytes.
void flattenTaps(SourceTensor &tensor) {
  const std::vector<int64_t> &s = tensor.shape;
  if (s.size() == 2)
    return flatten(tensor, {s[0], 1, s[1]});
  if (s.size() == 3 && (s[1] == 1 || s[2] == 1))
    flatten(tensor, {s[0], 1, s[1] * s[2]});
}

} // namespace

// Kernels of convolutions are read whole: what they are made of is a vector.
// Shapes that fit no order stay, for whoever knows what they should be. That of
// 3 inputs fits both; then the other kernels tell which one the file has.
void MappedTensors::flattenConvolutions() {
  bool torch = false, mlx = false;
  auto each = [&](auto see) {
    for (SourceTensor &tensor : all)
      if (isConvolution(tensor) && tensor.shape.size() == 4)
        see(tensor, orderOf(tensor.shape));
  };
  each([&](const SourceTensor &, KernelOrder order) {
    torch |= order == KernelOrder::Torch;
    mlx |= order == KernelOrder::Mlx;
  });
  each([&](SourceTensor &tensor, KernelOrder order) {
    const std::vector<int64_t> s = tensor.shape;
    if (order == KernelOrder::Either && torch != mlx)
      order = torch ? KernelOrder::Torch : KernelOrder::Mlx;
    if (order == KernelOrder::Torch)
      flatten(tensor, s);
    if (order != KernelOrder::Mlx)
      return;
    tensor.form.planes = 9;
    tensor.form.pieces = s[0];
    flatten(tensor, {s[0], s[3], 3, 3});
  });
  if (mlx)
    found.push_back({"layout", "kernels of convolutions lie as MLX stores "
                               "them, inputs last"});
  for (SourceTensor &tensor : all)
    if (isConvolution(tensor) && tensor.shape.size() < 4)
      flattenTaps(tensor);
}

void MappedTensors::index() {
  stackExperts();
  flattenConvolutions();
  byName.clear();
  byName.reserve(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    auto [at, fresh] = byName.emplace(all[i].name, i);
    if (!fresh)
      checkCopy(all[i], all[at->second]);
  }
}

void MappedTensors::checkCopy(const SourceTensor &copy,
                              const SourceTensor &first) const {
  if (!sameData(&first, &copy))
    NamedFile{fileList[size_t(copy.file)].path}.bad(
        "tensor {} is a duplicate of tensor {} in {}, of other contents",
        gemmac::quoted(copy.fileName), gemmac::quoted(first.fileName),
        fileList[size_t(first.file)].path);
}

const char *MappedTensors::whyUnused(const SourceTensor &tensor) const {
  const SourceTensor *first = find(tensor.name);
  return first && first != &tensor ? "a copy of another tensor" : nullptr;
}

} // namespace gemmac
