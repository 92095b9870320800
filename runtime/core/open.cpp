// Opens a program file: trailer, manifest, tokenizer section, external weights,
// CPU features. Nothing read from the file is trusted: offsets, sizes and
// counts that the core later relies on are checked here.
#include "runtime/abi.h"
#include "runtime/file.h"
#include "runtime/gemma.h"
#include "runtime/host/features.h"
#include "runtime/manifest_generated.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gm {
namespace mf = gemmac::manifest;

namespace {

const char *chars(const flatbuffers::String *s) { return s ? s->c_str() : ""; }

// Limits far above any model, so that later arithmetic cannot overflow.
enum : uint64_t { MOST_BYTES = 1ull << 46 };

bool inside(uint64_t offset, uint64_t bytes, uint64_t size) {
  return offset <= size && bytes <= size - offset;
}

Status open_for_reading(const char *path, int &fd, uint64_t &size) {
  // A FIFO of that name must not be waited for.
  fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0)
    return failure(errno == ENOENT ? BAD_INPUT : RESOURCES,
                   "cannot open '%s': %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode))
    return failure(BAD_INPUT, "'%s' is not a file", path);
  size = uint64_t(st.st_size);
  return {};
}

Status read_trailer(int fd, const char *path, uint64_t size,
                    gm_trailer &trailer) {
  if (size < sizeof trailer ||
      pread(fd, &trailer, sizeof trailer, off_t(size - sizeof trailer)) !=
          sizeof trailer ||
      memcmp(trailer.magic, GM_TRAILER_MAGIC, sizeof trailer.magic) != 0)
    return failure(BAD_INPUT,
                   "'%s' does not end in a gemmac trailer; was this file "
                   "stripped or cut off? "
                   "make it again with gemmac",
                   path);
  if (trailer.abi != GM_ABI)
    return failure(BAD_INPUT,
                   "'%s' has file version %d, this program reads version %d",
                   path, trailer.abi, GM_ABI);
  return {};
}

Status map_section(const File &file, uint64_t offset, uint64_t bytes,
                   Span &section, Span &pages) {
  if (file.memory.data)
    return section = {file.memory.data + offset, bytes}, Status{};
  uint64_t start = offset & ~uint64_t(sysconf(_SC_PAGESIZE) - 1);
  uint64_t length = offset - start + bytes;
  void *p =
      mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file.fd, off_t(start));
  if (p == MAP_FAILED)
    return failure(RESOURCES, "cannot map %llu bytes of '%s': %s",
                   (unsigned long long)length, file.path, strerror(errno));
  pages = {static_cast<uint8_t *>(p), length};
  section = {pages.data + (offset - start), bytes};
  return {};
}

Status bad_manifest(const File &file, const char *what) {
  return failure(
      BAD_INPUT,
      "the manifest of '%s' is damaged: %s; make the program again with gemmac",
      file.path, what);
}

bool between(int64_t x, int64_t low, int64_t high) {
  return x >= low && x <= high;
}

bool good_rope(const mf::Rope *r) {
  return r && r->theta() > 0 && between(r->dim(), 2, 1 << 16) &&
         between(r->pairs(), 0, r->dim() / 2);
}

Status check_model(const File &file, const mf::Model *m) {
  if (!m)
    return bad_manifest(file, "no model");
  if (!between(m->hidden(), 1, 1 << 20) || !between(m->vocab(), 1, 1 << 24) ||
      !between(m->window(), 1, 1 << 24) ||
      !between(m->max_context(), 1, 1 << 24))
    return bad_manifest(file, "sizes of the model out of range");
  if (!good_rope(m->local_rope()) || !good_rope(m->global_rope()))
    return bad_manifest(file, "rope");
  return {};
}

Status check_memory(const File &file, const mf::Program &p) {
  if (!p.memory() || !p.memory()->size())
    return bad_manifest(file, "no memory plan");
  for (const mf::Memory *m : *p.memory())
    if (m->worker() > MOST_BYTES || m->row() > MOST_BYTES ||
        m->key() > MOST_BYTES)
      return bad_manifest(file, "memory plan out of range");
  if (p.caches())
    for (const mf::Cache *c : *p.caches())
      if (c->k_page() > MOST_BYTES || c->v_page() > MOST_BYTES)
        return bad_manifest(file, "cache pages out of range");
  return {};
}

Status check_weights(const File &file, const mf::Program &p) {
  uint64_t size = p.weights_bytes();
  if (size == 0 || size > MOST_BYTES)
    return bad_manifest(file, "size of the weights");
  if (p.weights())
    for (const mf::Weight *w : *p.weights())
      if (!inside(w->offset(), w->bytes(), size))
        return bad_manifest(file, "a weight outside the weight section");
  const mf::Ple *ple = p.ple();
  if (!ple)
    return {};
  if (ple->row_bytes() == 0 || ple->row_bytes() > (1 << 30) ||
      ple->rows() == 0 || ple->rows() > (1 << 24) ||
      !inside(ple->offset(), ple->rows() * ple->row_bytes(), size))
    return bad_manifest(file, "per-layer-embedding table");
  if (ple->slices())
    for (const mf::PleSlice *s : *ple->slices())
      if (!inside(s->offset(), s->bytes(), ple->row_bytes()))
        return bad_manifest(file, "slices of the per-layer-embedding table");
  return {};
}

bool good_image(const mf::Medium &m) {
  const int32_t side = m.tower() ? m.patch() : m.patch() * m.pool();
  return between(m.budget(), 1, 1 << 16) && between(m.patch(), 1, 64) &&
         between(m.pool(), 1, 8) && between(m.positions(), 1, 1 << 24) &&
         m.columns() == side * side * 3 &&
         (m.tower() ? m.theta() > 0 && between(m.pairs(), 1, 1 << 16) &&
                          between(m.width(), 1, 1 << 16)
                    : m.pairs() == 0);
}

Status check_media(const File &file, const mf::Program &p) {
  if (!p.media())
    return {};
  const int64_t vocab = p.model()->vocab();
  for (const mf::Medium *m : *p.media()) {
    if (!m->kind() || !between(m->begin(), -1, vocab - 1) ||
        !between(m->soft(), -1, vocab - 1) || !between(m->end(), -1, vocab - 1))
      return bad_manifest(file, "tokens of a medium");
    const bool audio = !strcmp(m->kind()->c_str(), "audio");
    if (audio ? !between(m->columns(), 1, 1 << 16) : !good_image(*m))
      return bad_manifest(file, "sizes of a medium");
  }
  return {};
}

Status check_sampling(const File &file, const mf::Program &p) {
  const mf::Sampling *s = p.sampling();
  bool good = !s || (s->temperature() >= 0 && s->top_p() >= 0 &&
                     s->min_p() >= 0 && s->top_k() >= 0 && s->limit() >= 0);
  return good ? Status{} : bad_manifest(file, "sampling defaults");
}

Status read_manifest(File &file, const gm_trailer &trailer) {
  Span section;
  if (Status s = map_section(file, trailer.manifest_offset,
                             trailer.manifest_bytes, section, file.mapped[1]);
      !s.ok())
    return s;
  if (gm_checksum(trailer, section.data) != trailer.checksum)
    return bad_manifest(file, "its checksum differs from the trailer's");
  flatbuffers::Verifier verifier(section.data, section.bytes, 64, 16u << 20);
  if (!mf::VerifyProgramBuffer(verifier))
    return bad_manifest(file, "not a valid flatbuffer");
  const mf::Program *p = file.manifest = mf::GetProgram(section.data);
  if (p->abi() != GM_ABI)
    return failure(
        BAD_INPUT,
        "'%s' has manifest version %d, this program reads version %d",
        file.path, p->abi(), GM_ABI);
  if (Status s = check_model(file, p->model()); !s.ok())
    return s;
  if (!p->target())
    return bad_manifest(file, "no target");
  if (Status s = check_memory(file, *p); !s.ok())
    return s;
  if (Status s = check_media(file, *p); !s.ok())
    return s;
  if (Status s = check_sampling(file, *p); !s.ok())
    return s;
  return check_weights(file, *p);
}

// The weight file stands beside the program, unless `given` says where.
Status open_external(File &file, const char *given) {
  const mf::Program &p = *file.manifest;
  const char *name = chars(p.external_name());
  if (!*name || strchr(name, '/'))
    return bad_manifest(file, "name of the external weight file");
  char path[sizeof file.path + 256];
  const char *slash = strrchr(file.path, '/');
  snprintf(path, sizeof path, "%.*s%s",
           slash && !given ? int(slash - file.path + 1) : 0, file.path,
           given ? given : name);
  uint64_t size;
  if (Status s = open_for_reading(path, file.weights_fd, size); !s.ok())
    return failure(s.code,
                   "%s; the program '%s' needs this weight file beside it",
                   s.text, file.path);
  gm_trailer trailer;
  if (Status s = read_trailer(file.weights_fd, path, size, trailer); !s.ok())
    return s;
  if (strncmp(trailer.weights_id, chars(p.weights_id()),
              sizeof trailer.weights_id) != 0)
    return failure(
        BAD_INPUT,
        "'%s' holds the weights '%.40s', but '%s' was compiled for '%.40s': "
        "put its own weight file there, or compile it again",
        path, trailer.weights_id, file.path, chars(p.weights_id()));
  if (trailer.weights_bytes != p.weights_bytes() ||
      !inside(trailer.weights_offset, trailer.weights_bytes,
              size - sizeof trailer) ||
      trailer.weights_offset != 0)
    return failure(
        BAD_INPUT,
        "'%s' is damaged: expected %llu bytes of weights, found %llu", path,
        (unsigned long long)p.weights_bytes(),
        (unsigned long long)trailer.weights_bytes);
  file.weights_offset = trailer.weights_offset;
  return {};
}

Status check_cpu(const mf::Target &target) {
  if (target.required())
    for (const flatbuffers::String *name : *target.required())
      if (!has_feature(chars(name)))
        return failure(MACHINE,
                       "this program needs the CPU feature '%s', which this "
                       "machine lacks; compile the model for another target "
                       "(gemmac --list-targets)",
                       chars(name));
  return {};
}

// `t` ends the file, or the memory, of `size` bytes. Without `weights` external
// ones are left alone; `given`: where they are.
Status read_sections(const gm_trailer &t, uint64_t size, File &file,
                     bool weights, const char *given) {
  const uint64_t end = size - sizeof t;
  if (!inside(t.weights_offset, t.weights_bytes, end) ||
      !inside(t.tokenizer_offset, t.tokenizer_bytes, end) ||
      !inside(t.manifest_offset, t.manifest_bytes, end) ||
      t.manifest_bytes < 8 || t.tokenizer_bytes + t.manifest_bytes > end ||
      t.weights_offset % GM_SECTION_ALIGN || t.tokenizer_offset % 8 ||
      t.manifest_offset % 8)
    return failure(
        BAD_INPUT,
        "the trailer of '%s' is damaged: a section lies outside the file's "
        "%llu bytes; make the program again with gemmac",
        file.path, (unsigned long long)size);
  file.manifest_bytes = t.manifest_bytes;
  if (Status s = read_manifest(file, t); !s.ok())
    return s;
  if (Status s = check_cpu(*file.manifest->target()); !s.ok())
    return s;
  if (t.tokenizer_bytes)
    if (Status s = map_section(file, t.tokenizer_offset, t.tokenizer_bytes,
                               file.tokenizer, file.mapped[0]);
        !s.ok())
      return s;
  if (file.manifest->weightless() &&
      (t.weights_bytes || file.manifest->external()))
    return bad_manifest(file, "it has weights, and says that it has none");
  file.code_bytes = t.weights_bytes
                        ? t.weights_offset
                        : end - t.tokenizer_bytes - t.manifest_bytes;
  if (file.manifest->weightless())
    return {};
  if (file.manifest->external())
    return weights ? open_external(file, given) : Status();
  if (t.weights_bytes != file.manifest->weights_bytes())
    return bad_manifest(file, "size of the weights differs from the trailer's");
  file.weights_fd = file.fd;
  file.weights_offset = t.weights_offset;
  return {};
}

Status read_file(const char *path, File &file, bool weights) {
  uint64_t size = 0;
  if (path)
    snprintf(file.path, sizeof file.path, "%s", path);
  else if (!program_path(file.path, sizeof file.path))
    return failure(RESOURCES, "cannot find the program's own file: no /proc "
                              "and no AT_EXECFN");
  // A running program may have been renamed or removed meanwhile.
  Status opened =
      open_for_reading(path ? path : "/proc/self/exe", file.fd, size);
  if (!opened.ok() && !path)
    opened = open_for_reading(file.path, file.fd, size);
  gm_trailer t;
  if (opened.ok())
    opened = read_trailer(file.fd, file.path, size, t);
  return opened.ok() ? read_sections(t, size, file, weights, nullptr) : opened;
}

} // namespace

Status open_file(const char *path, File &file, bool weights) {
  file = File();
  Status s = read_file(path, file, weights);
  return s.ok() ? s : (close_file(file), s);
}

Status open_memory(const Span &sections, const char *weights, File &file) {
  file = File();
  file.memory = sections;
  program_path(file.path, sizeof file.path);
  gm_trailer t;
  memcpy(&t, sections.data + sections.bytes - sizeof t, sizeof t);
  Status s = read_sections(t, sections.bytes, file, true, weights);
  return s.ok() ? s : (close_file(file), s);
}

void close_file(File &file) {
  for (Span &pages : file.mapped)
    if (pages.data)
      munmap(const_cast<uint8_t *>(pages.data), pages.bytes);
  if (file.weights_fd >= 0 && file.weights_fd != file.fd)
    close(file.weights_fd);
  if (file.fd >= 0)
    close(file.fd);
  file = File();
}

} // namespace gm
