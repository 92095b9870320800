// The golden cases and their comparison.
#include "test/reference/Golden.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace mlir;

namespace gemmac::reference {
namespace {

using Values = std::map<std::string, Tensor>;

// Largest absolute difference; infinite if sizes differ or a value is no
// number.
double difference(const std::vector<double> &a, const std::vector<double> &b) {
  double most = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    double d = std::fabs(a[i] - b[i]);
    most = d <= most ? most : (std::isnan(d) ? INFINITY : d);
  }
  return most;
}

std::vector<int64_t> whole(const std::vector<double> &list) {
  return {list.begin(), list.end()};
}

class Case {
public:
  Case(ModuleOp module, const WeightSource &weights, const GoldenFile &golden,
       const std::string &name, const Tolerance &tolerance)
      : runner(module, weights), golden(golden), name(name),
        tolerance(tolerance) {}

  bool run() {
    bool good = golden.find(name + ".embeds") ? media()
                : name == "decode"            ? decode()
                                              : prompt();
    llvm::outs() << name << ": logits " << text(worstLogits);
    if (compared)
      llvm::outs() << ", " << compared << " values " << text(worstValue);
    if (masks)
      llvm::outs() << ", " << masks << " masks";
    if (absent)
      llvm::outs() << ", " << absent << " not computed";
    llvm::outs() << (good ? "\n" : ": FAILED\n");
    return good;
  }

private:
  static std::string text(double value) {
    std::string result;
    llvm::raw_string_ostream(result) << llvm::format("%.2e", value);
    return result;
  }
  bool fail(const std::string &what) {
    llvm::outs() << name << "." << what << "\n";
    return false;
  }
  std::optional<std::vector<double>> input(const std::string &suffix) {
    return golden.read(name + "." + suffix);
  }
  bool checkLogits(const std::vector<double> &got, const std::string &suffix);
  bool checkValue(const SafetensorsEntry &entry, const std::string &what);
  bool checkMask(const std::string &what, const Tensor &seen);
  bool prompt();
  bool decode();
  bool media();
  bool decodeAfter(int64_t position);

  Runner runner;
  const GoldenFile &golden;
  const std::string &name;
  const Tolerance &tolerance;
  Values seen;
  double worstLogits = 0, worstValue = 0;
  int compared = 0, absent = 0, masks = 0;
};

bool Case::checkLogits(const std::vector<double> &got,
                       const std::string &suffix) {
  std::optional<std::vector<double>> expected = input(suffix);
  if (!expected)
    return fail(suffix + " is not in the golden file");
  const double d = difference(got, *expected);
  worstLogits = std::max(worstLogits, d);
  if (d <= tolerance.logits)
    return true;
  return fail(suffix + ": differs by " + text(d) + ", expects " +
              text(tolerance.logits));
}

// One intermediate; expert choices must be equal.
bool Case::checkValue(const SafetensorsEntry &entry, const std::string &what) {
  auto found = seen.find(what);
  // A dense layer has one value for both names.
  if (found == seen.end() && llvm::StringRef(what).ends_with(".ffn_sum"))
    found = seen.find(what.substr(0, what.size() - 7) + "mlp_out");
  std::optional<std::vector<double>> expected = golden.read(entry.name);
  if (!expected)
    return fail(what + " is neither f32 nor i32");
  // Segments compute some values in parts (the layers of `ple`).
  bool parts = found != seen.end() && tolerance.partial &&
               found->second.data.size() != expected->size();
  if (found == seen.end() || parts) {
    ++absent;
    return tolerance.partial || fail(what + " is not computed");
  }
  bool exact = llvm::StringRef(what).ends_with("_index");
  double d = difference(found->second.data, *expected);
  ++compared;
  worstValue = std::max(worstValue, d);
  double allowed = exact ? 0 : tolerance.values;
  return d <= allowed ||
         fail(what + ": differs by " + text(d) + ", expects " + text(allowed));
}

// One step over the whole prompt.
bool Case::prompt() {
  std::optional<std::vector<double>> ids = input("ids");
  if (!ids)
    return fail("ids is not in the golden file");
  Step step = sequence(whole(*ids));
  if (std::optional<std::vector<double>> positions = input("positions"))
    // Positions are consecutive; only the rope tables know the offset.
    step.ropeOffset = int64_t(positions->front());
  if (std::optional<std::vector<double>> rows = input("rows"))
    step.want = whole(*rows);
  runner.evaluator.observer = [&](llvm::StringRef value, const Tensor &tensor) {
    if (golden.find(name + "." + value.str()) || value.ends_with(".mlp_out"))
      seen[value.str()] = tensor;
  };
  FailureOr<Output> output = runner.step(step);
  if (failed(output))
    return fail("run: the evaluator failed");
  bool exact = golden.find(name + ".logits_exact");
  bool good =
      checkLogits(output->logits.data, exact ? "logits_exact" : "logits");
  for (const SafetensorsEntry &entry : golden.entries()) {
    llvm::StringRef what = entry.name;
    if (!what.consume_front(name + ".") || what.starts_with("logits") ||
        what == "ids" || what == "positions" || what == "rows")
      continue;
    good &= checkValue(entry, what.str());
  }
  return good;
}

// The prompt, then one token per step; the same rows again as one prompt.
bool Case::decode() {
  std::optional<std::vector<double>> ids = input("ids"),
                                     tokens = input("tokens");
  if (!ids || !tokens)
    return fail("ids or tokens is not in the golden file");
  std::vector<int64_t> all = whole(*ids);
  Step step = sequence(all);
  step.want = {int64_t(all.size()) - 1};
  std::vector<double> logits;
  for (size_t i = 0;; ++i) {
    FailureOr<Output> output = runner.step(step);
    if (failed(output))
      return fail("run: the evaluator failed");
    const std::vector<double> &row = output->logits.data;
    logits.insert(logits.end(), row.begin(), row.end());
    if (i == tokens->size())
      break;
    // The recorded tokens are greedy.
    int64_t best = std::max_element(row.begin(), row.end()) - row.begin();
    if (best != int64_t((*tokens)[i]))
      return fail("tokens: step " + std::to_string(i) + " expects token " +
                  std::to_string(int64_t((*tokens)[i])) + ", got " +
                  std::to_string(best));
    step = sequence({best}, int64_t(all.size()));
    all.push_back(best);
  }
  bool good = checkLogits(logits, "logits");
  Step again = sequence(all, 0, /*slot=*/1);
  again.want.erase(again.want.begin(), again.want.begin() + ids->size() - 1);
  FailureOr<Output> output = runner.step(again);
  if (failed(output))
    return fail("run: the evaluator failed");
  double d = difference(output->logits.data, logits);
  if (d > 1e-9)
    good = fail("logits: decoding and prefill differ by " + text(d));
  return good;
}

// The keys that an attention has read are those of the recorded mask.
bool Case::checkMask(const std::string &what, const Tensor &seen) {
  const std::string mask = seen.row(0)[2] ? "mask_sliding" : "mask_full";
  std::optional<std::vector<double>> expected = input(mask);
  if (!expected)
    return true; // a causal model has none
  ++masks;
  for (int64_t r = 0; r < seen.rows; ++r)
    for (int64_t key = 0; key < seen.rows; ++key)
      if ((key >= seen.row(r)[0] && key < seen.row(r)[1]) !=
          ((*expected)[size_t(r * seen.rows + key)] != 0))
        return fail(what + ": row " + std::to_string(r) + " and key " +
                    std::to_string(key) + " differ from " + mask);
  return true;
}

// The recorded tokens after the prompt, one per step.
bool Case::decodeAfter(int64_t position) {
  std::optional<std::vector<double>> ids = input("decode_ids");
  std::vector<double> logits;
  for (double id : ids.value_or(std::vector<double>())) {
    FailureOr<Output> output = runner.step(sequence({int64_t(id)}, position++));
    if (failed(output))
      return fail("run: the evaluator failed");
    llvm::append_range(logits, output->logits.data);
  }
  return !ids || checkLogits(logits, "decode_logits");
}

// One step over a prompt whose rows of media come from its `embeds`.
bool Case::media() {
  std::optional<std::vector<double>> ids = input("ids"), types = input("types"),
                                     embeds = input("embeds");
  const SafetensorsEntry *logits = golden.find(name + ".logits");
  if (!ids || !types || !logits || ids->empty() || types->size() != ids->size())
    return fail("ids, types or logits is not in the golden file");
  const int64_t rows = int64_t(ids->size()),
                width = int64_t(embeds->size()) / rows;
  Step step = sequence(whole(*ids));
  for (size_t r = 0; r < ids->size(); ++r)
    if ((*types)[r] != 0) {
      step.ids[r] = -1 - step.soft.rows++;
      auto row = embeds->begin() + int64_t(r) * width;
      step.soft.data.insert(step.soft.data.end(), row, row + width);
    }
  step.soft.cols = width;
  step.ends = blockEnds(whole(*types));
  step.want.erase(step.want.begin(), step.want.end() - logits->shape[0]);
  bool good = true;
  runner.evaluator.observer = [&](llvm::StringRef value, const Tensor &tensor) {
    if (value.ends_with(".seen"))
      good &= checkMask(value.str(), tensor);
    if (value == "embed" && tensor.rows == rows && // the tail's are fewer
        difference(tensor.data, *embeds) > tolerance.values)
      good = fail("embeds differ");
    if (value.consume_front("hidden."))
      seen["hidden" + value.str()] = tensor;
  };
  FailureOr<Output> output = runner.step(step);
  runner.evaluator.observer = {};
  if (failed(output))
    return fail("run: the evaluator failed");
  good &= checkLogits(output->logits.data, "logits");
  for (const SafetensorsEntry &entry : golden.entries())
    if (llvm::StringRef(entry.name).starts_with(name + ".hidden"))
      good &= checkValue(entry, entry.name.substr(name.size() + 1));
  return decodeAfter(rows) && good;
}

} // namespace

Result<GoldenFile> GoldenFile::open(const std::string &path) {
  Result<MappedFile> map = MappedFile::open(path);
  if (!map)
    return map.error();
  Result<SafetensorsHeader> header = parseSafetensors(map->text(), path);
  if (!header)
    return header.error();
  GoldenFile result;
  result.file = std::move(*map);
  result.header = std::move(*header);
  return std::move(result);
}

const SafetensorsEntry *GoldenFile::find(const std::string &name) const {
  for (const SafetensorsEntry &entry : header.entries)
    if (entry.name == name)
      return &entry;
  return nullptr;
}

std::optional<std::vector<double>>
GoldenFile::read(const std::string &name) const {
  const SafetensorsEntry *entry = find(name);
  if (!entry)
    return std::nullopt;
  const llvm::StringRef type = entry->type->name;
  const uint8_t *data = file.data() + header.dataStart + entry->begin;
  const size_t bytes = entry->end - entry->begin;
  std::vector<double> result;
  auto widen = [&](auto value) {
    for (size_t at = 0; at < bytes; at += sizeof value) {
      std::memcpy(&value, data + at, sizeof value);
      result.push_back(double(value));
    }
  };
  if (type == "F32")
    widen(float());
  else if (type == "I32")
    widen(int32_t());
  else if (type == "I16")
    widen(int16_t());
  else if (type == "U8")
    widen(uint8_t());
  else
    return std::nullopt;
  return result;
}

bool runCase(ModuleOp module, const WeightSource &weights,
             const GoldenFile &golden, const std::string &name,
             const Tolerance &tolerance) {
  return Case(module, weights, golden, name, tolerance).run();
}

} // namespace gemmac::reference
