# The plain C++ bodies (codegen/kernels/*.body.cpp): cases that know no test
# framework, run inside a unit test here and in a static program of the other
# architecture.
set(BODY_CASES append_cases.cpp attend_cases.cpp top_cases.cpp)
gemmac_library(gemmac_body_jit MLIR
  SOURCES body_jit.cpp device_body.cpp
  LINK gemmac_codegen gemmac_device_runner)
gemmac_unit_test(body_kernels_test EXCEPTIONS
  SOURCES body_test.cpp ${BODY_CASES}
  LINK gemmac_body_jit)

gemmac_executable(emit_bodies EXCEPTIONS
  SOURCES emit_bodies.cpp ${BODY_CASES}
  LINK gemmac_body_jit)
set_target_properties(emit_bodies PROPERTIES EXCLUDE_FROM_ALL ON)

# The ARM program; needs the cross libc.
file(GLOB cross_gcc /usr/lib/gcc-cross/aarch64-linux-gnu/*)
find_program(QEMU_AARCH64 qemu-aarch64)
if(cross_gcc AND QEMU_AARCH64)
  set(arm ${CMAKE_CURRENT_BINARY_DIR}/bodies-arm)
  set(sources)
  foreach(source body_main.cpp ${BODY_CASES})
    list(APPEND sources ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  add_custom_command(OUTPUT ${arm}/body_arm
    COMMAND ${CMAKE_COMMAND} -E make_directory ${arm}
    COMMAND emit_bodies arm-neon ${arm}
    COMMAND ${GEMMAC_BODY_CLANG} --driver-mode=g++ --target=aarch64-linux-gnu -std=c++20 -O2
      -static -fuse-ld=lld -UNDEBUG -I${CMAKE_SOURCE_DIR} -I${CMAKE_BINARY_DIR} ${sources} ${arm}/table.cpp
      ${CMAKE_SOURCE_DIR}/targets/Formats.cpp ${CMAKE_SOURCE_DIR}/targets/Kernels.cpp ${CMAKE_SOURCE_DIR}/targets/Layouts.cpp
      ${CMAKE_SOURCE_DIR}/targets/DeviceKernels.cpp ${CMAKE_SOURCE_DIR}/targets/TowerKernels.cpp
      @${arm}/objects.rsp -o ${arm}/body_arm
    DEPENDS emit_bodies ${sources} body_cases.h body_data.h live_memory.h
    VERBATIM COMMENT "Linking the bodies' ARM test program")
  add_custom_target(body_arm DEPENDS ${arm}/body_arm)
  add_dependencies(body_kernels_test body_arm)
  target_compile_definitions(body_kernels_test PRIVATE
    BODY_ARM_COMMAND="${QEMU_AARCH64} ${arm}/body_arm")
endif()
