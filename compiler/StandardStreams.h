// The standard streams of gemmac, gemma-opt and gemma-kernels, as shells give
// them: one may be closed, full or without a reader. Lost results are an error;
// lost messages change nothing. Must not know what is written.
#pragma once

#include <cstdio>
#include <string>

namespace gemmac {

// First in main. A closed stream becomes /dev/null, so that no file that is
// opened later takes its number. A limit of the size of files is an error of
// the write. What cannot be written to llvm::outs() ends the program with code
// 5 and a message that names `program`; what cannot be written to llvm::errs()
// is dropped.
void prepareStandardStreams(const char *program);

// Tells `text` on the standard error.
inline void say(const std::string &text) {
  fwrite(text.data(), 1, text.size(), stderr);
}

} // namespace gemmac
