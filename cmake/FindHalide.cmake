# Finds the Halide C++ library inside the unpacked Python wheel at HALIDE_ROOT
# (its own package config needs a newer CMake than Debian 12 has).
find_path(Halide_INCLUDE_DIR Halide.h HINTS ${HALIDE_ROOT}/halide/include NO_DEFAULT_PATH)
find_library(Halide_LIBRARY Halide HINTS ${HALIDE_ROOT}/halide/lib64 ${HALIDE_ROOT}/halide/lib NO_DEFAULT_PATH)
if(Halide_INCLUDE_DIR)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${Halide_INCLUDE_DIR}/HalideRuntime.h line REGEX "#define HALIDE_VERSION_${part} ")
    string(REGEX MATCH "[0-9]+$" ${part} "${line}")
  endforeach()
  set(Halide_VERSION ${MAJOR}.${MINOR}.${PATCH})
endif()
find_file(Halide_LICENSE LICENSE.txt HINTS ${HALIDE_ROOT}/halide/share/doc/Halide NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Halide REQUIRED_VARS Halide_LIBRARY Halide_INCLUDE_DIR Halide_LICENSE)
if(Halide_FOUND AND NOT TARGET Halide::Halide)
  add_library(Halide::Halide SHARED IMPORTED)
  set_target_properties(Halide::Halide PROPERTIES
    IMPORTED_LOCATION ${Halide_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${Halide_INCLUDE_DIR})
endif()
