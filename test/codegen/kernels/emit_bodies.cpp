// emit_bodies TARGET FOLDER: writes an object of every body that the cases ask
// for, and table.cpp, which gives their addresses by symbol.
#include "test/codegen/kernels/body_cases.h"
#include "test/codegen/kernels/body_jit.h"

#include <fstream>
#include <map>

using namespace gemmac;
using namespace gemmac::test;

int main(int argc, char **argv) {
  if (argc != 3 || !findTarget(argv[1]))
    return fprintf(stderr, "usage: emit_bodies TARGET FOLDER\n"), 2;
  const std::string folder = argv[2];
  std::map<std::string, KernelSpec> specs;
  auto record = [&](const KernelSpec &spec) -> void * {
    specs[kernelSymbol(spec)] = spec;
    return nullptr;
  };
  for (const Case &c : allBodyCases())
    c.run(record);
  std::string declarations, rows, objects;
  for (const auto &[symbol, spec] : specs) {
    std::ofstream(folder + "/" + symbol + ".o", std::ios::binary)
        << bodyObject(spec, argv[1]);
    declarations += "extern \"C\" void " + symbol + "();\n";
    rows +=
        "  if (symbol == \"" + symbol + "\") return (void *)" + symbol + ";\n";
    objects += "\"" + folder + "/" + symbol + ".o\"\n";
  }
  std::ofstream(folder + "/objects.rsp") << objects;
  std::ofstream(folder + "/table.cpp")
      << "#include <string>\n"
      << declarations << "void *bodyBySymbol(const std::string &symbol) {\n"
      << rows << "  return nullptr;\n}\n";
  return 0;
}
