// The manifest as a flatbuffer: one function per table.
#include "codegen/ManifestWriter.h"

#include "runtime/abi.h"
#include "targets/Layouts.h"

#include "runtime/manifest_generated.h"

namespace gemmac {

namespace fb = gemmac::manifest;
using Builder = flatbuffers::FlatBufferBuilder;

static std::vector<int32_t> narrow(const std::vector<int64_t> &ids) {
  return {ids.begin(), ids.end()};
}

static flatbuffers::Offset<fb::Model> writeModel(Builder &b,
                                                 const ManifestInput &in) {
  const ModelFacts &m = in.model;
  auto type = b.CreateString(m.type), variant = b.CreateString(m.variant),
       name = b.CreateString(m.name);
  uint64_t parameters = 0;
  for (const auto &[tensor, hash] : in.hashes.sources) {
    uint64_t elements = 1;
    for (int64_t dim : in.source.find(tensor)->shape)
      elements *= dim;
    parameters += elements;
  }
  fb::Rope local(m.localRope.theta, m.localRope.dim, m.localRope.pairs);
  fb::Rope global(m.globalRope.theta, m.globalRope.dim, m.globalRope.pairs);
  fb::ModelBuilder model(b);
  model.add_type(type);
  model.add_variant(variant);
  model.add_name(name);
  model.add_layers(m.layers);
  model.add_hidden(m.hidden);
  model.add_vocab(m.vocab);
  model.add_window(m.window);
  model.add_max_context(m.maxContext);
  model.add_ple_width(m.pleWidth);
  model.add_local_rope(&local);
  model.add_global_rope(&global);
  model.add_parameters(parameters);
  return model.Finish();
}

static flatbuffers::Offset<fb::Target> writeTarget(Builder &b,
                                                   const Target &target) {
  return fb::CreateTarget(
      b, b.CreateString(target.name), b.CreateString(target.triple),
      b.CreateString(target.cpu), b.CreateVectorOfStrings(target.required));
}

// The PLE table and what each segment reads of its rows.
static flatbuffers::Offset<fb::Ple> writePle(Builder &b,
                                             const ProgramPlan &plan) {
  for (const PackedWeight &weight : plan.weights) {
    if (!weight.ple)
      continue;
    const Layout &layout = *findLayout(weight.layout);
    auto at = [&](int64_t column) {
      return layout.address(0, column, weight.cols);
    };
    std::vector<flatbuffers::Offset<fb::PleSlice>> slices;
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

static flatbuffers::Offset<fb::Weight>
writeWeight(Builder &b, const PackedWeight &weight, uint64_t hash) {
  std::vector<flatbuffers::Offset<fb::Piece>> pieces;
  for (const Piece &p : weight.pieces)
    pieces.push_back(fb::CreatePiece(b, b.CreateSharedString(p.tensor), p.row0,
                                     p.row1, p.col0, p.col1));
  return fb::CreateWeight(b, b.CreateString(weight.name),
                          b.CreateSharedString(weight.format),
                          b.CreateSharedString(weight.layout), weight.offset,
                          weight.bytes, hash, b.CreateVector(pieces));
}

static flatbuffers::Offset<fb::Source>
writeSource(Builder &b, const SourceTensor &tensor, const ManifestInput &in) {
  auto hash = in.hashes.sources.find(tensor.name);
  flatbuffers::Offset<flatbuffers::String> ignored;
  for (const IgnoredTensor &i : in.ignored)
    if (i.name == tensor.fileName)
      ignored = b.CreateSharedString(i.reason);
  std::vector<uint64_t> shape(tensor.shape.begin(), tensor.shape.end());
  return fb::CreateSource(
      b, b.CreateString(tensor.fileName), b.CreateSharedString(tensor.typeName),
      b.CreateVector(shape), hash == in.hashes.sources.end() ? 0 : hash->second,
      ignored);
}

static flatbuffers::Offset<fb::Sampling> writeSampling(Builder &b,
                                                       const SamplingFacts &g) {
  return fb::CreateSampling(b, g.temperature, g.topP, g.topK,
                            b.CreateVector(narrow(g.stop)),
                            b.CreateVector(narrow(g.suppress)));
}

std::vector<uint8_t> writeManifest(const ManifestInput &in) {
  Builder b;
  std::vector<flatbuffers::Offset<fb::Memory>> memory;
  for (const PlannedFunction &f : in.plan.functions)
    memory.push_back(fb::CreateMemory(b, b.CreateString(f.segment), f.many,
                                      f.fixed, f.worker, f.row, f.key));
  std::vector<flatbuffers::Offset<fb::Cache>> caches;
  for (const PlannedCache &c : in.plan.caches)
    caches.push_back(
        fb::CreateCache(b, b.CreateString(c.name), c.global, c.heads, c.dim,
                        b.CreateSharedString(c.format), c.kPage, c.vPage));
  std::vector<flatbuffers::Offset<fb::Weight>> weights;
  for (size_t i = 0; i < in.plan.weights.size(); ++i)
    weights.push_back(writeWeight(b, in.plan.weights[i], in.hashes.weights[i]));
  std::vector<flatbuffers::Offset<fb::Source>> sources;
  for (const SourceTensor &tensor : in.source.tensors())
    sources.push_back(writeSource(b, tensor, in));
  auto model = writeModel(b, in);
  auto target = writeTarget(b, in.target);
  auto ple = writePle(b, in.plan);
  auto sampling = writeSampling(b, in.sampling);
  auto compiler = b.CreateString(GEMMAC_VERSION);
  auto weightFormat = b.CreateString(in.weightFormat),
       cacheFormat = b.CreateString(in.cacheFormat),
       id = b.CreateString(in.weightsId),
       external = b.CreateString(in.externalName);
  auto memoryVector = b.CreateVector(memory);
  auto cacheVector = b.CreateVector(caches);
  auto weightVector = b.CreateVector(weights);
  auto sourceVector = b.CreateVector(sources);
  fb::ProgramBuilder program(b);
  program.add_abi(GM_ABI);
  program.add_compiler(compiler);
  program.add_model(model);
  program.add_target(target);
  program.add_weight_format(weightFormat);
  program.add_cache_format(cacheFormat);
  program.add_memory(memoryVector);
  program.add_caches(cacheVector);
  if (ple.o)
    program.add_ple(ple);
  program.add_weights(weightVector);
  program.add_sources(sourceVector);
  program.add_weights_bytes(in.plan.weightBytes());
  program.add_weights_id(id);
  program.add_external(!in.externalName.empty());
  program.add_external_name(external);
  program.add_chat(fb::Chat(in.model.chat));
  program.add_sampling(sampling);
  fb::FinishProgramBuffer(b, program.Finish());
  return {b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()};
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
  for (const fb::Weight *weight : *program->weights())
    hashes.weights.push_back(weight->hash());
  for (size_t i = 0; i < source.tensors().size(); ++i)
    if (const fb::Source *s = program->sources()->Get(i); !s->ignored())
      hashes.sources[source.tensors()[i].name] = s->hash();
  return hashes;
}

} // namespace gemmac
