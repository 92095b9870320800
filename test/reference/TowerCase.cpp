// The golden pictures and sounds and their comparison.
#include "test/reference/TowerCase.h"

#include "runtime/media/mel.h"
#include "runtime/media/patches.h"
#include "runtime/media/resize.h"
#include "runtime/media/target_size.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace mlir;

namespace gemmac::reference {
namespace {

// Row of cell order (pool x pool patches together) -> row of row-major order.
std::vector<int64_t> cellOrder(int64_t rows, int64_t columns, int64_t pool) {
  std::vector<int64_t> order;
  const int64_t each = pool * pool, across = columns / pool;
  for (int64_t cell = 0; cell < rows * columns / each; ++cell)
    for (int64_t i = 0; i < each; ++i)
      order.push_back((cell / across * pool + i / pool) * columns +
                      cell % across * pool + i % pool);
  return order;
}

// Patches of a cell's side; 3 where only another segment pools.
int64_t poolOf(func::FuncOp image) {
  int64_t pool = 3;
  image.walk([&](gemma::PoolOp op) {
    pool = std::lround(std::sqrt(double(op.getCount())));
  });
  return pool;
}

int64_t columnsOf(func::FuncOp function, unsigned argument, unsigned dim = 1) {
  return cast<RankedTensorType>(function.getArgumentTypes()[argument])
      .getDimSize(dim);
}

// Rows of `x` in another order: row r of the result is row order[r].
Tensor reordered(const Tensor &x, const std::vector<int64_t> &order) {
  Tensor y(x.rows, x.cols);
  for (int64_t r = 0; r < y.rows; ++r)
    std::copy_n(x.row(order[size_t(r)]), x.cols, y.row(r));
  return y;
}

void append(Tensor &all, const Tensor &rows) {
  all.rows += rows.rows;
  all.cols = rows.cols;
  all.data.insert(all.data.end(), rows.data.begin(), rows.data.end());
}

} // namespace

int64_t cellOf(func::FuncOp image) {
  const int64_t side = std::lround(std::sqrt(columnsOf(image, 0) / 3));
  return image.getNumArguments() == 3 ? side * poolOf(image) : side;
}

Arguments pictureArguments(func::FuncOp image, const std::vector<double> &bytes,
                           int64_t height, int64_t width, double theta) {
  gm::media::Picture picture{height, width, {bytes.begin(), bytes.end()}};
  const bool tower = image.getNumArguments() == 3;
  gm::media::Patches patches;
  gm::Status made = gm::media::make_patches(
      picture, int(std::lround(std::sqrt(columnsOf(image, 0) / 3))), 0,
      patches);
  if (!made.ok())
    llvm::report_fatal_error(made.text);
  const int64_t n = patches.count, values = columnsOf(image, 0);
  Tensor pixels(n, values), position(n, 2);
  std::copy(patches.values.begin(), patches.values.end(), pixels.data.begin());
  std::copy(patches.positions.begin(), patches.positions.end(),
            position.data.begin());
  if (!tower)
    return {{"pixels", pixels}, {"position", position}};
  std::vector<int64_t> order =
      cellOrder(n / patches.columns, patches.columns, poolOf(image));
  pixels = reordered(pixels, order);
  position = reordered(position, order);
  const int64_t pairs = columnsOf(image, 2), half = pairs / 2;
  Tensor rope(n, pairs * 2);
  for (int64_t r = 0; r < n; ++r)
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = position.row(r)[i / half] *
                           std::pow(theta, -double(i % half) / double(half));
      rope.row(r)[2 * i] = roundToF32(std::cos(angle));
      rope.row(r)[2 * i + 1] = roundToF32(std::sin(angle));
    }
  return {{"pixels", pixels}, {"position", position}, {"rope_patch", rope}};
}

Arguments soundArguments(func::FuncOp audio,
                         const std::vector<double> &samples) {
  std::vector<float> sound(samples.begin(), samples.end()), values;
  int64_t columns = columnsOf(audio, 0), count = int64_t(sound.size()), rows;
  const bool mel = columns == gm::media::kMelBins;
  if (mel)
    count = std::min(count, gm::media::kMostMelSamples);
  gm::Status made =
      mel ? gm::media::log_mel(sound.data(), count, values)
          : gm::media::raw_frames(sound.data(), count, values, columns);
  if (!made.ok())
    llvm::report_fatal_error(made.text);
  rows = mel ? gm::media::mel_shape(count).valid
             : int64_t(values.size()) / columns;
  Tensor features(rows, columns);
  std::copy_n(values.begin(), features.data.size(), features.data.begin());
  return {{"features", features}};
}

namespace {

class TowerCase {
public:
  TowerCase(ModuleOp module, const WeightSource &weights,
            const GoldenFile &golden, const std::string &name, double theta,
            double tolerance, double softTolerance)
      : evaluator(module, weights), golden(golden), name(name), theta(theta),
        tolerance(tolerance), softTolerance(softTolerance),
        patches(module.lookupSymbol<func::FuncOp>("patches")),
        image(module.lookupSymbol<func::FuncOp>("image")),
        audio(module.lookupSymbol<func::FuncOp>("audio")) {
    evaluator.observer = [&](StringRef value, const Tensor &tensor) {
      seen[value.str()] = tensor;
    };
  }

  bool run() {
    bool good = read("embeds") ? prompt() : single();
    llvm::outs() << name << ": " << compared << " values "
                 << llvm::format("%.2e", worst) << (good ? "\n" : ": FAILED\n");
    return good && (compared || fail("nothing to compare"));
  }

private:
  std::optional<std::vector<double>> read(const std::string &suffix) {
    return golden.read(name + "." + suffix);
  }
  bool fail(const std::string &what) {
    llvm::outs() << name << ": " << what << "\n";
    return false;
  }
  std::vector<int64_t> shapeOf(const std::string &tensor) {
    return golden.find(tensor)->shape;
  }
  bool compare(const std::string &what, const Tensor &got, double allowed);
  std::optional<Tensor> picture(const std::string &tensor, int64_t frame,
                                bool resize);
  std::optional<Tensor> sound(Arguments arguments);
  bool single();
  bool prompt();

  Evaluator evaluator;
  const GoldenFile &golden;
  const std::string name;
  const double theta, tolerance, softTolerance;
  func::FuncOp patches, image, audio; // null: none
  std::map<std::string, Tensor> seen;
  std::vector<int64_t> order; // of the last picture's patches
  double worst = 0;
  int compared = 0;
};

bool TowerCase::compare(const std::string &what, const Tensor &got,
                        double allowed) {
  std::optional<std::vector<double>> expected = read(what);
  if (!expected)
    return fail(what + " is not in the golden file");
  if (expected->size() != got.data.size())
    return fail(what + " has " + std::to_string(got.data.size()) +
                " values, expects " + std::to_string(expected->size()));
  double most = 0;
  for (size_t i = 0; i < expected->size(); ++i) {
    const double d = std::fabs(got.data[i] - (*expected)[i]);
    most = d <= most ? most : std::isnan(d) ? INFINITY : d;
  }
  ++compared;
  worst = std::max(worst, most);
  return most <= allowed || fail(what + " differs by " + std::to_string(most) +
                                 ", expects " + std::to_string(allowed));
}

// Frame `frame` of a tensor of pictures, at the size that it has or, with
// `resize`, at that of the least budget; its soft rows.
std::optional<Tensor> TowerCase::picture(const std::string &tensor,
                                         int64_t frame, bool resize) {
  std::vector<int64_t> shape = shapeOf(tensor);
  std::vector<double> bytes = *golden.read(tensor);
  int64_t height = shape[shape.size() - 3], width = shape[shape.size() - 2];
  bytes = {bytes.begin() + frame * height * width * 3,
           bytes.begin() + (frame + 1) * height * width * 3};
  if (resize) {
    gm::media::Picture p{height, width, {bytes.begin(), bytes.end()}};
    gm::media::TargetSize size;
    if (!gm::media::target_size(height, width, 70, size).ok() ||
        !gm::media::resize(p, size.height, size.width, p).ok())
      return std::nullopt;
    height = p.height, width = p.width;
    bytes = {p.rgb.begin(), p.rgb.end()};
  }
  order = cellOrder(height / 16, width / 16, 3);
  func::FuncOp first = patches ? patches : image;
  FailureOr<std::vector<Tensor>> soft = evaluator.run(
      first, pictureArguments(first, bytes, height, width, theta));
  if (succeeded(soft) && patches)
    soft = evaluator.run(image, Arguments{{"encoded", soft->front()}});
  if (failed(soft))
    return std::nullopt;
  return soft->front();
}

std::optional<Tensor> TowerCase::sound(Arguments arguments) {
  FailureOr<std::vector<Tensor>> soft = evaluator.run(audio, arguments);
  if (failed(soft))
    return std::nullopt;
  return soft->front();
}

bool TowerCase::single() {
  std::optional<Tensor> soft;
  const bool isPicture = golden.find(name + ".image");
  if (isPicture) {
    soft = picture(name + ".image", 0, name == "photo");
  } else if (std::optional<std::vector<double>> features = read("features")) {
    std::vector<int64_t> shape = shapeOf(name + ".features");
    Tensor x(shape[0], shape[1]);
    x.data = *features;
    soft = sound({{"features", x}});
  } else {
    return fail("is no case of the golden file");
  }
  if (!soft)
    return fail("the evaluator failed");
  bool good = true;
  for (const SafetensorsEntry &entry : golden.entries()) {
    StringRef what = entry.name;
    if (!what.consume_front(name + "."))
      continue;
    std::string value = what.str();
    if (int64_t layer;
        what.consume_front("layer") && !what.getAsInteger(10, layer))
      value = (isPicture ? "v" : "a") + std::to_string(layer) + ".out";
    else
      value = (isPicture ? "vision." : "audio.") + value;
    // Small towers: what is pooled is the tower's result.
    if (!seen.count(value) && value == "vision.tower")
      value = "vision.pooled";
    auto found = seen.find(value);
    if (found == seen.end())
      continue;
    Tensor got = found->second;
    if (isPicture && got.rows == int64_t(order.size())) {
      Tensor plain(got.rows, got.cols);
      for (int64_t r = 0; r < got.rows; ++r)
        std::copy_n(got.row(r), got.cols, plain.row(order[size_t(r)]));
      got = plain;
    }
    StringRef whole(entry.name);
    const double allowed =
        whole.ends_with(".soft") ? softTolerance
        : whole.ends_with(".pooled") || whole.ends_with(".tower")
            ? 5 * tolerance
            : tolerance;
    good &= compare(entry.name.substr(name.size() + 1), got, allowed);
  }
  return good;
}

// The rows of each kind among the embeddings are the soft rows of its media, in
// their order.
bool TowerCase::prompt() {
  std::map<int64_t, Tensor> soft; // by type
  auto take = [&](int64_t type, std::optional<Tensor> rows) {
    if (rows)
      append(soft[type], *rows);
    return rows.has_value();
  };
  for (int i = 0; golden.find(name + ".image" + std::to_string(i)); ++i)
    if (!take(1, picture(name + ".image" + std::to_string(i), 0, name == "p7")))
      return fail("the evaluator failed");
  if (golden.find(name + ".frames"))
    for (int64_t f = 0; f < shapeOf(name + ".frames")[0]; ++f)
      if (!take(2, picture(name + ".frames", f, false)))
        return fail("the evaluator failed");
  for (int i = 0; golden.find(name + ".audio" + std::to_string(i)); ++i) {
    std::vector<double> samples = *read("audio" + std::to_string(i));
    for (double &x : samples)
      x /= 32768;
    if (!take(3, sound(soundArguments(audio, samples))))
      return fail("the evaluator failed");
  }
  std::vector<double> types = *read("types"), embeds = *read("embeds");
  const int64_t columns = shapeOf(name + ".embeds")[1];
  std::map<int64_t, int64_t> next;
  double most = 0;
  for (size_t r = 0; r < types.size(); ++r) {
    const auto type = int64_t(types[r]);
    if (!type)
      continue;
    const Tensor &rows = soft[type];
    if (next[type] >= rows.rows)
      return fail("too few soft rows of type " + std::to_string(type));
    for (int64_t j = 0; j < columns; ++j)
      most = std::max(most, std::fabs(rows.row(next[type])[j] -
                                      embeds[r * size_t(columns) + size_t(j)]));
    ++next[type];
    ++compared;
  }
  for (auto &[type, rows] : soft)
    if (next[type] != rows.rows)
      return fail("too many soft rows of type " + std::to_string(type));
  worst = most;
  return most <= softTolerance ||
         fail("soft rows differ by " + std::to_string(most) + ", expects " +
              std::to_string(softTolerance));
}

} // namespace

bool runTowerCase(ModuleOp module, const WeightSource &weights,
                  const GoldenFile &golden, const std::string &name,
                  double theta, double tolerance, double softTolerance) {
  return TowerCase(module, weights, golden, name, theta, tolerance,
                   softTolerance)
      .run();
}

} // namespace gemmac::reference
