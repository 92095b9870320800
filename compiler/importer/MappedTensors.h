// The tensors of mapped files, found by canonical name: what folders and GGUF
// files have in common. Private to their readers; must not know file formats.
#pragma once

#include "codegen/Source.h"
#include "compiler/importer/File.h"

#include <string_view>
#include <unordered_map>

namespace gemmac {

class MappedTensors : public TensorSource {
public:
  const std::vector<SourceTensor> &tensors() const override { return all; }
  const std::vector<SourceFile> &files() const override { return fileList; }
  const SourceTensor *find(const std::string &name) const override;
  const std::vector<Finding> &findings() const override { return found; }
  const char *whyUnused(const SourceTensor &tensor) const override;

protected:
  // A tensor of the file that is added next, in `data`.
  void addTensor(std::string name, std::string_view fileName, SourceType type,
                 const char *typeName, std::vector<int64_t> shape,
                 const MappedFile &map, uint64_t begin, uint64_t end);
  void addFile(MappedFile map);
  // After the last file, when tensors have their canonical names, and again
  // after more of them. Makes stacks
  // of tensors of single experts. Fails if two tensors have one name, but not
  // the same bytes.
  void index();
  std::vector<SourceTensor> &list() { return all; }

  std::vector<Finding> found;

private:
  void stackExperts();
  void flattenConvolutions();
  void checkCopy(const SourceTensor &copy, const SourceTensor &first) const;

  std::vector<MappedFile> maps;
  std::vector<SourceFile> fileList;
  std::vector<SourceTensor> all;
  std::unordered_map<std::string_view, size_t> byName; // views into list
};

} // namespace gemmac
