// See MappedTensors.h.
#include "compiler/importer/MappedTensors.h"

#include "compiler/importer/Failure.h"
#include "compiler/importer/Json.h"

namespace gemmac {

const SourceTensor *MappedTensors::find(const std::string &name) const {
  auto at = byName.find(name);
  return at == byName.end() ? nullptr : &list[at->second];
}

void MappedTensors::addTensor(std::string name, std::string_view fileName,
                              SourceType type, const char *typeName,
                              std::vector<int64_t> shape, const MappedFile &map,
                              uint64_t begin, uint64_t end) {
  list.push_back({.name = std::move(name),
                  .fileName = std::string(fileName),
                  .type = type,
                  .typeName = typeName,
                  .shape = std::move(shape),
                  .data = map.data() + begin,
                  .bytes = end - begin,
                  .file = int(fileList.size())});
}

void MappedTensors::addFile(MappedFile map) {
  fileList.push_back({map.path(), map.bytes(), map.mtimeNs(), map.ctimeNs()});
  maps.push_back(std::move(map));
}

void MappedTensors::index() {
  byName.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    auto [at, fresh] = byName.emplace(list[i].name, i);
    if (fresh)
      continue;
    const SourceTensor &first = list[at->second];
    NamedFile{fileList[size_t(list[i].file)].path}.bad(
        "tensor {} is a duplicate of tensor {} in {}",
        gemmac::quoted(list[i].fileName), gemmac::quoted(first.fileName),
        fileList[size_t(first.file)].path);
  }
}

} // namespace gemmac
