/* Calls one kernel on another machine: operands from a file, results to a file.
   Linked with the object of compileCallable (codegen/KernelJit.h). File, all
   little-endian: i64 buffers, i64 bytes of each, i64 pointers, i64 buffer of
   each
   (-1: null), i64 integers, i64 each, the buffers' contents. Result: the
   buffers' contents. `guard` bytes before a buffer are not shown to the kernel.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { guard = 64, most = 64 };

void gm_call(void **pointers, int32_t *integers);

static FILE *in;

static int64_t number(void) {
  int64_t value;
  if (fread(&value, sizeof value, 1, in) != 1)
    exit(3);
  return value;
}

int main(int argc, char **argv) {
  int64_t bytes[most];
  char *buffers[most];
  void *pointers[most];
  int32_t integers[most];
  if (argc != 3 || !(in = fopen(argv[1], "rb")))
    return 2;
  int64_t count = number();
  for (int64_t i = 0; i < count; ++i)
    bytes[i] = number();
  int64_t pointer_count = number();
  int64_t which[most];
  for (int64_t i = 0; i < pointer_count; ++i)
    which[i] = number();
  int64_t integer_count = number();
  for (int64_t i = 0; i < integer_count; ++i)
    integers[i] = (int32_t)number();
  for (int64_t i = 0; i < count; ++i) {
    buffers[i] = aligned_alloc(64, (size_t)(bytes[i] + 63) / 64 * 64);
    if (!buffers[i] ||
        fread(buffers[i], 1, (size_t)bytes[i], in) != (size_t)bytes[i])
      return 3;
  }
  for (int64_t i = 0; i < pointer_count; ++i)
    pointers[i] = which[i] < 0 ? NULL : buffers[which[i]] + guard;
  gm_call(pointers, integers);
  FILE *out = fopen(argv[2], "wb");
  if (!out)
    return 4;
  for (int64_t i = 0; i < count; ++i)
    if (fwrite(buffers[i], 1, (size_t)bytes[i], out) != (size_t)bytes[i])
      return 4;
  return fclose(out) ? 4 : 0;
}
