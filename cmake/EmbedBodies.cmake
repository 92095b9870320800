# Script: writes OUTPUT, a C++ file that defines gemmac::bodyBitcode() with the
# files of the ;-separated list INPUTS, named <family>.<target>.bc.
set(arrays "")
set(rows "")
set(n 0)
foreach(input IN LISTS INPUTS)
  get_filename_component(name ${input} NAME)
  string(REGEX MATCH "^([^.]*)\\.([^.]*)\\.bc$" ok ${name})
  set(family ${CMAKE_MATCH_1})
  set(target ${CMAKE_MATCH_2})
  file(READ ${input} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND arrays "alignas(8) static const unsigned char body${n}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${family}\", \"${target}\", body${n}, sizeof body${n}},\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Written by cmake/EmbedBodies.cmake.
#include \"codegen/BodyBitcode.h\"

namespace gemmac {

${arrays}
const BodyBitcode *bodyBitcode() {
  static const BodyBitcode table[] = {
${rows}    {nullptr, nullptr, nullptr, 0}};
  return table;
}

} // namespace gemmac
")
