// `gemmac doctor`: what this machine compiles for and runs, what is missing and
// how to get it. Asks those who use a thing whether it is there (the linker for
// its files, the runtime for cards, memory and CPU features), so that both say
// the same. Changes nothing. Must not know MLIR.
#pragma once

#include "targets/Target.h"

#include <string>
#include <vector>

namespace gemmac {

struct DoctorOptions {
  std::string output; // a program that shall be made; empty: here
  bool json = false;
};

// What is asked besides targets. Broken: gemmac cannot make a program for this
// machine. Missing: something that not everybody wants is not there.
struct Check {
  enum class State { Ok, Missing, Broken };
  std::string name;
  State state = State::Ok;
  std::string found;  // what is there, or what is wrong with it
  std::string advice; // what to do; empty where nothing is to be done
};

// Whether programs and libraries for a target can be made here, and run.
struct TargetCheck {
  const Target *target = nullptr;
  bool host = false;      // what --target=host means
  std::string cannotMake; // why not; empty: they can
  std::string noLibrary;  // why no libraries can; empty: they can
  bool runs = false;      // as they are
  std::string runsBy;     // an emulator that runs them; empty: none
  std::string cannotRun;  // why they do not run as they are
};

struct Diagnosis {
  std::vector<TargetCheck> targets;
  std::vector<Check> checks;
  bool works() const; // gemmac makes programs for this machine
};

Diagnosis examine(const DoctorOptions &options);

// For people, and as one JSON object.
std::string diagnosisText(const Diagnosis &diagnosis);
std::string diagnosisJson(const Diagnosis &diagnosis);

} // namespace gemmac
