// A model for tests of the runtime core, without a compiler: the "generated
// code" (gm_model) hashes what attention would read, through the same tiles,
// splits, page tables, partials and slot classes as real kernels. A wrong
// address, a missing page or a lost barrier changes the hash.
#pragma once

#include "runtime/gemma.h"
#include "runtime/manifest_generated.h"
#include "test/runtime/fake_numbers.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace fake {

using Change = std::function<void(gemmac::manifest::ProgramT &)>;

// The bytes of a program file behind `code`, the ELF part. `change` edits the
// manifest before it is written.
std::string program_bytes(const Change &change = nullptr,
                          std::string code = "E");
// The same of a program for a card.
std::string device_program_bytes(const Change &change = nullptr,
                                 std::string code = "E");
// Puts weights of several formats around the PLE table, and the table, into a
// manifest that says nothing of them.
void add_weights(gemmac::manifest::ProgramT &program);
// Of an external weight file.
std::string weights_bytes(const std::string &id);

// After a change of trailer or manifest: the checksum that fits them, if the
// manifest lies inside.
void seal(std::string &file);
void write_file(const std::string &path, const std::string &bytes);

// Final hidden state of the last of `ids` (positions from 0), by plain loops.
std::vector<float> expected_hidden(const std::vector<int32_t> &ids);
float expected_logit(const float *hidden, int id);

// What the segments found wrong since the last call; empty if nothing.
std::string complaints();

} // namespace fake
