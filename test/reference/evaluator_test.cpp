// The evaluator against numbers worked out by hand: what neither goldens nor
// pass tests reach (soft rows, image blocks, masks, ties) and the basic rules
// once more in the smallest form.
#include "test/reference/Evaluator.h"

#include "mlir/Parser/Parser.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace gemmac::reference;

namespace {

Tensor tensor(int64_t rows, int64_t cols, std::vector<double> data) {
  Tensor t(rows, cols);
  t.data = std::move(data);
  return t;
}

// A function's text and its weights; `run` gives its results.
class EvaluatorTest : public testing::Test {
protected:
  EvaluatorTest() {
    context.loadDialect<gemma::GemmaDialect, func::FuncDialect>();
  }

  std::vector<Tensor> run(const std::string &text,
                          std::vector<Tensor> arguments) {
    if (!evaluator) {
      module = parseSourceString<ModuleOp>(text, &context);
      if (!module)
        return ADD_FAILURE() << "does not parse", std::vector<Tensor>();
      evaluator.emplace(*module, [this](gemma::WeightOp op) {
        return &weights.at(op.getSymName().str());
      });
    }
    auto function = *module->getOps<func::FuncOp>().begin();
    FailureOr<std::vector<Tensor>> results =
        evaluator->run(function, arguments);
    if (failed(results))
      return ADD_FAILURE() << "does not run", std::vector<Tensor>();
    return *results;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::map<std::string, Tensor> weights;
  std::optional<Evaluator> evaluator;
};

void expectNear(const Tensor &got, std::vector<double> expected) {
  ASSERT_EQ(got.data.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(got.data[i], expected[i], 1e-12) << "element " << i;
}

TEST_F(EvaluatorTest, EmbedTakesSoftRowsUnscaled) {
  weights["e"] = tensor(2, 2, {1, 2, 3, 4});
  auto y = run(R"(
    gemma.weight @e from "e" : tensor<2x2xf32>
    func.func @f(%ids: tensor<?xi32>, %soft: tensor<?x2xf32>) -> tensor<?x2xf32> {
      %y = gemma.embed %ids, @e soft row(%soft : tensor<?x2xf32>) scale 10.0 : tensor<?xi32> -> tensor<?x2xf32>
      return %y : tensor<?x2xf32>
    })",
               {tensor(3, 1, {1, -2, -1}), tensor(2, 2, {5, 6, 7, 8})});
  expectNear(y.at(0), {30, 40, 7, 8, 5, 6});
}

TEST_F(EvaluatorTest, EmbedOfPerLayerTableReadsRowZeroForSoftTokens) {
  weights["e"] = tensor(2, 4, {1, 2, 3, 4, 5, 6, 7, 8});
  auto y = run(R"(
    gemma.weight @e from "e" : tensor<2x4xf32>
    func.func @f(%ids: tensor<?xi32>) -> tensor<?x2xf32> {
      %y = gemma.embed %ids, @e soft zero columns [1, 3] scale 2.0 : tensor<?xi32> -> tensor<?x2xf32>
      return %y : tensor<?x2xf32>
    })",
               {tensor(2, 1, {1, -1})});
  expectNear(y.at(0), {12, 14, 4, 6});
}

TEST_F(EvaluatorTest, RmsNormIsPerGroupAndTakesTheWeightAsItIs) {
  weights["w"] = tensor(1, 2, {2, 3});
  auto y = run(R"(
    gemma.weight @w from "w" : tensor<2xf32>
    func.func @f(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
      %y = gemma.rms_norm %x weight @w size 2 eps 0.5 : tensor<?x4xf32>
      return %y : tensor<?x4xf32>
    })",
               {tensor(1, 4, {1, 0, 3, 4})});
  double second = std::sqrt(13.0); // mean of squares 12.5, eps 0.5
  expectNear(y.at(0), {2, 0, 6 / second, 12 / second});
}

TEST_F(EvaluatorTest, RopePairsHalvesAndPassesTheRest) {
  auto y = run(R"(
    func.func @f(%x: tensor<?x4xf32>, %t: tensor<?x1x2xf32>) -> tensor<?x4xf32> {
      %y = gemma.rope %x, %t dim 4 pairs 1 : tensor<?x4xf32>, tensor<?x1x2xf32>
      return %y : tensor<?x4xf32>
    })",
               {tensor(1, 4, {1, 2, 3, 4}), tensor(1, 2, {0.6, 0.8})});
  expectNear(y.at(0), {0.6 - 3 * 0.8, 2, 3 * 0.6 + 0.8, 4});
}

// One head of size 2 and a window of 2. Keys are zero, so a query sees the mean
// of the values in its interval.
const char attention[] = R"(
  gemma.cache @kv heads 1 dim 2 window 2
  func.func @f(%q: tensor<?x2xf32>, %v: tensor<?x2xf32>, %slot: tensor<?xi32>,
               %pos: tensor<?xi32>, %end: tensor<?xi32>) -> tensor<?x2xf32> {
    %k = gemma.scale %v times 0.0 : tensor<?x2xf32>
    gemma.append %k, %v at (%slot, %pos) to @kv : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?xi32>, tensor<?xi32>
    %y = gemma.attention %q at (%slot, %pos) over @kv end(%end : tensor<?xi32>) : tensor<?x2xf32>, tensor<?xi32>, tensor<?xi32>
    return %y : tensor<?x2xf32>
  })";

TEST_F(EvaluatorTest, AttentionSeesTheWindowAndTheBlock) {
  // The last row of the first step belongs to another sequence.
  auto y =
      run(attention,
          {tensor(4, 2, {1, 1, 1, 1, 1, 1, 1, 1}),
           tensor(4, 2, {2, 0, 4, 0, 8, 0, 0, 5}), tensor(4, 1, {0, 0, 0, 3}),
           tensor(4, 1, {0, 1, 2, 0}), tensor(4, 1, {3, 0, 0, 0})});
  expectNear(y.at(0), {14.0 / 3, 0, 3, 0, 6, 0, 0, 5});
  // Rewriting position 2 replaces what was there.
  y = run(attention, {tensor(1, 2, {1, 1}), tensor(1, 2, {6, 0}),
                      tensor(1, 1, {0}), tensor(1, 1, {2}), tensor(1, 1, {0})});
  expectNear(y.at(0), {5, 0});
}

TEST_F(EvaluatorTest, AttentionScoresAreNotScaled) {
  auto y = run(
      R"(
    gemma.cache @kv heads 1 dim 2 window 0
    func.func @f(%k: tensor<?x2xf32>, %slot: tensor<?xi32>, %pos: tensor<?xi32>) -> tensor<?x2xf32> {
      gemma.append %k, %k at (%slot, %pos) to @kv : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?xi32>, tensor<?xi32>
      %y = gemma.attention %k at (%slot, %pos) over @kv : tensor<?x2xf32>, tensor<?xi32>, tensor<?xi32>
      return %y : tensor<?x2xf32>
    })",
      {tensor(2, 2, {1, 0, 0, 1}), tensor(2, 1, {0, 0}), tensor(2, 1, {0, 1})});
  double p = 1 / (1 + std::exp(1.0)); // weight of the score 0 beside a score 1
  expectNear(y.at(0), {1, 0, p, 1 - p});
}

TEST_F(EvaluatorTest, AttentionRefusesWhatWasNeverWritten) {
  run(attention,
      {Tensor(0, 2), Tensor(0, 2), Tensor(0, 1), Tensor(0, 1), Tensor(0, 1)});
  ScopedDiagnosticHandler quiet(&context, [](Diagnostic &) {});
  auto function = *module->getOps<func::FuncOp>().begin();
  EXPECT_TRUE(
      failed(evaluator->run(function, {Tensor(1, 2), Tensor(1, 2), Tensor(1, 1),
                                       tensor(1, 1, {7}), Tensor(1, 1)})));
}

TEST_F(EvaluatorTest, RouterPrefersTheLowerIdAndNormalisesTheChosen) {
  weights["proj"] = tensor(3, 1, {0, 1, 1});
  weights["scale"] = tensor(1, 1, {2});
  auto y = run(R"(
    gemma.weight @proj from "p" : tensor<3x1xf32>
    gemma.weight @scale from "s" : tensor<1xf32>
    func.func @f(%x: tensor<?x1xf32>) -> (tensor<?x2xf32>, tensor<?x2xi32>) {
      %w, %e = gemma.router %x, @proj, @scale top 2 factor 0.5 eps 3.0 : tensor<?x1xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
      return %w, %e : tensor<?x2xf32>, tensor<?x2xi32>
    })",
               {tensor(2, 1, {1, -1})});
  // z = x / sqrt(1 + 3) * 2 * 0.5 = x / 2.
  double p = 1 / (1 + std::exp(-0.5));
  expectNear(y.at(0), {0.5, 0.5, p, 1 - p});
  expectNear(y.at(1), {1, 2, 0, 1});
}

TEST_F(EvaluatorTest, TopLeavesMaskedIdsOutAndFillsTheRest) {
  weights["e"] =
      tensor(16, 1, {1, 5, 2, 5, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  auto y = run(
      R"(
    gemma.weight @e from "e" : tensor<16x1xf32>
    func.func @f(%h: tensor<?x1xf32>, %m: tensor<?x1xi32>) -> (tensor<?x3xi32>, tensor<?x3xf32>) {
      %i, %v = gemma.top %h, @e mask(%m : tensor<?x1xi32>) cap 2.0 count 3 : tensor<?x1xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
      return %i, %v : tensor<?x3xi32>, tensor<?x3xf32>
    })",
      {tensor(2, 1, {1, 1}), tensor(2, 1, {0b11011, 0b00100})});
  auto cap = [](double x) { return 2 * std::tanh(x / 2); };
  expectNear(y.at(0), {1, 3, 4, 2, -1, -1});
  expectNear(y.at(1), {cap(5), cap(5), cap(3), cap(2), -1e30, -1e30});
}

TEST_F(EvaluatorTest, ExpertsApplyTheirScaleAfterDown) {
  // Two experts of width 1: gate 100 (gelu = identity there), up 1 and 3.
  weights["gu"] = tensor(4, 1, {100, 1, 100, 3});
  weights["d"] = tensor(2, 1, {1, 0.5});
  weights["p"] = tensor(1, 2, {10, 2});
  auto y = run(
      R"(
    gemma.weight @gu from "gu" : tensor<2x2x1xf32>
    gemma.weight @d from "d" : tensor<2x1x1xf32>
    gemma.weight @p from "p" : tensor<2xf32>
    func.func @f(%x: tensor<?x1xf32>, %w: tensor<?x2xf32>, %e: tensor<?x2xi32>) -> tensor<?x1xf32> {
      %y = gemma.experts %x, %w, %e gate_up(@gu) down(@d) per_expert(@p) : tensor<?x1xf32>, tensor<?x2xf32>, tensor<?x2xi32>
      return %y : tensor<?x1xf32>
    })",
      {tensor(1, 1, {2}), tensor(1, 2, {0.75, 0.25}), tensor(1, 2, {1, 0})});
  // Expert 0: 200 * 2 = 400; expert 1: 200 * 6 / 2 = 600.
  expectNear(y.at(0), {0.75 * 2 * 600 + 0.25 * 10 * 400});
}

TEST_F(EvaluatorTest, RoundsToNearestEven) {
  EXPECT_EQ(roundToBf16(1.00390625), 1.0);      // half way, down to even
  EXPECT_EQ(roundToBf16(1.01171875), 1.015625); // half way, up to even
  EXPECT_EQ(roundToBf16(-3.14159265), -3.140625);
  EXPECT_EQ(roundToF32(0.1), double(0.1f));
}

} // namespace
