// A planned module as plain data: what packer, manifest and linker must know.
// Read once from the IR (NativeModule.cpp); must not know MLIR itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gemmac {

// Rows and columns of a source tensor; with a stack, those of every member.
struct Piece {
  std::string tensor; // canonical name
  int64_t row0 = 0, row1 = 0, col0 = 0, col1 = 0;
};

// A kernel.weight that is no view (KernelOps.td). `rows` are those of one stack
// member; with an interleave they count each piece in whole blocks.
struct PackedWeight {
  std::string name, format, layout;
  int64_t rows = 0, cols = 0, stack = 1, interleave = 0;
  int64_t bytes = 0, offset = 0;
  std::vector<Piece> pieces;
  bool ple = false; // the PLE table: rows are gathered by the runtime
};

struct PlannedCache {
  std::string name, format;
  bool global = false;
  int64_t heads = 0, dim = 0, kPage = 0, vPage = 0, offset = 0;
};

// kernel.memory of one function, and the columns of the PLE rows it reads.
struct PlannedFunction {
  std::string segment;
  bool many = false;
  int64_t worker = 0, row = 0, key = 0;
  int64_t pleColumn0 = 0, pleColumn1 = 0; // equal: reads none
};

struct ProgramPlan {
  std::vector<PackedWeight> weights; // ascending offset
  std::vector<PlannedCache> caches;
  std::vector<PlannedFunction> functions;

  uint64_t weightBytes() const; // of the weight section
};

} // namespace gemmac
