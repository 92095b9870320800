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

// Kernels of convolutions are read whole: what they are made of is a vector.
static void flattenConvolution(SourceTensor &tensor) {
  const std::string_view name = tensor.name;
  if (towerOf(name) && tensor.shape.size() > 1 &&
      (name.ends_with("conv.weight") || name.ends_with("conv1d.weight")))
    tensor.shape = {tensor.elements()};
}

void MappedTensors::index() {
  stackExperts();
  for (SourceTensor &tensor : all)
    flattenConvolution(tensor);
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
