// TileBuilder: arguments and lowering of one tile.
#include "codegen/kernels/common.h"

#include <sys/mman.h>
#include <unistd.h>

using namespace Halide;

namespace gemmac {

TileBuilder::TileBuilder(const gemmac::Target &target, int64_t rows,
                         int64_t units)
    : target(target), rows(rows), units(units) {}

static void constrain(Halide::Internal::Dimension dimension, const Dim &dim) {
  dimension.set_bounds(0, int(dim.extent));
  if (dim.parameter.empty())
    dimension.set_stride(int(dim.stride));
}

static TileArgument makeArgument(const std::string &operand, Type type,
                                 const std::vector<Dim> &dims,
                                 const Index &offset) {
  return {operand, offset, dims, int(type.code()), type.bits()};
}

ImageParam TileBuilder::input(const std::string &operand, Type type,
                              const std::vector<Dim> &dims,
                              const Index &offset) {
  ImageParam image(type, int(dims.size()),
                   operand + "_in" + std::to_string(inputArguments.size()));
  for (size_t i = 0; i < dims.size(); ++i)
    constrain(image.dim(int(i)), dims[i]);
  inputs.push_back(image);
  inputArguments.push_back(makeArgument(operand, type, dims, offset));
  return image;
}

void TileBuilder::output(Func func, const std::string &operand,
                         const std::vector<Dim> &dims, const Index &offset) {
  for (size_t i = 0; i < dims.size(); ++i)
    constrain(func.output_buffer().dim(int(i)), dims[i]);
  outputs.push_back(func);
  outputArguments.push_back(
      makeArgument(operand, func.types().at(0), dims, offset));
}

// Bitcode through an anonymous file: Halide writes to names only.
static std::string bitcodeOf(Module module) {
  int fd = memfd_create("tile", MFD_CLOEXEC);
  if (fd < 0)
    throw RuntimeError("no memory for an anonymous file");
  std::string bytes;
  try {
    module.compile(
        {{OutputFileType::bitcode, "/proc/self/fd/" + std::to_string(fd)}});
    bytes.resize(size_t(lseek(fd, 0, SEEK_END)));
    if (pread(fd, bytes.data(), bytes.size(), 0) != ssize_t(bytes.size()))
      throw RuntimeError("cannot read an anonymous file");
  } catch (...) {
    close(fd);
    throw;
  }
  close(fd);
  return bytes;
}

Tile TileBuilder::finish(const std::string &suffix) {
  Tile tile;
  tile.rows = rows;
  tile.units = units;
  tile.symbol =
      "tile_" + std::to_string(rows) + "x" + std::to_string(units) + suffix;
  tile.product = first;
  tile.sumBytes = first ? first->sumBytes : 0;
  tile.arguments = inputArguments;
  tile.arguments.insert(tile.arguments.end(), outputArguments.begin(),
                        outputArguments.end());
  Halide::Target halide(target.halide +
                        "-no_runtime-no_asserts-no_bounds_query");
  tile.bitcode = bitcodeOf(Pipeline(outputs).compile_to_module(
      inputs, tile.symbol, halide, LinkageType::External));
  return tile;
}

} // namespace gemmac
