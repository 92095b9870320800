/* The contract between generated code and the runtime. C, included by both
 * sides; with manifest.fbs and tokenizer_blob.h nothing else is shared. All
 * targets are 64-bit little endian, so offsets of gm_ctx are the same
 * everywhere.
 *
 * A step is a set of rows (tokens), each at position pos of sequence slot.
 * Rows of one slot stand together, in ascending consecutive positions. Step
 * arrays are immutable during a step, pages of live positions are mapped, and
 * rows >= 1. A segment cannot fail: everything is checked before the step. */
#ifndef GEMMAC_RUNTIME_ABI_H
#define GEMMAC_RUNTIME_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this file, manifest.fbs and tokenizer_blob.h together. */
#define GM_ABI 8

enum {
  GM_PAGE_KEYS = 64,   /* keys of a cache page */
  GM_SPLIT_KEYS = 256, /* keys of an attention split */
  GM_TILE_ROWS = 16,   /* most rows of a tile */
  GM_FEW_ROWS = 8,     /* most rows of the row class few */
  GM_TOP = 64,         /* results per row of `top` */
  GM_SLOT_ALIGN = 64,  /* of places in the arena and of pools */
  /* Stack of a worker. Generated code keeps each frame below 3/4 of it. */
  GM_STACK_BYTES = 1 << 20
};
enum { GM_LOCAL = 0, GM_GLOBAL = 1 }; /* sliding and global layers */

/* The segments of a step, and those that make soft rows of one picture or one
 * sound: `patches` encodes the patches of a picture, `image` makes soft rows of
 * them (or of the pixels, in models without a vision tower), `audio` makes soft
 * rows of a sound. X(name, mask): name as in gm_entry, mask as in GM_IO_LIST.
 */
#define GM_SEGMENT_LIST(X)                                                     \
  X(body, GM_BODY)                                                             \
  X(tail, GM_TAIL)                                                             \
  X(top, GM_HEAD)                                                              \
  X(logits, GM_LOGITS)                                                         \
  X(patches, GM_PATCHES)                                                       \
  X(image, GM_IMAGE)                                                           \
  X(audio, GM_AUDIO)
enum {
  GM_BODY = 1,
  GM_TAIL = 2,
  GM_HEAD = 4,
  GM_LOGITS = 8,
  GM_PATCHES = 16,
  GM_IMAGE = 32,
  GM_AUDIO = 64
};

/* The arrays that segments read and write. X(name, element, rank, inner,
 * readers, writers): gm_ctx::io[GM_IO_<name>] is its address; `element` f32,
 * i32 or any; dimension 0 is rows of the step, `inner` the size of dimension 1
 * (0: the model's); readers and writers are segments. Kernels get what a
 * segment reads as inputs and write what it writes as results.
 *
 * ids            token of each row; 0 of a row that takes a soft row
 * rope_*         [rows][pairs][2] cos, sin
 * ple            gathered per-layer-embedding rows of this segment's layers
 * tile           the step's tiles (gm_tile)
 * split_*        the splits (gm_split), for the class few only
 * parts_*        per row: splits of its tile
 * want           per row of the tail: its row in the body
 * resid          [rows][D] residuals, rows rowStride(f32, D) apart
 * hidden         [rows][D] after the final norm
 * mask           [rows][ceil(V / 32)] allowed ids, or null: all
 * best           one number: how many results are wanted, 1 .. GM_TOP
 * top_ids        [rows][GM_TOP], -1 where there are fewer; more than `best` of
 *                them may be given
 * top_values     [rows][GM_TOP] softcapped logits, descending
 * logits         [rows][V] softcapped, rows rowStride(f32, V) apart
 * soft_row       per row: the one of `soft` that it takes, or -1
 * soft           [n][D] what encoders of images and sound made, rows
 *                rowStride(f32, D) apart; may be null if no row takes one
 * end            per row: one past the last position of its block of images,
 *                all of whose rows see each other on sliding layers, or 0; the
 *                rows of a block are in one step and have equal ends
 *
 * Of pictures; those of `patches` stand in the order of their cells (3 x 3
 * patches, the cells row by row, the patches in a cell likewise):
 * pixels         [rows][height][width][3] of a patch, 0 .. 1; in `image`, of
 *                models without a vision tower, of a cell
 * position       [rows][2] column and row of the patch (of the cell)
 * rope_patch     [rows][pairs][2] cos, sin; the first half of the pairs by
 *                column, the second by row
 * encoded        [9 rows of `image`][tower width], rows rowStride(f32) apart
 *
 * Of sounds; a row is four frames (in models without an audio tower one):
 * features       [rows][4][128] log-mel, 0 where a frame is not real; or
 *                [rows][640] samples, 0 behind the last
 * frames         per row: its real frames, 1 .. 4 */
#define GM_IO_LIST(X)                                                          \
  X(ids, i32, 1, 0, GM_BODY | GM_TAIL, 0)                                      \
  X(rope_local, f32, 3, 0, GM_BODY | GM_TAIL, 0)                               \
  X(rope_global, f32, 3, 0, GM_BODY | GM_TAIL, 0)                              \
  X(ple, any, 2, 0, GM_BODY | GM_TAIL, 0)                                      \
  X(tile, i32, 2, 4, GM_BODY | GM_TAIL | GM_PATCHES, 0)                        \
  X(split_local, i32, 2, 4, GM_BODY | GM_TAIL, 0)                              \
  X(split_global, i32, 2, 4, GM_BODY | GM_TAIL, 0)                             \
  X(parts_local, i32, 1, 0, GM_BODY | GM_TAIL, 0)                              \
  X(parts_global, i32, 1, 0, GM_BODY | GM_TAIL, 0)                             \
  X(want, i32, 1, 0, GM_TAIL, 0)                                               \
  X(resid, f32, 2, 0, GM_TAIL, GM_BODY)                                        \
  X(hidden, f32, 2, 0, GM_HEAD | GM_LOGITS, GM_TAIL)                           \
  X(mask, i32, 2, 0, GM_HEAD, 0)                                               \
  X(best, i32, 1, 0, GM_HEAD, 0)                                               \
  X(top_ids, i32, 2, GM_TOP, 0, GM_HEAD)                                       \
  X(top_values, f32, 2, GM_TOP, 0, GM_HEAD)                                    \
  X(logits, f32, 2, 0, 0, GM_HEAD | GM_LOGITS)                                 \
  X(soft_row, i32, 1, 0, GM_BODY | GM_TAIL, 0)                                 \
  X(soft, f32, 2, 0, GM_BODY | GM_TAIL, GM_IMAGE | GM_AUDIO)                   \
  X(end, i32, 1, 0, GM_BODY | GM_TAIL, 0)                                      \
  X(pixels, f32, 2, 0, GM_PATCHES | GM_IMAGE, 0)                               \
  X(position, i32, 2, 2, GM_PATCHES | GM_IMAGE, 0)                             \
  X(rope_patch, f32, 3, 0, GM_PATCHES, 0)                                      \
  X(encoded, f32, 2, 0, GM_IMAGE, GM_PATCHES)                                  \
  X(features, f32, 2, 0, GM_AUDIO, 0)                                          \
  X(frames, i32, 1, 0, GM_AUDIO, 0)

#define GM_IO_INDEX(name, ...) GM_IO_##name,
enum { GM_IO_LIST(GM_IO_INDEX) GM_IOS };
#undef GM_IO_INDEX

/* Rows [row0, row0 + rows) of the step: one slot, consecutive positions from
 * pos0, not crossing a multiple of GM_TILE_ROWS. */
typedef struct gm_tile {
  int32_t row0, rows, slot, pos0;
} gm_tile;

/* Absolute keys [key0, key1) of a tile's slot, inside one multiple of
 * GM_SPLIT_KEYS: those that at least one of its rows sees. `part` counts the
 * tile's splits of this kind from 0. */
typedef struct gm_split {
  int32_t tile, key0, key1, part;
} gm_split;

typedef struct gm_ctx {
  int32_t abi; /* GM_ABI */
  int32_t workers;
  int32_t rows; /* of this step */
  int32_t
      max_rows; /* C' = most rows, a multiple of 8: scale of the class `row` */
  int32_t max_splits; /* most splits of a row: scale of the class `key` */
  int32_t tiles;
  int32_t splits[2]; /* local, global; used by class few only */

  /* workers + 1 cut points, 0 .. 65536: worker w computes the units
   * [n * cut[w] >> 16, n * cut[w + 1] >> 16) of n. */
  const uint32_t *cut;

  const uint8_t *weights; /* the weight section */
  uint8_t *worker; /* class `worker`: worker + w * worker_stride + offset */
  uint8_t *row;    /* class `row`: row + offset * max_rows */
  uint8_t *key;    /* class `key`: key + offset * GM_FEW_ROWS * max_splits, then
                      [row][part] */
  int64_t worker_stride;

  /* Page pools of local and global caches. Pool of a cache: cache[kind] +
   * offset * pool_pages[kind], K first. */
  uint8_t *cache[2];
  int64_t pool_pages[2];
  /* Page of position p of slot s: page[kind][s * page_stride[kind] + p / 64].
   */
  const int32_t *page[2];
  int32_t page_stride[2];

  void *io[GM_IOS]; /* arrays of GM_IO_LIST */

  void (*barrier)(struct gm_ctx *, int32_t worker);
  /* Called in front of every kernel call with its index in gm_program::call,
   * and at a segment's end with -1: for measurements; never null. */
  void (*mark)(struct gm_ctx *, int32_t worker, int32_t call);
  /* Programs for devices alone, whose segments call it instead of kernels (and
   * no barrier: launches run one after the other): runs `units` times the
   * run-time factor of the axis units of gm_program::kernel[kernel]; `kind` as
   * of the caches, of axis splits. `parameters`: 8 bytes each, addresses as of
   * this context; of gm_ctx it is the context's own address. */
  void (*launch)(struct gm_ctx *, int32_t kernel, int32_t axis, int32_t kind,
                 int32_t units, const uint64_t *parameters);
} gm_ctx;

typedef void gm_segment(gm_ctx *, int32_t worker);

/* How a call's units are divided. all: every worker computes all rows; one:
 * worker 0 does. */
enum {
  GM_BLOCKS = 0,
  GM_ROWS = 1,
  GM_TILES = 2,
  GM_SPLITS = 3,
  GM_ALL = 4,
  GM_ONE = 5
};

/* What a kernel call reads and computes, for measurements; equal calls of
 * different layers share one. */
typedef struct gm_work {
  int64_t bytes;  /* of weights, read once per step */
  int64_t ops;    /* multiply-adds with weights, per row */
  int32_t family; /* offset in gm_program::names */
  /* Not 0: a row reads only this much of the weights (experts, embeddings). */
  int32_t row_bytes;
  int32_t key_bytes[2]; /* of K and V, per key that a row sees; local, global */
  int32_t units, axis;  /* units: times rows, tiles, splits (of the kind that
                           key_bytes names) by the axis */
} gm_work;

typedef struct gm_call {
  int32_t work; /* index in gm_program::work */
  int32_t on;   /* offset in gm_program::names: the weight or cache, or "" */
} gm_call;

/* A kernel of a device: an entry of the images called
 * gm_program::kernel_names + name with `parameters` parameters, of which bit i
 * of `addresses` says that number i is an address (8 bytes), else it is an i32.
 * The thread block (x, y) of `threads` threads and `shared` bytes of dynamic
 * shared memory computes units [x * units, (x + 1) * units) of those launched,
 * of rows [y * rows, (y + 1) * rows) or, `rows` being 0, of all rows, and there
 * is no y but 0; of `rows` < 0, -rows blocks share a row: y / -rows. Blocks may
 * be launched beyond the last unit and row of the step: they do nothing. */
typedef struct gm_kernel {
  int32_t name, threads, shared, units, rows, parameters;
  uint64_t addresses;
} gm_kernel;

/* All kernels in one form: PTX, a text that ends in 0 (sm 0), or the machine
 * code of compute capability sm / 10. */
typedef struct gm_image {
  int32_t sm;
  int64_t bytes;
  const uint8_t *data;
} gm_image;

/* What kernels of a device get as gm_ctx: the numbers of the step. */
typedef struct gm_numbers {
  int32_t abi, workers, rows, max_rows, max_splits, tiles, splits[2];
} gm_numbers;

/* One of GM_SEGMENT_LIST. `few` computes up to GM_FEW_ROWS rows and is the
 * faster one up to few_rows; `many` any number up to the context's max_rows.
 * Both give the same bits. */
typedef struct gm_entry {
  const char *name;
  gm_segment *few, *many;
  int32_t few_rows;
  int32_t few_calls[2], many_calls[2]; /* [first, end) in gm_program::call */
} gm_entry;

typedef struct gm_program {
  int32_t abi, entries;
  const gm_entry *entry;
  const gm_call *call;
  const gm_work *work;
  const char *names;
  /* Of programs for devices; else 0 and null. */
  int32_t kernels;
  const gm_kernel *kernel;
  const char *kernel_names; /* gm_kernel::name is an offset in them */
  const gm_image *image;    /* the last is followed by one without data */
} gm_program;

/* The one symbol that generated code defines for the runtime. */
extern const gm_program gm_model;

#ifdef __cplusplus
}
#endif

#endif
