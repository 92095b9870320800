# Static archives of Debian that programs carry, the same for every architecture
# of theirs: what media/decode_*.cpp decode pictures and sounds with, to which the
# header of miniaudio belongs, and what serve/sandbox.cpp shuts a server in with.
set(GM_ARCHIVES libseccomp.a libpng16.a libz.a libjpeg.a libwebpdemux.a libwebp.a libgif.a libvorbisfile.a libvorbis.a libogg.a)
set(GM_MINIAUDIO ${CMAKE_SOURCE_DIR}/.deps/miniaudio)
if(NOT EXISTS ${GM_MINIAUDIO}/miniaudio.h)
  message(FATAL_ERROR "no miniaudio.h in .deps/miniaudio: run ./bootstrap setup")
endif()

# gemmac_archives(ARCH ARCHIVES INCLUDES): the archives of an architecture and the
# folders of their headers.
function(gemmac_archives ARCH ARCHIVES INCLUDES)
  set(ROOT)
  if(NOT ARCH STREQUAL x86_64)
    set(ROOT ${CMAKE_SOURCE_DIR}/.deps/arm64)
  endif()
  set(FOUND)
  foreach(NAME ${GM_ARCHIVES})
    set(PATH ${ROOT}/usr/lib/${ARCH}-linux-gnu/${NAME})
    if(NOT EXISTS ${PATH})
      message(FATAL_ERROR "no ${PATH}: run ./bootstrap setup")
    endif()
    list(APPEND FOUND ${PATH})
  endforeach()
  set(${ARCHIVES} ${FOUND} PARENT_SCOPE)
  set(FOLDERS ${GM_MINIAUDIO})
  if(ROOT)
    list(APPEND FOLDERS ${ROOT}/usr/include ${ROOT}/usr/include/${ARCH}-linux-gnu)
  endif()
  set(${INCLUDES} ${FOLDERS} PARENT_SCOPE)
endfunction()
