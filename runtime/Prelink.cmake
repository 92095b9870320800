# What programs are linked with, made once: folders lib/gemmac/FOLDER with
# runtime.o, which is a runtime and the libraries that it takes along in one
# relocatable file, the start files of libc, and shared libraries to link against.
# So gemmac needs no compiler, linker or cross package to make a program.
# GNU ld makes runtime.o: LLD's -r output loses .eh_frame.
set(GM_RUNTIME_FLAGS
  -std=c++20 -O2 -DNDEBUG -fPIC -fvisibility=hidden -fstack-protector-strong -ffp-contract=off -ffunction-sections -fdata-sections
  -Wall -Wextra -Wno-unused-parameter)

# Per architecture.
set(GM_TRIPLE_x86_64 x86_64-linux-gnu)
set(GM_TRIPLE_aarch64 aarch64-linux-gnu)
set(GM_FLAGS_x86_64 -march=x86-64)
set(GM_FLAGS_aarch64 -march=armv8-a)
set(GM_LD_x86_64 ld)
set(GM_LD_aarch64 aarch64-linux-gnu-ld)
set(GM_LOADER_x86_64 ld-linux-x86-64.so.2)
set(GM_LOADER_aarch64 ld-linux-aarch64.so.1)

# Per kind of program. STATIC takes libc along and needs nothing of its machine.
# DYNAMIC is for those that load a driver, which brings the machine's libc with
# it: two in one process crash. All but libc and libm comes along here, too.
# LIBRARY is for those that are a part of other programs: the same, but of the
# runtime only what the C API needs, whose functions alone are visible.
# ROOTS: what generated code and the start files may call of the archives.
set(GM_STARTS_STATIC rcrt1.o crti.o crtn.o crtbeginS.o crtendS.o)
set(GM_LIBC_STATIC libstdc++.a libgcc.a libgcc_eh.a libm.a libc.a)
set(GM_SHARED_STATIC)
set(GM_SOURCES_STATIC start.cpp)
set(GM_ROOTS_STATIC __libc_start_main _dl_relocate_static_pie memcpy memmove memset memcmp bcmp)
set(GM_STARTS_DYNAMIC Scrt1.o crti.o crtn.o crtbeginS.o crtendS.o)
set(GM_LIBC_DYNAMIC libstdc++.a libgcc.a libgcc_eh.a libc_nonshared.a)
set(GM_SHARED_DYNAMIC libc.so.6 libm.so.6)
set(GM_SOURCES_DYNAMIC libc_floor.cpp)
set(GM_ROOTS_DYNAMIC)
set(GM_STARTS_LIBRARY crti.o crtn.o crtbeginS.o crtendS.o)
set(GM_LIBC_LIBRARY ${GM_LIBC_DYNAMIC})
set(GM_SHARED_LIBRARY ${GM_SHARED_DYNAMIC})
set(GM_SOURCES_LIBRARY ${GM_SOURCES_DYNAMIC} lib/position.cpp)
set(GM_ROOTS_LIBRARY gemma_version)

# gemmac_runtime_objects(OBJECTS ARCH SOURCE...): compiles sources for ARCH.
function(gemmac_runtime_objects OBJECTS ARCH)
  gemmac_archives(${ARCH} ARCHIVES INCLUDES)
  list(TRANSFORM INCLUDES PREPEND -isystem)
  set(MADE)
  foreach(SOURCE ${ARGN})
    string(REPLACE ${CMAKE_CURRENT_BINARY_DIR}/ "" NAME ${SOURCE}) # of a source that is made
    set(OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${ARCH}/${NAME}.o)
    cmake_path(ABSOLUTE_PATH SOURCE)
    get_filename_component(FOLDER ${OBJECT} DIRECTORY)
    file(MAKE_DIRECTORY ${FOLDER})
    add_custom_command(
      OUTPUT ${OBJECT}
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${CMAKE_CXX_COMPILER} --target=${GM_TRIPLE_${ARCH}} ${GM_FLAGS_${ARCH}}
        ${GM_RUNTIME_FLAGS} -I${CMAKE_SOURCE_DIR} -I${CMAKE_BINARY_DIR} ${INCLUDES}
        -MD -MF ${OBJECT}.d -c ${SOURCE} -o ${OBJECT}
      DEPENDS ${SOURCE} ${MANIFEST_HEADER}
      DEPFILE ${OBJECT}.d
      COMMENT "Building ${NAME} for ${ARCH}"
      VERBATIM)
    list(APPEND MADE ${OBJECT})
  endforeach()
  set(${OBJECTS} ${MADE} PARENT_SCOPE)
endfunction()

# gemmac_files_of(PATHS ARCH FILE...): where the compiler finds files of libc and
# libstdc++ for ARCH.
function(gemmac_files_of PATHS ARCH)
  set(ALL)
  foreach(FILE ${ARGN})
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} --target=${GM_TRIPLE_${ARCH}} -print-file-name=${FILE}
      OUTPUT_VARIABLE FOUND OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT EXISTS ${FOUND})
      message(FATAL_ERROR "no ${FILE} for ${GM_TRIPLE_${ARCH}}: install its libc and libstdc++ (bootstrap does)")
    endif()
    list(APPEND ALL ${FOUND})
  endforeach()
  set(${PATHS} ${ALL} PARENT_SCOPE)
endfunction()

# gemmac_prelink(FOLDER ARCH KIND OBJECT...): makes lib/gemmac/FOLDER, the runtime
# out of the objects and what programs of KIND take along.
function(gemmac_prelink FOLDER ARCH KIND)
  find_program(GEMMAC_${ARCH}_LD ${GM_LD_${ARCH}} REQUIRED)
  set(OUT ${CMAKE_BINARY_DIR}/lib/gemmac/${FOLDER})
  gemmac_archives(${ARCH} ARCHIVES INCLUDES)
  gemmac_runtime_objects(OWN ${ARCH} ${GM_SOURCES_${KIND}})
  gemmac_files_of(LIBC ${ARCH} ${GM_LIBC_${KIND}})
  gemmac_files_of(STARTS ${ARCH} ${GM_STARTS_${KIND}})
  set(NAMES ${GM_SHARED_${KIND}})
  if(NAMES)
    list(APPEND NAMES ${GM_LOADER_${ARCH}})
  endif()
  gemmac_files_of(SHARED ${ARCH} ${NAMES})
  # What programs are linked against needs no more than its dynamic symbols.
  set(STRIP)
  foreach(LIBRARY ${SHARED})
    get_filename_component(NAME ${LIBRARY} NAME)
    if(NAME STREQUAL GM_LOADER_${ARCH})
      set(NAME ld-linux.so) # the same for every architecture
    endif()
    list(APPEND STRIP COMMAND ${LLVM_ROOT_DIR}/bin/llvm-strip --strip-all -o ${OUT}/${NAME} ${LIBRARY})
  endforeach()

  list(TRANSFORM GM_ROOTS_${KIND} PREPEND "-u;" OUTPUT_VARIABLE ROOTS)
  file(MAKE_DIRECTORY ${OUT})
  set(OBJECTS ${ARGN})
  set(PACK)
  set(HIDE)
  if(KIND STREQUAL LIBRARY)
    # No group may stay that the program's own code has, too: a linker keeps one
    # of each name. And what is not the API's is nobody's but the library's.
    set(OBJECTS --wrap=stderr --force-group-allocation ${CMAKE_CURRENT_BINARY_DIR}/${FOLDER}.a)
    set(PACK COMMAND ${CMAKE_COMMAND} -E rm -f ${CMAKE_CURRENT_BINARY_DIR}/${FOLDER}.a
      COMMAND ${LLVM_ROOT_DIR}/bin/llvm-ar rcs ${CMAKE_CURRENT_BINARY_DIR}/${FOLDER}.a ${ARGN})
    set(HIDE COMMAND ${LLVM_ROOT_DIR}/bin/llvm-objcopy --wildcard --keep-global-symbol=gemma_* ${OUT}/runtime.o
      COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/lib/gemma.h ${CMAKE_CURRENT_SOURCE_DIR}/lib/exports.map ${OUT})
  endif()
  add_custom_command(
    OUTPUT ${OUT}/runtime.o
    ${PACK}
    COMMAND ${GEMMAC_${ARCH}_LD} -r -S -o ${OUT}/runtime.o ${ROOTS} ${OBJECTS} ${OWN}
      --start-group ${ARCHIVES} ${LIBC} --end-group
    ${HIDE}
    COMMAND ${CMAKE_COMMAND} -E copy ${STARTS} ${OUT}
    ${STRIP}
    DEPENDS ${ARGN} ${OWN} ${CMAKE_CURRENT_SOURCE_DIR}/lib/gemma.h ${CMAKE_CURRENT_SOURCE_DIR}/lib/exports.map
    COMMENT "Prelinking the runtime in ${FOLDER}"
    COMMAND_EXPAND_LISTS
    VERBATIM)
  add_custom_target(gemmac_runtime_${FOLDER} ALL DEPENDS ${OUT}/runtime.o)
  add_dependencies(gemmac_runtimes gemmac_runtime_${FOLDER})
endfunction()
