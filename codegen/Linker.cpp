// Program files: see Linker.h.
#include "codegen/Linker.h"

#include "codegen/ContentHash.h"
#include "codegen/LinkElf.h"
#include "codegen/OutputFile.h"
#include "codegen/SectionsObject.h"
#include "runtime/abi.h"
#include "runtime/file.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gemmac {

//===-- sections ----------------------------------------------------------===//

static gm_trailer makeTrailer(const std::string &id) {
  gm_trailer trailer = {};
  memcpy(trailer.weights_id, id.data(),
         std::min(id.size(), sizeof trailer.weights_id));
  trailer.abi = GM_ABI;
  memcpy(trailer.magic, GM_TRAILER_MAGIC, sizeof trailer.magic);
  return trailer;
}

namespace {

// A file that may be external weights, opened for reading.
struct WeightFile {
  explicit WeightFile(const std::string &path)
      // O_NONBLOCK: a pipe of that name must not hang the compiler.
      : fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    ours = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
           info.st_size >= off_t(sizeof trailer) &&
           pread(fd, &trailer, sizeof trailer, info.st_size - sizeof trailer) ==
               sizeof trailer &&
           memcmp(trailer.magic, GM_TRAILER_MAGIC, sizeof trailer.magic) == 0;
  }
  ~WeightFile() {
    if (fd >= 0)
      close(fd);
  }
  WeightFile(const WeightFile &) = delete;

  const int fd;
  struct stat info = {};
  gm_trailer trailer = {};
  bool ours = false; // it ends as our files do
};

} // namespace

std::string weightsPath(Form form, const std::string &output) {
  llvm::StringRef stem = output;
  if (form == Form::StaticLibrary)
    stem.consume_back(".a");
  return stem.str() + ".weights";
}

Status checkWeightsPath(const std::string &path) {
  WeightFile file(path);
  if (file.fd < 0 || file.ours ||
      (S_ISREG(file.info.st_mode) && file.info.st_size == 0))
    return Done{};
  return makeError(ExitCode::Usage,
                   "'{}' exists and is no weight file of gemmac: remove it, or "
                   "choose another -o",
                   path);
}

// The hashes of an existing external weight file with this id, if there is one.
static std::optional<PackHashes> reusable(const std::string &path,
                                          const ProgramInput &in) {
  WeightFile file(path);
  const gm_trailer &trailer = file.trailer,
                   expected = makeTrailer(in.manifest.weightsId);
  uint64_t size = file.info.st_size;
  if (!file.ours || trailer.abi != GM_ABI ||
      memcmp(trailer.weights_id, expected.weights_id,
             sizeof trailer.weights_id) != 0 ||
      trailer.weights_bytes != in.manifest.plan.weightBytes() ||
      trailer.manifest_offset >= size ||
      trailer.manifest_bytes > size - trailer.manifest_offset)
    return std::nullopt;
  std::vector<uint8_t> manifest(trailer.manifest_bytes);
  if (pread(file.fd, manifest.data(), manifest.size(),
            trailer.manifest_offset) != ssize_t(manifest.size()))
    return std::nullopt;
  std::optional<PackHashes> hashes =
      readHashes(manifest, in.manifest.plan, *in.manifest.source);
  if (in.rehash && hashes &&
      !hasContents(*in.manifest.source, *hashes, in.threads))
    return std::nullopt;
  return hashes;
}

// Packs the weights behind `file`'s end and moves the end past them.
static Result<PackHashes> appendWeights(TemporaryFile &file, ProgramInput &in) {
  uint64_t bytes = in.manifest.plan.weightBytes();
  if (posix_fallocate(file.fd, file.end, std::max<uint64_t>(bytes, 1)) ==
      ENOSPC)
    return cannotWrite(
        fmt::format("reserve {} bytes of weights in", bytes).c_str(),
        file.final, ENOSPC);
  Result<PackHashes> hashes =
      packWeights(in.manifest.plan, *in.manifest.source, file.fd, file.final,
                  file.end, in.threads, in.progress);
  if (hashes)
    file.end += bytes;
  return hashes;
}

// The first `bytes` bytes of the file as the section "code".
static Result<SectionFacts> codeSection(const TemporaryFile &file,
                                        uint64_t bytes) {
  ContentHash hash;
  std::vector<uint8_t> buffer(1 << 20);
  for (uint64_t at = 0; at < bytes;) {
    ssize_t n = pread(file.fd, buffer.data(),
                      std::min<uint64_t>(buffer.size(), bytes - at), at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return cannotWrite("read", file.final, n < 0 ? errno : EIO);
    hash.update(buffer.data(), n);
    at += n;
  }
  return SectionFacts{"code", 0, bytes, hash.digest()};
}

static Status appendManifestAndTrailer(TemporaryFile &file, gm_trailer trailer,
                                       const std::vector<uint8_t> &manifest) {
  trailer.manifest_offset = file.end = (file.end + 63) / 64 * 64;
  trailer.manifest_bytes = manifest.size();
  trailer.checksum = gm_checksum(trailer, manifest.data());
  if (Status s = file.append(manifest.data(), manifest.size()); !s)
    return s;
  return file.append(&trailer, sizeof trailer);
}

// Runs the complete program and writes manifest and trailer, which are last in
// the file, once more with what that has shown.
static Status appendFidelity(TemporaryFile &file, ProgramInput &in,
                             gm_trailer trailer, uint64_t manifestAt) {
  // A program that is open for writing cannot be run.
  if (Status s = file.closeFile(); !s)
    return s;
  Result<FidelityFacts> facts = in.verify(file.path);
  if (!facts)
    return facts.error();
  in.manifest.fidelity = *facts;
  if (Status s = file.reopen(); !s)
    return s;
  file.end = manifestAt;
  if (ftruncate(file.fd, off_t(file.end)))
    return cannotWrite("write", file.final, errno);
  return appendManifestAndTrailer(file, trailer, writeManifest(in.manifest));
}

// Writes or reuses `output`.weights; the program only names it.
static Result<PackHashes> externalWeights(ProgramInput &in,
                                          ProgramSizes &sizes) {
  std::string path = weightsPath(in.form, in.output);
  if (std::optional<PackHashes> hashes = reusable(path, in)) {
    sizes.reused = true;
    return *hashes;
  }
  // Programs map it while they run: read only, so that nothing writes into it.
  TemporaryFile file(path);
  if (Status s = file.create(0444); !s)
    return s.error();
  gm_trailer trailer = makeTrailer(in.manifest.weightsId);
  trailer.weights_bytes = in.manifest.plan.weightBytes();
  Result<PackHashes> hashes = appendWeights(file, in);
  if (!hashes)
    return hashes;
  in.manifest.hashes = *hashes;
  std::vector<uint8_t> manifest = writeManifest(in.manifest);
  if (Status s = appendManifestAndTrailer(file, trailer, manifest); !s)
    return s.error();
  if (Status s = file.keep(); !s)
    return s.error();
  return hashes;
}

// The code as a program or a shared library.
static Status linkInto(const TemporaryFile &program, const ProgramInput &in) {
  TemporaryFile object(in.output, ".o"), sections(in.output, ".sections.o");
  std::vector<std::string> objects;
  auto write = [&](TemporaryFile &file, const std::string &bytes) -> Status {
    objects.push_back(file.path);
    if (Status s = file.create(0666); !s)
      return s;
    return file.append(bytes.data(), bytes.size());
  };
  if (Status s = write(object, in.object); !s)
    return s;
  if (in.form == Form::SharedLibrary)
    if (Status s = write(sections, sectionsObject(in.manifest.target, {})); !s)
      return s;
  return linkElf(in, objects, program.path);
}

// An archive of the code and of all sections but the weights.
static Result<ProgramSizes> writeArchive(ProgramInput &in) {
  ProgramSizes sizes;
  sizes.weights = in.manifest.plan.weightBytes();
  in.manifest.externalName =
      llvm::sys::path::filename(weightsPath(in.form, in.output)).str();
  Result<PackHashes> hashes = externalWeights(in, sizes);
  if (!hashes)
    return hashes.error();
  sizes.take(*hashes);
  in.manifest.hashes = std::move(*hashes);
  std::vector<uint8_t> manifest = writeManifest(in.manifest);
  sizes.manifest = manifest.size();
  sizes.tokenizer = in.tokenizer.size();

  std::vector<uint8_t> data = std::move(in.tokenizer);
  gm_trailer trailer = makeTrailer(in.manifest.weightsId);
  trailer.tokenizer_bytes = data.size();
  data.resize((data.size() + 63) / 64 * 64);
  trailer.manifest_offset = data.size();
  trailer.manifest_bytes = manifest.size();
  trailer.checksum = gm_checksum(trailer, manifest.data());
  llvm::append_range(data, manifest);
  const auto *bytes = reinterpret_cast<const uint8_t *>(&trailer);
  data.insert(data.end(), bytes, bytes + sizeof trailer);

  const std::string runtime =
      runtimeOf(in.runtime, in.manifest.target, in.form) + "/runtime.o";
  auto code = llvm::MemoryBuffer::getFile(runtime);
  if (!code)
    return makeError(ExitCode::Unsupported, "cannot read '{}': {}", runtime,
                     code.getError().message());
  const std::string sections = sectionsObject(in.manifest.target, data);
  auto archive = llvm::writeArchiveToBuffer(
      {llvm::MemoryBufferRef((*code)->getBuffer(), "runtime.o"),
       llvm::MemoryBufferRef(in.object, "model.o"),
       llvm::MemoryBufferRef(sections, "sections.o")},
      llvm::SymtabWritingMode::NormalSymtab, llvm::object::Archive::K_GNU,
      /*Deterministic=*/true, /*Thin=*/false);
  if (!archive)
    return makeError(ExitCode::Resources, "cannot make '{}': {}", in.output,
                     llvm::toString(archive.takeError()));
  sizes.elf = (*archive)->getBufferSize() - sizes.manifest - sizes.tokenizer;
  TemporaryFile file(in.output);
  if (Status s = file.create(0666); !s)
    return s.error();
  if (Status s = file.append((*archive)->getBufferStart(),
                             (*archive)->getBufferSize());
      !s)
    return s.error();
  if (Status s = file.keep(); !s)
    return s.error();
  return sizes;
}

Result<ProgramSizes> writeProgram(ProgramInput in) {
  if (in.form == Form::StaticLibrary)
    return writeArchive(in);
  ProgramSizes sizes;
  TemporaryFile program(in.output);
  if (Status s = linkInto(program, in); !s)
    return s.error();
  if (Status s = program.reopen(); !s)
    return s.error();
  struct stat info;
  if (fstat(program.fd, &info))
    return cannotWrite("read", program.final, errno);
  sizes.elf = info.st_size;
  program.end =
      (sizes.elf + GM_SECTION_ALIGN - 1) / GM_SECTION_ALIGN * GM_SECTION_ALIGN;

  Result<SectionFacts> code = codeSection(program, sizes.elf);
  if (!code)
    return code.error();
  in.manifest.sections = {*code};
  if (in.discard)
    if (Status s = program.discard(); !s)
      return s.error();

  gm_trailer trailer = makeTrailer(in.manifest.weightsId);
  sizes.weights = in.manifest.plan.weightBytes();
  Result<PackHashes> hashes = PackHashes{};
  if (!in.manifest.source) {
    // bench --synthetic fills them
  } else if (in.external && !in.discard) {
    in.manifest.externalName =
        llvm::sys::path::filename(weightsPath(in.form, in.output)).str();
    hashes = externalWeights(in, sizes);
  } else {
    trailer.weights_offset = program.end;
    trailer.weights_bytes = sizes.weights;
    hashes = appendWeights(program, in);
  }
  if (!hashes)
    return hashes.error();
  sizes.take(*hashes);

  trailer.tokenizer_offset = program.end = (program.end + 4095) / 4096 * 4096;
  trailer.tokenizer_bytes = sizes.tokenizer = in.tokenizer.size();
  if (!in.tokenizer.empty())
    in.manifest.sections.push_back(
        {"tokenizer", program.end, in.tokenizer.size(),
         XXH3_64bits(in.tokenizer.data(), in.tokenizer.size())});
  if (Status s = program.append(in.tokenizer.data(), in.tokenizer.size()); !s)
    return s.error();
  in.manifest.hashes = std::move(*hashes);
  std::vector<uint8_t> manifest = writeManifest(in.manifest);
  sizes.manifest = manifest.size();
  const uint64_t manifestAt = program.end;
  if (Status s = appendManifestAndTrailer(program, trailer, manifest); !s)
    return s.error();
  if (in.verify)
    if (Status s = appendFidelity(program, in, trailer, manifestAt); !s)
      return s.error();
  if (!in.discard)
    if (Status s = program.keep(); !s)
      return s.error();
  return sizes;
}

} // namespace gemmac
