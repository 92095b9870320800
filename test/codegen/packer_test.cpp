// Packed weights decoded again: what is stored, and that the errors that the
// packer reports per piece are those of the stored bytes.
#include "codegen/Packer.h"
#include "targets/Layouts.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace gemmac;

namespace {

// Tensors in files without names: the packer gives pages of the mapping back.
class Memory : public TensorSource {
public:
  Memory() = default;
  ~Memory() override {
    for (const SourceTensor &t : list)
      if (t.data)
        munmap(const_cast<uint8_t *>(t.data), t.bytes);
  }

  // A tensor of these bytes.
  void add(const std::string &name, SourceType type, std::vector<int64_t> shape,
           const std::vector<uint8_t> &bytes) {
    FILE *file = tmpfile();
    EXPECT_EQ(fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    fflush(file);
    void *data =
        mmap(nullptr, bytes.size(), PROT_READ, MAP_SHARED, fileno(file), 0);
    EXPECT_NE(data, MAP_FAILED);
    fclose(file);
    list.push_back({.name = name,
                    .fileName = "model." + name,
                    .type = type,
                    .typeName = "",
                    .shape = shape,
                    .data = static_cast<uint8_t *>(data),
                    .bytes = bytes.size()});
  }
  // Normal values of deviation `scale`, rounded to `type`.
  void add(const std::string &name, SourceType type, std::vector<int64_t> shape,
           float scale, int seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, scale);
    int64_t n = 1;
    for (int64_t dim : shape)
      n *= dim;
    std::vector<uint8_t> bytes(size_t(sourceBytes(type, n)), 0);
    for (int64_t i = 0; i < n; ++i) {
      float x = normal(random);
      uint16_t half = type == SourceType::BF16
                          ? floatToBf16(x)
                          : std::bit_cast<uint16_t>(static_cast<_Float16>(x));
      if (type == SourceType::F32)
        memcpy(&bytes[size_t(i * 4)], &x, 4);
      else
        memcpy(&bytes[size_t(i * 2)], &half, 2);
    }
    add(name, type, shape, bytes);
  }
  // The stack `stack` again, as `name`, with members that lie in reverse.
  void addApart(const std::string &name, const std::string &stack) {
    SourceTensor apart = *find(stack);
    size_t count = size_t(apart.shape[0]), each = apart.bytes / count;
    std::vector<uint8_t> reversed;
    for (size_t i = count; i-- > 0;)
      reversed.insert(reversed.end(), apart.data + i * each,
                      apart.data + (i + 1) * each);
    add(name + ".reversed", apart.type, {int64_t(apart.bytes)}, reversed);
    for (size_t i = count; i-- > 0;)
      apart.members.push_back(list.back().data + i * each);
    apart.name = name;
    apart.data = nullptr;
    list.push_back(apart);
  }
  // The tensor `plain` again, as `name`, as a file of that form would have it;
  // not `change`: the same values.
  void addInForm(const std::string &name, const std::string &plain,
                 const StoredForm &form, bool change = true) {
    const SourceTensor from = *find(plain);
    const std::vector<int64_t> &s = from.shape;
    const int64_t cols = from.cols(), rows = from.elements() / cols,
                  each = sourceBytes(from.type, 1);
    std::vector<uint8_t> bytes(from.data, from.data + from.bytes);
    for (int64_t r = 0; change && r < rows; ++r)
      for (int64_t k = 0; k < cols; ++k) {
        // (y, x, channel) -> (channel, y, x); rows (i, j) -> (j, i).
        const int64_t pixel = k / 3, channel = k % 3,
                      column =
                          form.planes == 3 ? channel * (cols / 3) + pixel : k,
                      row = form.exchanged ? (r % s[1]) * s[0] + r / s[1] : r;
        uint8_t *to = &bytes[size_t((row * cols + column) * each)];
        memcpy(to, from.data + (r * cols + k) * each, size_t(each));
        if (!form.softplus)
          continue;
        float x = std::log1p(std::exp(value(plain, r * cols + k)));
        uint16_t half = from.type == SourceType::BF16
                            ? floatToBf16(x)
                            : std::bit_cast<uint16_t>(static_cast<_Float16>(x));
        if (from.type == SourceType::F32)
          memcpy(to, &x, 4);
        else
          memcpy(to, &half, 2);
      }
    add(name, from.type, s, bytes);
    list.back().form = form;
  }
  const std::vector<SourceTensor> &tensors() const override { return list; }
  const std::vector<SourceFile> &files() const override { return none; }
  const SourceTensor *find(const std::string &name) const override {
    for (const SourceTensor &t : list)
      if (t.name == name)
        return &t;
    return nullptr;
  }
  float value(const std::string &name, int64_t index) const {
    const SourceTensor &t = *find(name);
    float x;
    dequantizeRow(t.type, t.data + sourceBytes(t.type, index), 1, &x);
    return x;
  }

private:
  std::vector<SourceTensor> list;
  std::vector<SourceFile> none;
};

// The stored value at (row, col), as targets/Layouts.h says.
float decode(const std::vector<uint8_t> &bytes, const PackedWeight &w,
             int64_t row, int64_t col) {
  const Layout &layout = *findLayout(w.layout);
  const uint8_t *at =
      bytes.data() + w.offset + layout.address(row, col, w.cols);
  if (w.format == "f32")
    return std::bit_cast<float>(at[0] | at[1] << 8 | at[2] << 16 |
                                uint32_t(at[3]) << 24);
  if (w.format == "bf16")
    return bf16ToFloat(uint16_t(at[0] | at[1] << 8));
  const int64_t r = row % 16, k = col % 32;
  uint16_t bits;
  memcpy(&bits, at + layout.blockBytes - 32 + r * 2, 2);
  float scale = w.format == "q4_bf" ? bf16ToFloat(bits) : halfToFloat(bits);
  if (w.format == "q8_0")
    return scale * float(int(at[k / 4 * 64 + r * 4 + k % 4]) - 128);
  int pair = at[k % 16 / 4 * 64 + r * 4 + k % 4];
  return scale * float((k < 16 ? pair & 15 : pair >> 4) - 8);
}

struct Packed {
  std::vector<uint8_t> bytes;
  PackHashes hashes;
};

Packed pack(const ProgramPlan &plan, const Memory &source, int threads) {
  char path[] = "/tmp/packer-test-XXXXXX";
  int fd = mkstemp(path);
  EXPECT_GE(fd, 0);
  unlink(path);
  Result<PackHashes> hashes =
      packWeights(plan, source, fd, path, 0, threads, {});
  EXPECT_TRUE(bool(hashes)) << (hashes ? "" : hashes.error().message);
  Packed packed{std::vector<uint8_t>(plan.weightBytes()), *hashes};
  EXPECT_EQ(pread(fd, packed.bytes.data(), packed.bytes.size(), 0),
            ssize_t(packed.bytes.size()));
  close(fd);
  return packed;
}

// One weight of two tensors, rows below each other or interleaved in blocks of
// 32; compares every value and the errors of both pieces with plain sums.
void check(const std::string &format, SourceType first, SourceType second,
           int64_t interleave, bool rows = false) {
  Memory source;
  const int64_t cols = 96, rowsOf[2] = {interleave ? 64 : 40, 64};
  const char *const names[2] = {"a", "b"};
  source.add("a", first, {rowsOf[0], cols}, 0.02f, 1);
  source.add("b", second, {rowsOf[1], cols}, 3, 2);
  const Layout &layout = rows ? rowsLayout(format) : matrixLayout(format);
  PackedWeight w;
  w.name = "ab", w.format = format, w.layout = layout.name;
  w.rows = rowsOf[0] + rowsOf[1], w.cols = cols, w.interleave = interleave;
  w.bytes = layout.bytes(w.rows, cols);
  w.pieces = {{"a", 0, rowsOf[0], 0, cols}, {"b", 0, rowsOf[1], 0, cols}};
  ProgramPlan plan;
  plan.weights = {w};
  Packed packed = pack(plan, source, 2);
  ASSERT_EQ(packed.hashes.errors.size(), 1u);
  ASSERT_EQ(packed.hashes.errors[0].size(), 2u);
  for (int p = 0; p < 2; ++p) {
    double largest = 0, squares = 0, energy = 0;
    for (int64_t r = 0; r < rowsOf[p]; ++r)
      for (int64_t c = 0; c < cols; ++c) {
        int64_t row =
            interleave ? (r / 32 * 2 + p) * 32 + r % 32 : p * rowsOf[0] + r;
        float x = source.value(names[p], r * cols + c),
              d = std::fabs(decode(packed.bytes, w, row, c) - x);
        largest = std::max(largest, double(d));
        squares += double(d) * d;
        energy += double(x) * x;
      }
    const StoredError &error = packed.hashes.errors[0][p];
    SCOPED_TRACE(format + " piece " + names[p]);
    EXPECT_EQ(error.values, rowsOf[p] * cols);
    EXPECT_EQ(error.largest, largest);
    EXPECT_NEAR(error.rms(), std::sqrt(squares / double(error.values)),
                1e-5 * error.rms());
    EXPECT_NEAR(error.relative(), std::sqrt(squares / energy),
                1e-5 * error.relative());
    bool exact = format == "f32" || (p ? second : first) == SourceType::BF16;
    if (format == "f32" || format == "bf16")
      EXPECT_EQ(largest == 0, exact);
    else
      EXPECT_GT(largest, 0);
    // Half a step of a block: q8 1/127 of its largest value, 4-bit up to 1/7.
    double step = format == "q8_0"   ? 1.02 / 127
                  : format == "bf16" ? 1.0 / 128
                                     : 1.1 / 7;
    EXPECT_LT(error.largest, (p ? 3 : 0.02) * 4.5 * step / 2 * 1.2);
  }
}

// The bytes of one tensor in every layout. Where one of these hashes changes,
// programs would reuse external weights that this compiler would not write:
// raise weightsVersion (codegen/Packer.h) and record the new bytes with it.
TEST(Packer, BytesBesideTheirVersion) {
  constexpr int version = 4;
  const std::map<std::string, uint64_t> recorded = {
      {"f32_16", 0xf1380b88b4b5b3bb},
      {"bf16_16x2", 0xfc79d92171d40ef0},
      {"f32_rows", 0x8a6ad5dad6018314},
      {"bf16_rows", 0xa7d7c67b7d35f1d2},
      {"q8_0_rows", 0x8118880730bd436},
      {"q4_0_rows", 0x2082f1740ecf4848},
      {"q4_bf_rows", 0x3876cf691555e9fa},
      {"q8_0_16x32", 0x32b6ca380ada9dd2},
      {"q8_0s_16x32", 0x6bbe49492725314d},
      {"q8_0_split_16x32", 0x57a8bc94e4f2a023},
      {"q8_0_low_16x32", 0x33681ec8442d08f2},
      {"q4_0_16x32", 0x66cd96dd5c213b3b},
      {"q4_bf_16x32", 0xccea1a8d042a9d02},
  };
  const int64_t rows = 48, cols = 96;
  std::vector<float> values;
  uint32_t state = 1;
  for (int64_t i = 0; i < rows * cols; ++i) {
    state = state * 1664525 + 1013904223;
    // Rows of all magnitudes; a block of zeros; one with a single outlier.
    float x = std::ldexp(float(int32_t(state >> 8) - (1 << 23)),
                         -int(10 + i / cols % 24));
    values.push_back(i < 32 ? 0 : i == 40 ? 3e4f : x);
  }
  std::vector<uint8_t> bytes(values.size() * 4);
  memcpy(bytes.data(), values.data(), bytes.size());
  Memory source;
  source.add("a", SourceType::F32, {rows, cols}, bytes);
  EXPECT_EQ(weightsVersion, version);
  for (const Layout &layout : allLayouts()) {
    PackedWeight w;
    w.name = "a", w.format = layout.format, w.layout = layout.name;
    w.rows = rows, w.cols = cols, w.bytes = layout.bytes(rows, cols);
    w.pieces = {{"a", 0, rows, 0, cols}};
    ProgramPlan plan;
    plan.weights = {w};
    uint64_t hash = pack(plan, source, 1).hashes.weights[0];
    auto it = recorded.find(layout.name);
    EXPECT_TRUE(it != recorded.end() && it->second == hash)
        << "{\"" << layout.name << "\", 0x" << std::hex << hash << "},";
  }
}

TEST(Packer, PlainFormats) {
  for (SourceType type : {SourceType::F32, SourceType::F16, SourceType::BF16}) {
    check("f32", type, SourceType::F32, 0);
    check("bf16", type, SourceType::BF16, 0);
    check("bf16", SourceType::F32, type, 32);
    check("bf16", type, SourceType::F32, 0, true);
  }
}

TEST(Packer, QuantisedFormats) {
  for (const char *format : {"q8_0", "q4_0", "q4_bf"})
    for (int64_t interleave : {0, 32}) {
      check(format, SourceType::BF16, SourceType::F32, interleave);
      check(format, SourceType::F32, SourceType::F16, interleave);
    }
}

// Values on a 4-bit grid are stored as they are: no error at all.
TEST(Packer, ExactFourBits) {
  Memory source;
  std::vector<uint8_t> bytes(16 * 64 * 4, 0);
  for (int64_t i = 0; i < 16 * 64; ++i) {
    float x = float((i * 7 + i / 32) % 16 - 8) * 0.0078125f;
    memcpy(&bytes[size_t(i * 4)], &x, 4);
  }
  source.add("a", SourceType::F32, {16, 64}, bytes);
  PackedWeight w;
  w.name = "a", w.format = "q4_bf", w.layout = "q4_bf_16x32";
  w.rows = 16, w.cols = 64, w.bytes = findLayout(w.layout)->bytes(16, 64);
  w.pieces = {{"a", 0, 16, 0, 64}};
  ProgramPlan plan;
  plan.weights = {w};
  Packed packed = pack(plan, source, 1);
  EXPECT_EQ(packed.hashes.errors[0][0].largest, 0);
  EXPECT_EQ(packed.hashes.errors[0][0].squares, 0);
  EXPECT_EQ(packed.hashes.errors[0][0].relative(), 0);
  EXPECT_EQ(packed.hashes.errors[0][0].values, 16 * 64);
}

// The weight "a" of 48 x 512 values of the tensor `bytes`, in every layout.
void refuses(SourceType type, const std::vector<uint8_t> &bytes, ExitCode code,
             const std::vector<std::string> &words,
             const std::string &onlyFormat = "") {
  Memory source;
  const int64_t rows = 48, cols = 512;
  source.add("a", type, {rows, cols}, bytes);
  for (const Layout &layout : allLayouts()) {
    // The errors of the last bits are those of the first.
    if (!onlyFormat.empty() &&
        (layout.format != onlyFormat || layout.bits == Layout::LastFour))
      continue;
    SCOPED_TRACE(layout.name);
    PackedWeight w;
    w.name = "a", w.format = layout.format, w.layout = layout.name;
    w.rows = rows, w.cols = cols, w.bytes = layout.bytes(rows, cols);
    w.pieces = {{"a", 0, rows, 0, cols}};
    ProgramPlan plan;
    plan.weights = {w};
    FILE *file = tmpfile();
    Result<PackHashes> hashes =
        packWeights(plan, source, fileno(file), "p", 0, 2, {});
    fclose(file);
    ASSERT_FALSE(bool(hashes));
    EXPECT_EQ(hashes.error().code, code);
    for (const std::string &word : words)
      EXPECT_NE(hashes.error().message.find(word), std::string::npos)
          << hashes.error().message;
  }
}

// What a file permutes and precomputes is undone, whatever the format.
TEST(Packer, OtherForms) {
  const struct {
    std::vector<int64_t> shape;
    StoredForm form;
  } cases[] = {{{48, 96}, {.planes = 3}},
               {{1, 96}, {.planes = 3}},
               {{5, 7, 32}, {.exchanged = true}},
               {{3, 64}, {.softplus = true}}};
  for (const auto &c : cases)
    for (SourceType type : {SourceType::F32, SourceType::F16, SourceType::BF16})
      for (const char *format : {"f32", "bf16", "q8_0"}) {
        SCOPED_TRACE(c.form.text() + " " + sourceWord(type) + " " + format);
        const int64_t cols = c.shape.back();
        int64_t rows = 1;
        for (size_t d = 0; d + 1 < c.shape.size(); ++d)
          rows *= c.shape[d];
        Memory source;
        source.add("plain", type, c.shape, 1, 7);
        source.addInForm("t", "plain", c.form);
        const Layout &layout = matrixLayout(format);
        ProgramPlan plan, plain;
        PackedWeight w;
        w.name = "w", w.format = format, w.layout = layout.name;
        w.rows = rows, w.cols = cols, w.bytes = layout.bytes(rows, cols);
        w.pieces = {{"t", 0, rows, 0, cols}};
        plan.weights = {w};
        w.pieces[0].tensor = "plain";
        plain.weights = {w};
        Packed packed = pack(plan, source, 1),
               straight = pack(plain, source, 1);
        EXPECT_NE(weightsId(plan, source), weightsId(plain, source));
        if (!c.form.softplus) {
          EXPECT_EQ(packed.bytes, straight.bytes);
          continue;
        }
        // Rounding in the file's type is all that is lost.
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t k = 0; k < cols; ++k)
            EXPECT_NEAR(decode(packed.bytes, w, r, k),
                        source.value("plain", r * cols + k),
                        type == SourceType::F32 && format == w.format &&
                                std::string(format) == "f32"
                            ? 1e-5
                            : 0.1);
      }
}

TEST(Packer, RefusesWhatSoftplusNeverGives) {
  for (float bad : {0.0f, -1.0f}) {
    Memory source;
    std::vector<float> values(64, 1);
    values[37] = bad;
    std::vector<uint8_t> bytes(256);
    memcpy(bytes.data(), values.data(), 256);
    source.add("plain", SourceType::F32, {2, 32}, bytes);
    source.addInForm("a", "plain", {.softplus = true}, false);
    const Layout &layout = matrixLayout("f32");
    PackedWeight w;
    w.name = "a", w.format = layout.format, w.layout = layout.name;
    w.rows = 2, w.cols = 32, w.bytes = layout.bytes(2, 32);
    w.pieces = {{"a", 0, 2, 0, 32}};
    ProgramPlan plan;
    plan.weights = {w};
    FILE *file = tmpfile();
    Result<PackHashes> hashes =
        packWeights(plan, source, fileno(file), "p", 0, 1, {});
    fclose(file);
    ASSERT_FALSE(bool(hashes));
    EXPECT_EQ(hashes.error().code, ExitCode::BadInput);
    for (const char *word : {"'model.a'", "finite values above 0", "[1, 5]"})
      EXPECT_NE(hashes.error().message.find(word), std::string::npos)
          << hashes.error().message;
  }
}

// Experts that are tensors of their own: the same bytes and hashes.
TEST(Packer, MembersThatLieApart) {
  const int64_t stack = 3, rows = 2080, cols = 96;
  Memory source;
  source.add("t", SourceType::BF16, {stack, rows, cols}, 0.02f, 3);
  source.addApart("apart", "t");
  for (const char *format : {"f32", "bf16", "q8_0", "q4_0"}) {
    const Layout &layout = matrixLayout(format);
    ProgramPlan plan, apart;
    PackedWeight w;
    w.name = "w", w.format = format, w.layout = layout.name;
    w.rows = rows, w.cols = cols, w.stack = stack;
    w.bytes = layout.bytes(rows, cols) * stack;
    w.pieces = {{"t", 0, rows, 0, cols}};
    plan.weights = {w};
    w.pieces[0].tensor = "apart";
    apart.weights = {w};
    ASSERT_TRUE(checkPieces(apart, source));
    Packed one = pack(plan, source, 1), other = pack(apart, source, 2);
    EXPECT_EQ(one.bytes, other.bytes) << format;
    EXPECT_EQ(one.hashes.weights, other.hashes.weights);
    EXPECT_EQ(one.hashes.sources["t"], other.hashes.sources["apart"]);
    EXPECT_TRUE(hasContents(source, other.hashes, 2));
    EXPECT_NE(weightsId(plan, source), weightsId(apart, source));
  }
}

// Bits of all ones as exponent: of a value, or of a scale or minimum of a
// block, at 37, 300 of every type and in every layout.
TEST(Packer, RefusesWhatIsNotFinite) {
  struct {
    SourceType type;
    std::vector<int> fields; // where the f16 of a block are
    uint32_t infinity;
  } const types[] = {
      {SourceType::F32, {0}, 0x7f800000}, {SourceType::F16, {0}, 0x7c00},
      {SourceType::BF16, {0}, 0x7f80},    {SourceType::Q8_0, {0}, 0x7c00},
      {SourceType::Q4_0, {0}, 0x7c00},    {SourceType::Q4_1, {0, 2}, 0x7c00},
      {SourceType::Q5_0, {0}, 0x7c00},    {SourceType::Q5_1, {0, 2}, 0x7c00},
      {SourceType::Q4_K, {0, 2}, 0x7c00}, {SourceType::Q5_K, {0, 2}, 0x7c00},
      {SourceType::Q6_K, {208}, 0x7c00},
  };
  for (const auto &t : types)
    for (int field : t.fields)
      for (uint32_t bits : {t.infinity, t.infinity | 1, ~uint32_t(0)}) {
        SCOPED_TRACE(sourceWord(t.type));
        const int64_t col = 300 / blockElements(t.type) * blockElements(t.type);
        std::vector<uint8_t> bytes(size_t(sourceBytes(t.type, 48 * 512)), 0);
        memcpy(&bytes[size_t(sourceBytes(t.type, 37 * 512 + col) + field)],
               &bits, t.type == SourceType::F32 ? 4 : 2);
        refuses(t.type, bytes, ExitCode::BadInput,
                {"tensor 'model.a'", "finite",
                 "[37, " + std::to_string(col) + "]"});
      }
}

// What no scale of f16, or no bf16, can hold must not become infinite.
TEST(Packer, RefusesWhatIsTooLargeForTheFormat) {
  std::vector<uint8_t> bytes(48 * 512 * 4, 0);
  const float largest = std::numeric_limits<float>::max();
  memcpy(&bytes[(37 * 512 + 300) * 4], &largest, 4);
  for (const char *format : {"bf16", "q8_0", "q4_0"})
    refuses(SourceType::F32, bytes, ExitCode::Unsupported,
            {"tensor 'model.a'", "too large", format, "--quant=f32"}, format);
}

TEST(StoredError, AnyLength) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (int64_t n : {0, 1, 15, 16, 31, 255, 256, 257, 1000}) {
    std::vector<float> a(size_t(n), 0), b(size_t(n), 0);
    double largest = 0, squares = 0, energy = 0;
    for (int64_t i = 0; i < n; ++i) {
      a[size_t(i)] = normal(random);
      b[size_t(i)] = a[size_t(i)] + 0.01f * normal(random);
      double d = std::fabs(b[size_t(i)] - a[size_t(i)]);
      largest = std::max(largest, d);
      squares += d * d;
      energy += double(a[size_t(i)]) * a[size_t(i)];
    }
    StoredError error;
    measureError(a.data(), b.data(), n, error);
    EXPECT_EQ(error.values, n);
    EXPECT_EQ(error.largest, largest);
    EXPECT_NEAR(error.squares, squares, 1e-5 * squares);
    EXPECT_NEAR(error.source, energy, 1e-5 * energy);
  }
}

} // namespace
