// See kernels.h.
#include "runtime/cuda/kernels.h"
#include "runtime/cuda/copies.h"

#include <cstring>

namespace gm {

namespace {

enum { LOG_BYTES = 4096, PLAIN_SHARED = 48 << 10 };

// The machine code that runs on `sm`: of the same generation and not of a later
// card, the latest such; else null.
const gm_image *machine_code(const gm_program &program, int sm) {
  const gm_image *best = nullptr;
  for (const gm_image *i = program.image; i && i->data; ++i)
    if (i->sm / 10 == sm / 10 && i->sm <= sm && (!best || i->sm > best->sm))
      best = i;
  return best;
}

const gm_image *ptx(const gm_program &program) {
  for (const gm_image *i = program.image; i && i->data; ++i)
    if (i->sm == 0)
      return i;
  return nullptr;
}

} // namespace

Kernels::~Kernels() {
  if (programs)
    card->driver->cuModuleUnload(programs);
}

Status Kernels::load_image(const void *image, CUmodule &module,
                           char *log) const {
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(uintptr_t(LOG_BYTES))};
  log[0] = 0;
  CUresult error =
      card->driver->cuModuleLoadDataEx(&module, image, 2, options, values);
  if (error)
    module = nullptr;
  return card->check(error, "load the kernels");
}

Status Kernels::load_program(const gm_program &program) {
  char log[LOG_BYTES];
  const gm_image *code = machine_code(program, card->facts.sm),
                 *text = ptx(program);
  if (code && load_image(code->data, programs, log).ok())
    return {};
  if (!text)
    return failure(MACHINE,
                   "this program has no kernels for compute capability %d.%d "
                   "(%s) that the driver takes, and no PTX",
                   card->facts.sm / 10, card->facts.sm % 10, card->facts.name);
  Status s = load_image(text->data, programs, log);
  if (s.ok() || !log[0])
    return s;
  log[strcspn(log, "\n")] = 0;
  return failure(s.code, "%.300s: %.180s", s.text, log);
}

Status Kernels::find(const gm_program &program, int32_t kernel) {
  const gm_kernel &k = program.kernel[kernel];
  const char *name = program.kernel_names + k.name;
  const Driver &driver = *card->driver;
  // Rows below 0: blocks of a row, one for each of its experts at most.
  if (k.units < 1 || k.rows < -GM_TOP || k.threads < 1 || k.shared < 0 ||
      k.parameters < 0 || k.parameters > MOST_PARAMETERS)
    return failure(BAD_INPUT,
                   "what the program says of its kernel '%s' is damaged; make "
                   "the program again with gemmac",
                   name);
  CUfunction &function = functions[size_t(kernel)];
  if (CUresult error = driver.cuModuleGetFunction(&function, programs, name))
    return failure(BAD_INPUT,
                   "the images have no kernel '%s' (error %d); make the "
                   "program again with gemmac",
                   name, int(error));
  int local = 0, threads = 0;
  CUresult error = driver.cuFuncGetAttribute(
      &local, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, function);
  if (!error)
    error = driver.cuFuncGetAttribute(
        &threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function);
  if (error)
    return failed(driver, error, "describe a kernel");
  if (local || threads < k.threads)
    return failure(MACHINE,
                   "the driver's kernel '%s' has %d bytes of local memory and "
                   "%d threads, expects 0 and %d: try another driver",
                   name, local, threads, k.threads);
  if (k.shared > PLAIN_SHARED &&
      (error = driver.cuFuncSetAttribute(
           function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
           k.shared)))
    return failure(MACHINE,
                   "the card (%s) has less shared memory than the %d bytes "
                   "that the kernel '%s' needs (error %d)",
                   card->facts.name, k.shared, name, int(error));
  return {};
}

Status Kernels::load(const Card &on, const gm_program &program) {
  card = &on;
  if (Status s = own.load(on, COPY_PTX); !s.ok())
    return s;
  if (Status s = own.find(COPY_NAME, copies); !s.ok())
    return s;
  if (Status s = load_program(program); !s.ok())
    return s;
  functions.resize(size_t(program.kernels));
  for (int32_t i = 0; i < program.kernels; ++i)
    if (Status s = find(program, i); !s.ok())
      return s;
  return {};
}

} // namespace gm
