// What gemmac does with its options: the stages one after the other, each
// printable, then code, packing and linking.
#pragma once

#include "support/Result.h"

#include <string>

namespace gemmac {

struct DriverOptions {
  std::string input;  // checkpoint folder or .gguf file
  std::string output; // -o; "-" = standard output (text only); empty: default
  std::string target = "host";
  std::string quant = "auto";
  std::string quantMap; // file; empty: none
  bool requantize = false;
  std::string cacheType = "auto";
  std::string weights = "embedded";  // or external, none
  bool rehash = false;               // external: reused by their contents only
  std::string name;                  // of the model; empty: the checkpoint's
  std::string chatTemplate = "auto"; // or none, small, large
  std::string mmproj; // file of a GGUF model's towers; empty: found by name
  bool noVision = false, noAudio = false; // leave the tower out
  std::string compileFrom; // file of a stage's text to go on from; empty: none
  std::string compileTo;   // stage to stop after and print; empty: none
  std::string emit;        // llvm, asm, obj, lib, static-lib; empty: a program
  std::string ptxas;       // file or none; empty: looked for
  std::string dumpTo;      // folder for every stage and kernel; empty: none
  std::string verify;      // text to run the program on; empty: none
  int threads = 0;         // 0: one per usable core
  bool symbols = false;    // keep the names of kernels
  bool inspect = false;    // print what the checkpoint is, compile nothing
  bool json = false;       // of inspect
  bool remarks = false;
  bool verbose = false, timeReport = false;
  bool quiet = false;
};

// Runs the compiler; diagnostics and progress go to standard error. Nothing is
// left behind on failure.
ExitCode runDriver(const DriverOptions &options);

} // namespace gemmac
