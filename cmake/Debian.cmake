# Run by cpack on the files of the Debian package before they are packed: what
# Debian wants in other places, or in another form, than `cmake --install`.
set(SHARE ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share)

# Where Debian's zsh looks in /usr.
file(RENAME ${SHARE}/zsh/site-functions ${SHARE}/zsh/vendor-completions)

file(GLOB PAGES ${SHARE}/man/man1/*.1)
execute_process(COMMAND gzip -9n ${PAGES} COMMAND_ERROR_IS_FATAL ANY)

# One file says under what licences the files stand.
set(DOC ${SHARE}/doc/gemmac)
file(READ ${DOC}/NOTICE NOTICE)
file(READ ${DOC}/LICENSE.Halide HALIDE)
file(WRITE ${DOC}/copyright "${NOTICE}
The Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.

lib/gemmac/libHalide.so:

${HALIDE}")
