// The manifest as a flatbuffer: one function per table.
#include "codegen/ManifestWriter.h"

#include "runtime/abi.h"
#include "targets/Layouts.h"

#include "runtime/manifest_generated.h"

namespace gemmac {

namespace fb = gemmac::manifest;
using Builder = flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

static std::vector<int32_t> narrow(const std::vector<int64_t> &ids) {
  return {ids.begin(), ids.end()};
}

static Offset<fb::Model> writeModel(Builder &b, const ManifestInput &in) {
  const ModelFacts &m = in.model;
  uint64_t parameters = 0;
  for (const auto &[tensor, hash] : in.hashes.sources)
    parameters += uint64_t(in.source.find(tensor)->elements());
  fb::Rope local(m.localRope.theta, m.localRope.dim, m.localRope.pairs);
  fb::Rope global(m.globalRope.theta, m.globalRope.dim, m.globalRope.pairs);
  return fb::CreateModel(b, b.CreateString(m.type), b.CreateString(m.variant),
                         b.CreateString(m.name), m.layers, m.hidden, m.vocab,
                         m.window, m.maxContext, m.pleWidth, &local, &global,
                         parameters, m.softRows, m.imageBlocks);
}

static Offset<fb::Target> writeTarget(Builder &b, const Target &target) {
  return fb::CreateTarget(
      b, b.CreateString(target.name), b.CreateString(target.triple),
      b.CreateString(target.tune),
      b.CreateVectorOfStrings(hostOf(target).features),
      b.CreateString(target.device == Device::Cuda ? "cuda" : "cpu"),
      target.sm);
}

// The PLE table and what each segment reads of its rows.
static Offset<fb::Ple> writePle(Builder &b, const ProgramPlan &plan) {
  for (const PackedWeight &weight : plan.weights) {
    if (!weight.ple)
      continue;
    const Layout &layout = *findLayout(weight.layout);
    auto at = [&](int64_t column) {
      return layout.address(0, column, weight.cols);
    };
    std::vector<Offset<fb::PleSlice>> slices;
    for (const PlannedFunction &f : plan.functions)
      if (f.pleColumn1 > f.pleColumn0 && !f.many)
        slices.push_back(
            fb::CreatePleSlice(b, b.CreateString(f.segment), at(f.pleColumn0),
                               at(f.pleColumn1) - at(f.pleColumn0)));
    return fb::CreatePle(b, b.CreateString(weight.name), weight.offset,
                         layout.bytes(1, weight.cols), weight.rows,
                         b.CreateVector(slices));
  }
  return 0;
}

static Offset<fb::Weight> writeWeight(Builder &b, const ManifestInput &in,
                                      size_t index) {
  const PackedWeight &weight = in.plan.weights[index];
  const std::vector<SourceTensor> &tensors = in.source.tensors();
  std::vector<Offset<fb::Piece>> pieces;
  for (size_t i = 0; i < weight.pieces.size(); ++i) {
    const Piece &p = weight.pieces[i];
    const StoredError &error = in.hashes.errors[index][i];
    pieces.push_back(fb::CreatePiece(
        b, b.CreateSharedString(p.tensor), p.row0, p.row1, p.col0, p.col1,
        uint32_t(in.source.find(p.tensor) - tensors.data()),
        uint64_t(error.values), error.largest, error.rms(), error.relative()));
  }
  return fb::CreateWeight(
      b, b.CreateString(weight.name), b.CreateSharedString(weight.format),
      b.CreateSharedString(weight.layout), weight.offset, weight.bytes,
      in.hashes.weights[index], b.CreateVector(pieces));
}

// What storing has changed in each source tensor, over all its pieces.
static std::map<std::string, StoredError>
tensorErrors(const ManifestInput &in) {
  std::map<std::string, StoredError> errors;
  for (size_t w = 0; w < in.plan.weights.size(); ++w)
    for (size_t p = 0; p < in.plan.weights[w].pieces.size(); ++p)
      errors[in.plan.weights[w].pieces[p].tensor].add(in.hashes.errors[w][p]);
  return errors;
}

static Offset<fb::Source> writeSource(Builder &b, const SourceTensor &tensor,
                                      const ManifestInput &in,
                                      const StoredError &error) {
  auto hash = in.hashes.sources.find(tensor.name);
  Offset<flatbuffers::String> ignored;
  for (const IgnoredTensor &i : in.ignored)
    if (i.name == tensor.fileName)
      ignored = b.CreateSharedString(i.reason);
  std::vector<uint64_t> shape(tensor.shape.begin(), tensor.shape.end());
  return fb::CreateSource(
      b, b.CreateString(tensor.fileName), b.CreateSharedString(tensor.typeName),
      b.CreateVector(shape), hash == in.hashes.sources.end() ? 0 : hash->second,
      ignored, error.largest, error.rms(), error.relative());
}

static Offset<fb::Sampling> writeSampling(Builder &b, const SamplingFacts &g) {
  return fb::CreateSampling(
      b, g.temperature, g.topP, g.topK, b.CreateVector(narrow(g.stop)),
      b.CreateVector(narrow(g.suppress)), g.minP, int32_t(g.limit));
}

static Offset<fb::Medium> writeMedium(Builder &b, const MediumFacts &m) {
  return fb::CreateMedium(
      b, b.CreateString(m.kind), m.tower, int32_t(m.begin), int32_t(m.soft),
      int32_t(m.end), int32_t(m.budget), int32_t(m.patch), int32_t(m.pool),
      m.theta, int32_t(m.pairs), int32_t(m.positions), int32_t(m.columns),
      int32_t(m.width), m.bidirectional);
}

// One table per element of `list`.
template <typename List, typename Write>
static auto writeEach(Builder &b, const List &list, Write write) {
  std::vector<decltype(write(list[0]))> tables;
  for (const auto &element : list)
    tables.push_back(write(element));
  return b.CreateVector(tables);
}

std::vector<uint8_t> writeManifest(const ManifestInput &in) {
  Builder b;
  auto memory = writeEach(b, in.plan.functions, [&](const PlannedFunction &f) {
    return fb::CreateMemory(b, b.CreateString(f.segment), f.many, f.worker,
                            f.row, f.key);
  });
  auto caches = writeEach(b, in.plan.caches, [&](const PlannedCache &c) {
    return fb::CreateCache(b, b.CreateString(c.name), c.global, c.heads, c.dim,
                           b.CreateSharedString(c.format), c.kPage, c.vPage);
  });
  auto weights = writeEach(b, in.plan.weights, [&](const PackedWeight &weight) {
    return writeWeight(b, in, size_t(&weight - in.plan.weights.data()));
  });
  std::map<std::string, StoredError> errors = tensorErrors(in);
  auto sources =
      writeEach(b, in.source.tensors(), [&](const SourceTensor &tensor) {
        return writeSource(b, tensor, in, errors[tensor.name]);
      });
  auto sections = writeEach(b, in.sections, [&](const SectionFacts &s) {
    return fb::CreateSection(b, b.CreateString(s.name), s.offset, s.bytes,
                             s.hash);
  });
  auto media = writeEach(b, in.media, [&](const MediumFacts &medium) {
    return writeMedium(b, medium);
  });
  Offset<fb::Fidelity> fidelity; // null: none
  if (const auto &f = in.fidelity)
    fidelity = fb::CreateFidelity(b, b.CreateString(f->text), f->textHash,
                                  int32_t(f->window), f->tokens, f->klMean,
                                  f->klMedian, f->klP99, f->klMax, f->sameTop,
                                  f->ppl, f->pplRatio);
  fb::FinishProgramBuffer(
      b,
      fb::CreateProgram(
          b, GM_ABI, b.CreateString(GEMMAC_VERSION), writeModel(b, in),
          writeTarget(b, in.target), b.CreateString(in.weightFormat),
          b.CreateString(in.cacheFormat), memory, caches, writePle(b, in.plan),
          weights, sources, in.plan.weightBytes(), b.CreateString(in.weightsId),
          !in.externalName.empty(), b.CreateString(in.externalName),
          fb::Chat(in.model.chat), writeSampling(b, in.sampling), sections,
          fidelity, media, b.CreateString(in.model.chatTemplate)));
  return {b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()};
}

// The sums behind the numbers of a piece.
static StoredError readError(const fb::Piece &piece) {
  StoredError error;
  error.largest = piece.max_error();
  error.values = int64_t(piece.values());
  error.squares = piece.rms_error() * piece.rms_error() * double(error.values);
  if (piece.relative_error() > 0)
    error.source =
        error.squares / (piece.relative_error() * piece.relative_error());
  return error;
}

std::optional<PackHashes> readHashes(const std::vector<uint8_t> &bytes,
                                     const ProgramPlan &plan,
                                     const TensorSource &source) {
  flatbuffers::Verifier verifier(bytes.data(), bytes.size());
  if (!fb::VerifyProgramBuffer(verifier))
    return std::nullopt;
  const fb::Program *program = fb::GetProgram(bytes.data());
  if (program->abi() != GM_ABI || !program->weights() || !program->sources() ||
      program->weights()->size() != plan.weights.size() ||
      program->sources()->size() != source.tensors().size())
    return std::nullopt;
  PackHashes hashes;
  for (size_t w = 0; w < plan.weights.size(); ++w) {
    const fb::Weight *weight = program->weights()->Get(w);
    size_t pieces = plan.weights[w].pieces.size();
    if (!weight->pieces() || weight->pieces()->size() != pieces)
      return std::nullopt;
    hashes.weights.push_back(weight->hash());
    std::vector<StoredError> &errors = hashes.errors.emplace_back();
    for (const fb::Piece *piece : *weight->pieces())
      errors.push_back(readError(*piece));
  }
  for (size_t i = 0; i < source.tensors().size(); ++i)
    if (const fb::Source *s = program->sources()->Get(i); !s->ignored())
      hashes.sources[source.tensors()[i].name] = s->hash();
  return hashes;
}

} // namespace gemmac
