// See cuda_fake_model.h.
#include "test/runtime/cuda_fake_model.h"
#include "test/runtime/fake_numbers.h"

#include <initializer_list>
#include <iterator>

asm(".section .rodata\n"
    ".globl fake_ptx\n"
    "fake_ptx: .incbin \"" GEMMAC_FAKE_KERNELS "\"\n"
    ".byte 0\n"
    ".text\n");

namespace fake {

int recorded[GM_LOGITS + 1];
bool fault;

const gm_kernel device_kernels[KERNELS] = {
    // name, threads, shared, units, rows, parameters, addresses
    {0, 32, 0, 1, 0, 12, 0x1FF},    {10, 32, 0, 1, 0, 10, 0x3F},
    {26, 32, 50000, 2, 0, 9, 0x1F}, {43, 32, 0, 32, 0, 15, 0xFFF},
    {53, 32, 0, 32, 0, 7, 0x1F},    {65, 32, 0, 1, 0, 7, 0x1F},
    {74, 32, 0, 1, 0, 3, 0x1}};

namespace {

template <typename... T>
void launch(gm_ctx *c, int kernel, int axis, int kind, int units, T... args) {
  const uint64_t parameters[] = {
      uint64_t(args)..., 0, uint64_t(axis == GM_BLOCKS ? units : INT32_MAX)};
  c->launch(c, kernel, axis, kind, units, parameters);
}

uint8_t *partials(gm_ctx *c, int kind) {
  return c->key + int64_t(kind) * 8 * GM_FEW_ROWS * c->max_splits;
}
uint8_t *sums(gm_ctx *c, int kind) {
  return c->row + int64_t(kind) * 64 * c->max_rows;
}

void body(gm_ctx *c, int32_t) {
  ++recorded[GM_BODY];
  c->mark(c, 0, 0);
  if (fault)
    launch(c, FAULT, GM_ONE, 0, 1, c->cache[0]);
  launch(c, BODY, GM_TILES, 0, 1, c, c->io[GM_IO_ids], c->io[GM_IO_tile],
         c->io[GM_IO_ple], c->cache[0], c->cache[1], c->page[0], c->page[1],
         c->io[GM_IO_resid], c->page_stride[0]);
  c->mark(c, 0, -1);
}

void finish(gm_ctx *c, bool few) {
  ++recorded[GM_TAIL];
  auto sum = few ? partials : sums;
  launch(c, TAIL, GM_ROWS, 0, 1, c, c->io[GM_IO_ids], c->io[GM_IO_want],
         c->io[GM_IO_ple], sum(c, 0), sum(c, 1), c->io[GM_IO_parts_local],
         c->io[GM_IO_parts_global], c->io[GM_IO_rope_local],
         c->io[GM_IO_rope_global], c->io[GM_IO_resid], c->io[GM_IO_hidden],
         few);
}

void tail_few(gm_ctx *c, int32_t) {
  for (int kind : {0, 1})
    launch(c, ATTEND_FEW, GM_SPLITS, kind, 1, c, c->io[GM_IO_tile],
           c->io[GM_IO_split_local + kind], c->cache[kind], c->page[kind],
           partials(c, kind), kind, c->page_stride[kind]);
  finish(c, true);
}

void tail_many(gm_ctx *c, int32_t) {
  for (int kind : {0, 1})
    launch(c, ATTEND_MANY, GM_TILES, 0, 1, c, c->io[GM_IO_tile], c->cache[kind],
           c->page[kind], sums(c, kind), kind, c->page_stride[kind]);
  finish(c, false);
}

void logits(gm_ctx *c, int32_t) {
  ++recorded[GM_LOGITS];
  launch(c, LOGITS, GM_BLOCKS, 0, fake::VOCAB, c, c->io[GM_IO_hidden],
         c->weights + FIRST, c->weights + LAST, c->io[GM_IO_logits]);
}

void top(gm_ctx *c, int32_t w) {
  logits(c, w);
  ++recorded[GM_HEAD];
  launch(c, TOP, GM_ROWS, 0, 1, c, c->io[GM_IO_logits], c->io[GM_IO_mask],
         c->io[GM_IO_top_ids], c->io[GM_IO_top_values]);
}

const char names[] = "fake_body\0fake_attend_few\0fake_attend_many\0fake_tail\0"
                     "fake_logits\0fake_top\0fake_fault";
const gm_entry entries[] = {{"body", body, body, 8, {0, 1}, {0, 0}},
                            {"tail", tail_few, tail_many, 8, {0, 0}, {0, 0}},
                            {"top", top, top, 2, {0, 0}, {0, 0}},
                            {"logits", logits, logits, 8, {0, 0}, {0, 0}}};
const gm_call calls[] = {{0, 0}};
const gm_work works[] = {{0, 0, 1, 0, {0, 0}, 1, GM_TILES}}; // "keys"

} // namespace

gm_program device_program(const gm_image *images) {
  return {.abi = GM_ABI,
          .entries = 4,
          .entry = entries,
          .call = calls,
          .work = works,
          .names = "\0keys",
          .kernels = KERNELS,
          .kernel = device_kernels,
          .kernel_names = names,
          .image = images};
}

} // namespace fake
