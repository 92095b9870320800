// The kernels that measure a card: reads of memory, int8 products on tensor
// cores, nothing at all.
#pragma once

namespace gm {

// Each has PROBE_THREADS threads a block and gives its results a use that never
// happens: a store to `result`, a u64 address, if they are one certain number.
enum { PROBE_THREADS = 256 };
// Parameters: u64 address, u64 number of 16-byte words, which 4 x the threads
// of the grid divide, result.
extern const char PROBE_READ_NAME[];
// Parameters: u32 rounds, at least 1, of PROBE_PRODUCTS mma.m16n8k32 in each
// warp; result.
extern const char PROBE_INT8_NAME[];
enum { PROBE_PRODUCTS = 8, PROBE_PRODUCT_OPS = 2 * 16 * 8 * 32 };
// No parameters.
extern const char PROBE_NOTHING_NAME[];
extern const char PROBE_PTX[];

} // namespace gm
