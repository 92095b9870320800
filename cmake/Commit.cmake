# Writes the commit of SOURCE as a macro into OUTPUT, which changes only when the
# commit does. Run by every build; a tree without git has no commit.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=10 --exclude=*
  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define GEMMAC_COMMIT \"@COMMIT@\"\n" @ONLY)
