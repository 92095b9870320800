# gemmac_prelink(ARCH TRIPLE LD FLAG...): builds lib/gemmac/ARCH, what programs
# of an architecture are linked with: runtime.o, which is the runtime with its
# codecs, libc and libstdc++ in one relocatable file, and the start files of libc. So
# gemmac needs no compiler, linker or cross package to make a program.
# GNU ld makes it: LLD's -r output loses .eh_frame.
set(GM_RUNTIME_FLAGS
  -std=c++20 -O2 -DNDEBUG -fPIE -fstack-protector-strong -ffp-contract=off -ffunction-sections -fdata-sections
  -Wall -Wextra -Wno-unused-parameter)
# What generated code and the start files may call.
set(GM_RUNTIME_ROOTS __libc_start_main _dl_relocate_static_pie memcpy memmove memset memcmp bcmp)

function(gemmac_prelink ARCH TRIPLE LD)
  find_program(GEMMAC_${ARCH}_LD ${LD} REQUIRED)
  set(OUT ${CMAKE_BINARY_DIR}/lib/gemmac/${ARCH})
  gemmac_codecs(${ARCH} ARCHIVES INCLUDES)
  list(TRANSFORM INCLUDES PREPEND -isystem)
  set(OBJECTS)
  foreach(SOURCE ${GM_CORE_SOURCES} ${GM_MEDIA_SOURCES} ${GM_APP_SOURCES} start.cpp)
    set(OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${ARCH}/${SOURCE}.o)
    get_filename_component(FOLDER ${OBJECT} DIRECTORY)
    file(MAKE_DIRECTORY ${FOLDER})
    add_custom_command(
      OUTPUT ${OBJECT}
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${CMAKE_CXX_COMPILER} --target=${TRIPLE} ${ARGN}
        ${GM_RUNTIME_FLAGS} -I${CMAKE_SOURCE_DIR} -I${CMAKE_BINARY_DIR} ${INCLUDES}
        -MD -MF ${OBJECT}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${SOURCE} -o ${OBJECT}
      DEPENDS ${SOURCE} ${MANIFEST_HEADER}
      DEPFILE ${OBJECT}.d
      COMMENT "Building ${SOURCE} for ${ARCH}"
      VERBATIM)
    list(APPEND OBJECTS ${OBJECT})
  endforeach()

  foreach(FILE rcrt1.o crti.o crtn.o crtbeginS.o crtendS.o libstdc++.a libgcc.a libgcc_eh.a libm.a libc.a)
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} --target=${TRIPLE} -print-file-name=${FILE}
      OUTPUT_VARIABLE FOUND OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT EXISTS ${FOUND})
      message(FATAL_ERROR "no ${FILE} for ${TRIPLE}: install its libc and libstdc++ (bootstrap does)")
    endif()
    if(FILE MATCHES "[.]a$")
      list(APPEND ARCHIVES ${FOUND})
    else()
      list(APPEND STARTS ${FOUND})
    endif()
  endforeach()

  list(TRANSFORM GM_RUNTIME_ROOTS PREPEND "-u;" OUTPUT_VARIABLE ROOTS)
  file(MAKE_DIRECTORY ${OUT})
  add_custom_command(
    OUTPUT ${OUT}/runtime.o
    COMMAND ${GEMMAC_${ARCH}_LD} -r -S -o ${OUT}/runtime.o ${ROOTS} ${OBJECTS}
      --start-group ${ARCHIVES} --end-group
    COMMAND ${CMAKE_COMMAND} -E copy ${STARTS} ${OUT}
    DEPENDS ${OBJECTS}
    COMMENT "Prelinking the runtime for ${ARCH}"
    COMMAND_EXPAND_LISTS
    VERBATIM)
  add_custom_target(gemmac_runtime_${ARCH} ALL DEPENDS ${OUT}/runtime.o)
  add_dependencies(gemmac_runtimes gemmac_runtime_${ARCH})
endfunction()
