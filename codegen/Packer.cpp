#include "codegen/Packer.h"

#include "codegen/ContentHash.h"
#include "codegen/FolioWriter.h"
#include "support/Threads.h"
#include "targets/Layouts.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace gemmac {

uint64_t ProgramPlan::weightBytes() const {
  uint64_t end = 0;
  for (const PackedWeight &weight : weights)
    end = std::max<uint64_t>(end, weight.offset + weight.bytes);
  return end;
}

//===-- number formats ----------------------------------------------------===//

// Adds what rounding changes to `error`.
static void toBf16(SourceType type, const uint8_t *from, int64_t n,
                   uint16_t *to, StoredError &error) {
  constexpr int64_t chunk = 256; // a multiple of every block
  float values[chunk], stored[chunk];
  for (int64_t at = 0; at < n; at += chunk) {
    int64_t count = std::min(chunk, n - at);
    dequantizeRow(type, from + sourceBytes(type, at), count, values);
    for (int64_t i = 0; i < count; ++i) {
      to[at + i] = floatToBf16(values[i]);
      stored[i] = bf16ToFloat(to[at + i]);
    }
    measureError(values, stored, count, error);
  }
}

//===-- one weight --------------------------------------------------------===//

namespace {

// Hashes a tensor front to back while its rows are used in any order, so that
// every source byte is read once from memory.
struct TensorHash : ContentHash {
  uint64_t done = 0;
  void extend(const SourceTensor &tensor, uint64_t end) {
    for (; done < end; done += std::min(tensor.run(done), end - done))
      update(tensor.at(done), std::min(tensor.run(done), end - done));
  }
};

struct Shared {
  const ProgramPlan &plan;
  const TensorSource &source;
  FolioWriter file;
  const std::string &path;
  uint64_t base;
  const PackProgress &progress;
  uint64_t total;
  PackHashes hashes;
  std::mutex mutex; // hashes.sources, problem, progress
  std::optional<Error> problem;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> done = 0;

  // Ends the packing; the first problem stays.
  void fail(Error error) {
    std::lock_guard lock(mutex);
    stop = true;
    if (!problem)
      problem = std::move(error);
  }
};

// Where row `row` of a stack member comes from; piece -1: a padding row.
struct RowOrigin {
  int piece;
  int64_t row;
};

class WeightPacker {
public:
  WeightPacker(Shared &shared, size_t index)
      : shared(shared), weight(shared.plan.weights[index]),
        layout(*findLayout(weight.layout)), pieceErrors(weight.pieces.size()) {
    for (const Piece &piece : weight.pieces)
      tensors.push_back(shared.source.find(piece.tensor));
  }

  bool isF32() const {
    return formatOf(weight.format).code == Format::Code::F32;
  }

  // Packs all members slab by slab; false after an error.
  bool run(std::map<std::string, std::unique_ptr<TensorHash>> &tensorHashes) {
    int64_t memberRows = layout.paddedRows(weight.rows);
    int64_t rowBytes =
        layout.bytes(layout.rowGroup, weight.cols) / layout.rowGroup;
    int64_t slab = std::clamp<int64_t>(
        roundUp((4 << 20) / std::max<int64_t>(rowBytes, 1), 64), 64,
        roundUp(memberRows, 64));
    for (int64_t member = 0; member < weight.stack; ++member)
      for (int64_t row = 0; row < memberRows; row += slab) {
        if (shared.stop)
          return false;
        int64_t rows = std::min(slab, memberRows - row);
        buffer.assign(rows * rowBytes, 0);
        // Pages are read ahead in one call instead of a fault each, and given
        // back once packed, so that memory stays small.
        int64_t end = std::min(row + rows, weight.rows);
        advise(member, row, end, MADV_POPULATE_READ);
        for (int64_t r = 0; r < rows; r += layout.rowGroup)
          fillGroup(member, row, r);
        hashSources(member, end, tensorHashes);
        output.update(buffer.data(), buffer.size());
        if (!write(shared.base + weight.offset +
                   member * memberRows * rowBytes + row * rowBytes))
          return false;
        advise(member, row, end, MADV_DONTNEED);
      }
    return checkStored();
  }

  // Per piece.
  const std::vector<StoredError> &errors() const { return pieceErrors; }
  void addNotes(std::vector<PackNote> &notes) const {
    for (size_t i = 0; isNoted() && i < tensors.size(); ++i)
      notes.push_back({tensors[i]->fileName, tensors[i]->type,
                       tensors[i]->typeName, weight.format, pieceErrors[i]});
  }
  uint64_t hash() const { return output.digest(); }
  // Adds the largest error of rounding quantised values to bf16.
  void addRounding(PackHashes &hashes) const {
    for (size_t i = 0; i < tensors.size(); ++i)
      if (!isF32() && !layout.blockBytes && isBlockType(tensors[i]->type) &&
          pieceErrors[i].largest > hashes.roundingError) {
        hashes.roundingError = pieceErrors[i].largest;
        hashes.roundedTensor = tensors[i]->fileName;
      }
  }

private:
  // The last bits of a code are noted with its first.
  bool isNoted() const {
    return layout.blockBytes && layout.bits != Layout::LastFour;
  }

  RowOrigin origin(int64_t row) const {
    if (weight.interleave) {
      int64_t block = row / weight.interleave, in = row % weight.interleave;
      int piece = block % int64_t(weight.pieces.size());
      int64_t at =
          block / int64_t(weight.pieces.size()) * weight.interleave + in;
      const Piece &p = weight.pieces[piece];
      return at < p.row1 - p.row0 ? RowOrigin{piece, p.row0 + at}
                                  : RowOrigin{-1, 0};
    }
    for (size_t i = 0; i < weight.pieces.size(); ++i) {
      const Piece &p = weight.pieces[i];
      if (row < p.row1 - p.row0)
        return {int(i), p.row0 + row};
      row -= p.row1 - p.row0;
    }
    return {-1, 0};
  }

  // Rows of one stack member and elements of one row of the tensor of `piece`.
  int64_t tensorCols(int piece) const {
    const SourceTensor &t = *tensors[piece];
    return t.shape.empty() ? 1 : t.shape.back();
  }
  int64_t tensorRows(int piece) const {
    const SourceTensor &t = *tensors[piece];
    int64_t elements = 1;
    for (int64_t dim : t.shape)
      elements *= dim;
    return elements / std::max<int64_t>(tensorCols(piece), 1) / weight.stack;
  }
  uint64_t sourceOffset(int piece, int64_t member, int64_t row) const {
    return uint64_t(member * tensorRows(piece) + row) *
           sourceBytes(tensors[piece]->type, tensorCols(piece));
  }

  std::string called(const SourceTensor &tensor) const {
    const std::vector<SourceFile> &files = shared.source.files();
    return fmt::format("{}tensor '{}'",
                       files.empty() ? "" : files[tensor.file].path + ": ",
                       tensor.fileName);
  }

  // Part of a row of a tensor. No data: a padding row.
  struct SourceRow {
    SourceType type = SourceType::F32;
    const uint8_t *data = nullptr;
    int64_t n = 0;
    int piece = -1;
  };

  // The values of a row whose file has them in another form, canonically.
  const uint8_t *arrangedRow(const SourceTensor &tensor, int64_t row,
                             std::vector<float> &to) {
    const int64_t cols = tensor.cols(),
                  stored = tensor.form.storedRow(tensor.shape, row);
    std::vector<float> values(cols);
    dequantizeRow(tensor.type,
                  tensor.at(stored * sourceBytes(tensor.type, cols)), cols,
                  values.data());
    to.resize(cols);
    tensor.form.arrange(values.data(), cols, to.data());
    return reinterpret_cast<const uint8_t *>(to.data());
  }

  // Where row `row` of a member comes from; its values are finite unless that
  // has ended the packing. Valid until the row as many further as the largest
  // group has.
  SourceRow sourceRow(int64_t member, int64_t row) {
    RowOrigin from = row < weight.rows ? origin(row) : RowOrigin{-1, 0};
    if (from.piece < 0)
      return {};
    const Piece &piece = weight.pieces[from.piece];
    const SourceTensor &tensor = *tensors[from.piece];
    SourceRow part = {tensor.type, nullptr, piece.col1 - piece.col0,
                      from.piece};
    if (tensor.form.isPlain()) {
      part.data = tensor.at(sourceOffset(from.piece, member, from.row) +
                            sourceBytes(tensor.type, piece.col0));
    } else {
      part.type = SourceType::F32;
      part.data =
          arrangedRow(tensor, member * tensorRows(from.piece) + from.row,
                      arranged[row % groupRows]) +
          piece.col0 * sizeof(float);
    }
    if (int64_t at = firstNonFinite(part.type, part.data, part.n); at >= 0)
      failNonFinite(tensor, (member * tensorRows(from.piece) + from.row) *
                                    tensorCols(from.piece) +
                                piece.col0 + at);
    return part;
  }

  void failNonFinite(const SourceTensor &tensor, int64_t at) {
    int64_t block = blockElements(tensor.type), cols = tensor.cols();
    int64_t stored = tensor.form.storedRow(tensor.shape, at / cols) * cols +
                     tensor.form.storedColumn(at % cols, cols);
    std::vector<float> values(block);
    dequantizeRow(tensor.type,
                  tensor.at(sourceBytes(tensor.type, stored / block * block)),
                  block, values.data());
    std::string index;
    int64_t rest = at;
    for (size_t d = tensor.shape.size(); d-- > 0; rest /= tensor.shape[d])
      index = fmt::format("{}{}{}", rest % tensor.shape[d],
                          index.empty() ? "" : ", ", index);
    shared.fail(makeError(ExitCode::BadInput,
                          "{} expects finite values{}, got {} at [{}]; the "
                          "checkpoint is broken, fetch it again",
                          called(tensor),
                          tensor.form.softplus ? " above 0" : "",
                          values[stored % block], index));
  }

  // What is finite must be so in the format, too, and no f16 scale may be cut
  // where that is far off: then the squares of errors are finite.
  bool checkStored() {
    for (size_t i = 0; i < tensors.size(); ++i)
      if (!std::isfinite(pieceErrors[i].squares)) {
        shared.fail(makeError(ExitCode::Unsupported,
                              "{} has values that are too large for format "
                              "{}; --quant=f32 keeps them",
                              called(*tensors[i]), weight.format));
        return false;
      }
    return true;
  }

  // The bytes of row `row` of a member in the weight's format: in the source
  // itself or, converted, in `scratch`. Null: a padding row.
  const uint8_t *rowData(int64_t member, int64_t row,
                         std::vector<uint32_t> &scratch) {
    auto [type, data, n, piece] = sourceRow(member, row);
    if (!data)
      return nullptr;
    StoredError &error = pieceErrors[piece];
    if (isF32() || type == SourceType::BF16)
      addExact(n, error);
    if (type == (isF32() ? SourceType::F32 : SourceType::BF16))
      return data;
    scratch.resize(n);
    if (isF32())
      dequantizeRow(type, data, n, reinterpret_cast<float *>(scratch.data()));
    else
      toBf16(type, data, n, reinterpret_cast<uint16_t *>(scratch.data()),
             error);
    return reinterpret_cast<uint8_t *>(scratch.data());
  }

  // A row group of a quantised layout.
  void fillBlocks(int64_t member, int64_t row, uint8_t *to) {
    QuantRow rows[groupRows] = {};
    StoredError errors[groupRows];
    for (int64_t i = 0; i < layout.rowGroup; ++i)
      rows[i] = quantRow(member, row + i, converted[i]);
    packQuantized(layout, rows, weight.cols, to, errors);
    for (int64_t i = 0; i < layout.rowGroup; ++i)
      if (rows[i].data && isNoted())
        pieceErrors[origin(row + i).piece].add(errors[i]);
  }

  // Row `row` of a member: its blocks, where the format keeps them, or its
  // values in `scratch`.
  QuantRow quantRow(int64_t member, int64_t row,
                    std::vector<uint32_t> &scratch) {
    auto [type, data, n, piece] = sourceRow(member, row);
    if (!data)
      return {};
    if (keepsBits(weight.format, type))
      return {type, data};
    scratch.assign(size_t(weight.cols), 0); // columns behind the tensor's are 0
    float *values = reinterpret_cast<float *>(scratch.data());
    dequantizeRow(type, data, n, values);
    return {SourceType::F32, values};
  }

  // Stores the row group that starts at row `first + r` of a member into the
  // slab that starts at `first`, a multiple of the row group.
  void fillGroup(int64_t member, int64_t first, int64_t r) {
    uint8_t *to = buffer.data() + layout.address(r, 0, weight.cols);
    if (layout.blockBytes)
      return fillBlocks(member, first + r, to);
    int64_t bytes = weight.cols * elementBytes(weight.format);
    const uint8_t *rows[groupRows];
    assert(layout.rowGroup <= groupRows);
    for (int64_t i = 0; i < layout.rowGroup; ++i)
      rows[i] = rowData(member, first + r + i, converted[i]);
    if (layout.rowGroup == 1) {
      if (rows[0])
        memcpy(to, rows[0], bytes);
      return;
    }
    // Every layout of groups keeps units of 4 bytes of a row together.
    assert(layout.colGroup * elementBytes(weight.format) == 4);
    constexpr int64_t block = 16;
    for (int64_t u = 0; u * 4 < bytes; u += block)
      for (int64_t i = 0; i < layout.rowGroup; ++i) {
        uint32_t units[block] = {};
        if (!rows[i])
          continue;
        int64_t left = std::min<int64_t>(block * 4, bytes - u * 4);
        memcpy(units, rows[i] + u * 4, left);
        for (int64_t v = 0; v * 4 < left; ++v)
          memcpy(to + ((u + v) * layout.rowGroup + i) * 4, &units[v], 4);
      }
  }

  // The source rows [0, row) of a member have been used; hashes up to there.
  void hashSources(
      int64_t member, int64_t row,
      std::map<std::string, std::unique_ptr<TensorHash>> &tensorHashes) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      auto &hash = tensorHashes[tensors[i]->name];
      if (!hash)
        hash = std::make_unique<TensorHash>();
      uint64_t before = hash->done;
      hash->extend(*tensors[i],
                   std::min(sourceOffset(i, member, usedRow(i, row)),
                            tensors[i]->bytes));
      addProgress(hash->done - before);
    }
  }

  // End of the rows of piece `i` that the member's first `row` rows hold.
  int64_t usedRow(int i, int64_t row) const {
    const Piece &p = weight.pieces[i];
    int64_t used;
    if (weight.interleave) {
      int64_t count = weight.pieces.size(), blocks = row / weight.interleave;
      used = (blocks + count - 1 - i) / count * weight.interleave;
    } else {
      int64_t before = 0;
      for (int j = 0; j < i; ++j)
        before += weight.pieces[j].row1 - weight.pieces[j].row0;
      used = row - before;
    }
    return p.row0 + std::clamp<int64_t>(used, 0, p.row1 - p.row0);
  }

  bool write(uint64_t offset) {
    if (shared.file.write(buffer.data(), buffer.size(), offset))
      return true;
    shared.fail(makeError(ExitCode::Resources,
                          "cannot write weight '{}' to '{}': {}; free space "
                          "there or choose another -o",
                          weight.name, shared.path, strerror(errno)));
    return false;
  }

  // Source pages of rows [row0, row1) of a member.
  void advise(int64_t member, int64_t row0, int64_t row1, int advice) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      uint64_t from = sourceOffset(i, member, usedRow(i, row0)),
               to = sourceOffset(i, member, usedRow(i, row1));
      if (from == to)
        continue;
      auto at = reinterpret_cast<uintptr_t>(tensors[i]->at(from));
      uintptr_t begin = at / 4096 * 4096, end = (at + to - from) / 4096 * 4096;
      if (end > begin)
        madvise(reinterpret_cast<void *>(begin), end - begin, advice);
    }
  }

  void addProgress(uint64_t bytes) {
    uint64_t done = shared.done += bytes;
    if (shared.progress && bytes) {
      std::lock_guard lock(shared.mutex);
      shared.progress(done, shared.total);
    }
  }

  Shared &shared;
  const PackedWeight &weight;
  const Layout &layout;
  ContentHash output;
  std::vector<const SourceTensor *> tensors;
  std::vector<uint8_t> buffer;
  std::vector<uint32_t> converted[16];    // rows of a group that were converted
  std::vector<float> arranged[groupRows]; // or whose file has another form
  std::vector<StoredError> pieceErrors;
};

// Weights that share a source tensor are packed by one thread, in plan order.
std::vector<std::vector<size_t>> makeJobs(const ProgramPlan &plan) {
  std::vector<std::vector<size_t>> jobs;
  std::map<std::string, size_t> jobOf;
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    size_t job = jobs.size();
    for (const Piece &piece : plan.weights[i].pieces)
      if (auto it = jobOf.find(piece.tensor); it != jobOf.end())
        job = it->second;
    if (job == jobs.size())
      jobs.emplace_back();
    jobs[job].push_back(i);
    for (const Piece &piece : plan.weights[i].pieces)
      jobOf[piece.tensor] = job;
  }
  // Largest first, so that the threads end together.
  auto bytes = [&](const std::vector<size_t> &job) {
    uint64_t sum = 0;
    for (size_t i : job)
      sum += plan.weights[i].bytes;
    return sum;
  };
  std::stable_sort(jobs.begin(), jobs.end(), [&](const auto &a, const auto &b) {
    return bytes(a) > bytes(b);
  });
  return jobs;
}

} // namespace

uint64_t packedSourceBytes(const ProgramPlan &plan,
                           const TensorSource &source) {
  std::map<std::string, uint64_t> bytes;
  for (const PackedWeight &weight : plan.weights)
    for (const Piece &piece : weight.pieces)
      if (const SourceTensor *tensor = source.find(piece.tensor))
        bytes[piece.tensor] = tensor->bytes;
  uint64_t sum = 0;
  for (const auto &[name, n] : bytes)
    sum += n;
  return sum;
}

Status checkPieces(const ProgramPlan &plan, const TensorSource &source) {
  for (const PackedWeight &weight : plan.weights)
    for (const Piece &piece : weight.pieces) {
      auto bad = [&](const std::string &what) {
        return makeError(ExitCode::BadInput,
                         "weight '{}' is made of tensor '{}', which {}",
                         weight.name, piece.tensor, what);
      };
      const SourceTensor *tensor = source.find(piece.tensor);
      if (!tensor)
        return bad("the checkpoint does not have");
      int64_t cols = tensor->shape.empty() ? 1 : tensor->shape.back();
      int64_t elements = 1;
      for (int64_t dim : tensor->shape)
        elements *= dim;
      int64_t rows = cols ? elements / cols / weight.stack : 0;
      if (rows * cols * weight.stack != elements || piece.row1 > rows ||
          piece.col1 > cols)
        return bad(fmt::format(
            "has {} rows of {} in each of {}, not those up to {} and {}", rows,
            cols, weight.stack, piece.row1, piece.col1));
      if (tensor->type == SourceType::I64 || tensor->type == SourceType::Other)
        return bad("has the type " + tensor->typeName);
      if (piece.col0 % blockElements(tensor->type))
        return bad(
            fmt::format("is cut at column {}, inside a block", piece.col0));
    }
  return Done{};
}

std::string weightsId(const ProgramPlan &plan, const TensorSource &source) {
  std::string text = "gemmac weights " + std::to_string(weightsVersion) + "\n";
  auto add = [&](const std::string &s) { text += s + '\n'; };
  auto number = [&](uint64_t n) { text += std::to_string(n) + ' '; };
  for (const PackedWeight &w : plan.weights) {
    add(w.name + ' ' + w.format + ' ' + w.layout);
    for (int64_t n : {w.rows, w.cols, w.stack, w.interleave, w.bytes, w.offset})
      number(n);
    for (const Piece &p : w.pieces) {
      add(p.tensor);
      for (int64_t n : {p.row0, p.row1, p.col0, p.col1})
        number(n);
      if (const SourceTensor *t = source.find(p.tensor)) {
        add(t->fileName + ' ' + t->typeName + t->form.text());
        number(t->file);
        number(t->bytes);
        for (int64_t dim : t->shape)
          number(dim);
        // Times may be equal where contents are not (layers of an image).
        for (uint64_t at = 0; at < t->bytes; at += t->run(at)) {
          uint64_t end = std::min<uint64_t>(t->run(at), 4096);
          number(XXH3_64bits(t->at(at), end));
          number(XXH3_64bits(t->at(at + t->run(at) - end), end));
        }
      }
    }
  }
  for (const SourceFile &file : source.files()) {
    number(file.bytes);
    number(uint64_t(file.mtimeNs));
    number(uint64_t(file.ctimeNs));
    number(file.inode); // two files may be made within one tick of the clock
  }
  XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

bool hasContents(const TensorSource &source, const PackHashes &hashes,
                 int threads) {
  std::atomic<bool> same = true;
  std::atomic<size_t> next = 0;
  const std::vector<SourceTensor> &tensors = source.tensors();
  runOnThreads(threads, [&] {
    for (size_t i = next++; i < tensors.size() && same; i = next++)
      if (auto known = hashes.sources.find(tensors[i].name);
          known != hashes.sources.end()) {
        TensorHash hash;
        hash.extend(tensors[i], tensors[i].bytes);
        if (known->second != hash.digest())
          same = false;
      }
  });
  return same;
}

Result<PackHashes> packWeights(const ProgramPlan &plan,
                               const TensorSource &source, int fd,
                               const std::string &path, uint64_t base,
                               int threads, const PackProgress &progress) {
  Shared shared{.plan = plan,
                .source = source,
                .file = {fd, base, base + plan.weightBytes()},
                .path = path,
                .base = base,
                .progress = progress,
                .total = packedSourceBytes(plan, source),
                .hashes = {},
                .mutex = {},
                .problem = {}};
  shared.hashes.weights.resize(plan.weights.size());
  shared.hashes.errors.resize(plan.weights.size());
  std::vector<std::vector<size_t>> jobs = makeJobs(plan);
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t j = next++; j < jobs.size() && !shared.stop; j = next++) {
      std::map<std::string, std::unique_ptr<TensorHash>> tensorHashes;
      for (size_t i : jobs[j]) {
        WeightPacker packer(shared, i);
        if (!packer.run(tensorHashes))
          return;
        shared.hashes.weights[i] = packer.hash();
        shared.hashes.errors[i] = packer.errors();
        std::lock_guard lock(shared.mutex);
        packer.addNotes(shared.hashes.notes);
        packer.addRounding(shared.hashes);
      }
      for (auto &[name, hash] : tensorHashes) {
        const SourceTensor &tensor = *source.find(name);
        hash->extend(tensor, tensor.bytes);
        std::lock_guard lock(shared.mutex);
        shared.hashes.sources[name] = hash->digest();
      }
    }
  };
  runOnThreads(threads, work);
  if (shared.problem)
    return *shared.problem;
  return std::move(shared.hashes);
}

} // namespace gemmac
