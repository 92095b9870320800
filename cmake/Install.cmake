# What `cmake --install build --prefix P` puts where: a compiler that needs
# nothing of this tree, in the folders that GNU names, and that can be moved as a
# whole. `ninja -C build package` makes a Debian package of the same
# (cmake/Debian.cmake). Included at the end, when all targets are there.
include(GNUInstallDirs)

# lib/gemmac, and not the library folder of the machine: gemmac finds it beside
# its own folder (compiler/Installed.h), and Halide lies in it (CMAKE_INSTALL_RPATH).
install(TARGETS gemmac gemma-opt gemma-kernels RUNTIME DESTINATION bin)
install(DIRECTORY ${CMAKE_BINARY_DIR}/lib/gemmac DESTINATION lib)
install(IMPORTED_RUNTIME_ARTIFACTS Halide::Halide LIBRARY DESTINATION lib/gemmac)

# Documents keep their places to each other, so that links in them hold.
install(FILES README.md LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
install(FILES ${Halide_LICENSE} DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME LICENSE.Halide)

# Manual pages and completions, written by the programs of their own flags.
set(PAGES)
function(gemmac_page PROGRAM FLAG FILE FOLDER)
  set(PAGE ${CMAKE_BINARY_DIR}/pages/${FILE})
  add_custom_command(
    OUTPUT ${PAGE}
    COMMAND ${PROGRAM} ${FLAG} > ${PAGE}
    DEPENDS ${PROGRAM}
    VERBATIM)
  list(APPEND PAGES ${PAGE})
  set(PAGES ${PAGES} PARENT_SCOPE)
  install(FILES ${PAGE} DESTINATION ${FOLDER})
endfunction()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/pages)
foreach(PROGRAM gemmac gemma-kernels)
  gemmac_page(${PROGRAM} --man ${PROGRAM}.1 ${CMAKE_INSTALL_MANDIR}/man1)
  gemmac_page(${PROGRAM} --completions=bash ${PROGRAM} ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  gemmac_page(${PROGRAM} --completions=zsh _${PROGRAM} ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  gemmac_page(${PROGRAM} --completions=fish ${PROGRAM}.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endforeach()
add_custom_target(gemmac_pages ALL DEPENDS ${PAGES})

# The package: LLVM and MLIR are packages of Debian 12 (its security suite has
# them), Halide is none and travels. A test compares the packages named here with
# the owners of the libraries that the programs name; dpkg-shlibdeps would do so,
# too, but takes minutes for the symbols of LLVM, MLIR and Halide.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gemmac)
set(CPACK_PACKAGE_CONTACT "the gemmac authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "ahead-of-time compiler for Gemma 4 models")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "Takes a checkpoint of a Gemma 4 model (a Hugging Face folder or a GGUF file)
and makes one native program of it, which holds code, packed weights,
tokenizer and a small runtime and needs nothing else to run.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 0)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
string(CONCAT CPACK_DEBIAN_PACKAGE_DEPENDS
  "libc6 (>= 2.36), libfmt9 (>= 9.1), libgcc-s1 (>= 12), libstdc++6 (>= 12), libzstd1 (>= 1.5), zlib1g (>= 1:1.2), "
  "libllvm${LLVM_VERSION_MAJOR} (>= 1:${LLVM_PACKAGE_VERSION}), libmlir-${LLVM_VERSION_MAJOR} (>= 1:${LLVM_PACKAGE_VERSION})")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "qemu-user, nvidia-cuda-toolkit")
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/Debian.cmake)
include(CPack)
