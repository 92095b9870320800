// What a step or a tower takes to the card and brings back: the numbers of its
// contexts, the arrays that segments read and the core writes, page tables of
// its slots, masks; results. Must not know kernels or graphs.
#pragma once

#include "runtime/core/backend.h"
#include "runtime/core/tower_sizes.h"
#include "runtime/cuda/addresses.h"
#include "runtime/cuda/card.h"
#include "runtime/cuda/copies.h"

#include <vector>

namespace gm {

class Transfers {
public:
  Transfers() = default;
  Transfers(const Transfers &) = delete;
  Transfers &operator=(const Transfers &) = delete;
  ~Transfers();

  // Bytes of pinned memory; device memory is not more.
  static uint64_t bytes(const File &file, const Plan &plan);

  // `pinned`: device address less host address of what of the allocation is
  // registered; `addresses` names the allocation. Card, addresses and what
  // `setup` refers to must outlive this.
  Status allocate(const Card &card, const Setup &setup,
                  const Addresses &addresses, uint64_t pinned, CUstream stream);

  // Of the calls: GM_BODY ..; 0: it is no segment of the program.
  int32_t segment_of(const Call &call) const;
  // Fills both tables with what the calls need.
  Status fill(const Call *calls, int count);
  // What only a context names: itself (gm_numbers), its mask, its `best`; 0:
  // `address` is none of these.
  uint64_t find(const gm_ctx &ctx, uint64_t address) const;

  // Device addresses, as parameters of the kernel that copies.
  uint64_t uploads() const { return up_table; }
  uint64_t downloads() const { return down_table; }
  uint64_t counter() const;
  // Whether the results of the last `fill` are there.
  bool done() const;

private:
  enum { CONTEXTS = 8 };
  // `mirrored`: numbers, `best` and masks, which host and device have at equal
  // offsets; between them, here the number of the last step that has ended,
  // there the counter of the blocks that bring its results.
  struct Sizes {
    uint64_t entries, table, mask, mirrored;
    uint64_t all() const { return 2 * table + mirrored; }
  };
  static Sizes sizes_of(const File &file, const Plan &plan);

  int context_of(const gm_ctx *ctx) const; // null: one that is free; or -1
  Status add_inputs(const gm_ctx &ctx, int32_t segments);
  void add_pages(const gm_ctx &ctx);
  void add_mask(const gm_ctx &ctx);
  void add_results(const gm_ctx &ctx, int32_t segments);
  uint64_t row_bytes(int io, int32_t segments) const;
  void upload(const void *from, uint64_t bytes);
  void download(void *to, uint64_t bytes);

  const Card *card = nullptr;
  const File *file = nullptr;
  const gm_program *program = nullptr;
  const Plan *plan = nullptr;
  const Addresses *addresses = nullptr;
  uint64_t pinned = 0;
  Sizes sizes = {};
  uint8_t *memory = nullptr; // both tables, then what is mirrored
  uint64_t memory_on_device = 0;
  uint64_t up_table = 0, down_table = 0;
  CUdeviceptr mirror = 0;
  CopyTable up, down;
  bool full = false;
  const gm_ctx *contexts[CONTEXTS] = {};
  uint64_t ple_bytes[2] = {}; // of a row of body, of tail
  TowerSizes towers;
  std::vector<uint64_t> sent; // of each slot: the step that took its pages
  uint64_t step = 0;
};

} // namespace gm
