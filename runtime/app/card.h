// The fidelity card: what storing has changed in every group of tensors, and
// what `gemmac --verify` has measured; from the manifest alone.
#pragma once

#include "runtime/app/json.h"
#include "runtime/gemma.h"

namespace gm {

// As tables for people.
void print_card(const gemmac::manifest::Program &program);
// As member "card" of an object.
void add_card(Json &json, const gemmac::manifest::Program &program);
// As member "fidelity": an object, or null if the program was not verified.
void add_fidelity(Json &json, const gemmac::manifest::Program &program);

} // namespace gm
