// kernel-verify-plan rejects broken plans: a real plan is broken in one place
// at a time and must be refused with a message that names the break.
#include "passes/Passes.h"
#include "passes/Pipelines.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <functional>
#include <gtest/gtest.h>

using namespace mlir;
using namespace gemmac;

namespace {

class PlanMutation : public testing::Test {
protected:
  PlanMutation() {
    context.loadDialect<gemma::GemmaDialect, kernel::KernelDialect,
                        func::FuncDialect>();
    shared = planned(PLAN_INPUT);
    experts = planned(MOE_INPUT);
  }

  OwningOpRef<ModuleOp> planned(const char *path) {
    OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(path, &context);
    PassManager pm(&context);
    PipelineOptions options;
    buildSelectPipeline(pm, options);
    buildPlanPipeline(pm, options);
    EXPECT_TRUE(module && succeeded(pm.run(*module))) << path;
    return module;
  }

  // The first error of the op verifiers or of the checker; empty if none.
  std::string check(ModuleOp module) {
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      if (message.empty() &&
          diagnostic.getSeverity() == DiagnosticSeverity::Error)
        message = diagnostic.str();
      return success();
    });
    PassManager pm(&context);
    pm.enableVerifier(false);
    pm.addPass(createVerifyPlan());
    bool ok = succeeded(verify(module)) && succeeded(pm.run(module));
    EXPECT_EQ(ok, message.empty());
    return message;
  }

  // Breaks a copy of the plan; `expected` must be part of the message.
  void broken(const char *what, ModuleOp plan,
              std::function<void(ModuleOp)> mutate, StringRef expected) {
    OwningOpRef<ModuleOp> copy(cast<ModuleOp>(plan->clone()));
    mutate(*copy);
    std::string message = check(*copy);
    EXPECT_TRUE(StringRef(message).contains(expected))
        << what << ": expected an error with \"" << expected.str()
        << "\", got \"" << message << "\"";
  }

  static func::FuncOp function(ModuleOp module, StringRef name) {
    return module.lookupSymbol<func::FuncOp>(name);
  }
  // The `index`th call of a family in a function.
  static kernel::CallOp call(ModuleOp module, StringRef name, StringRef family,
                             unsigned index = 0) {
    kernel::Symbols symbols(module);
    for (auto op : function(module, name).front().getOps<kernel::CallOp>())
      if (symbols.def(op).getFamily() == family && index-- == 0)
        return op;
    ADD_FAILURE() << "no " << family.str() << " in " << name.str();
    abort();
  }
  static kernel::PlaceAttr place(kernel::CallOp op, unsigned result = 0) {
    return kernel::placeOf(op->getResult(result));
  }
  static void setPlace(kernel::CallOp op, kernel::PlaceAttr place,
                       unsigned result = 0) {
    SmallVector<Attribute> places(op.getAtAttr().getValue());
    places[result] = place;
    op.setAtAttr(ArrayAttr::get(op.getContext(), places));
  }
  static void setPlace(kernel::CallOp op, kernel::Space space, int64_t offset,
                       unsigned result = 0) {
    setPlace(op, kernel::PlaceAttr::at(op.getContext(), space, offset), result);
  }
  static void setPlace(kernel::CallOp op, Io io) {
    setPlace(op, kernel::PlaceAttr::at(op.getContext(), io));
  }
  static void setScalar(kernel::CallOp op, StringRef name, int64_t value) {
    NamedAttrList scalars(op.getScalarsAttr());
    scalars.set(name, Builder(op.getContext()).getI64IntegerAttr(value));
    op.setScalarsAttr(scalars.getDictionary(op.getContext()));
  }
  static void setMemory(func::FuncOp func, int64_t worker, int64_t row,
                        int64_t key) {
    auto old = func->getAttrOfType<kernel::MemoryAttr>(kernel::memoryAttr);
    func->setAttr(kernel::memoryAttr,
                  kernel::MemoryAttr::get(func.getContext(),
                                          worker < 0 ? old.getWorker() : worker,
                                          row < 0 ? old.getRow() : row,
                                          key < 0 ? old.getKey() : key));
  }
  static kernel::WeightOp weight(ModuleOp module, StringRef name) {
    return module.lookupSymbol<kernel::WeightOp>(name);
  }
  static kernel::CacheOp cache(ModuleOp module, StringRef name) {
    return module.lookupSymbol<kernel::CacheOp>(name);
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> shared, experts;
};

TEST_F(PlanMutation, PlansAreAccepted) {
  EXPECT_EQ(check(*shared), "");
  EXPECT_EQ(check(*experts), "");
}

// The planner puts no barrier that the checker thinks redundant, and the
// checker misses none.
TEST_F(PlanMutation, EveryBarrierIsNeeded) {
  int removed = 0;
  for (ModuleOp plan : {*shared, *experts})
    for (auto original : plan.getOps<func::FuncOp>()) {
      unsigned count =
          llvm::range_size(original.front().getOps<kernel::BarrierOp>());
      for (unsigned i = 0; i < count; ++i) {
        OwningOpRef<ModuleOp> copy(cast<ModuleOp>(plan->clone()));
        func::FuncOp func = function(*copy, original.getSymName());
        auto barriers =
            llvm::to_vector(func.front().getOps<kernel::BarrierOp>());
        barriers[i].erase();
        EXPECT_TRUE(StringRef(check(*copy)).contains("expects a barrier after"))
            << original.getSymName().str() << " barrier " << i;
        ++removed;
      }
    }
  EXPECT_GT(removed, 80);
}

// A barrier moved behind the call that needs it does not help.
TEST_F(PlanMutation, BarriersStandInFront) {
  for (unsigned i = 0; i < 9; ++i)
    broken(
        "late barrier", *shared,
        [&](ModuleOp m) {
          auto barriers = llvm::to_vector(
              function(m, "body_few").front().getOps<kernel::BarrierOp>());
          barriers[i]->moveAfter(barriers[i]->getNextNode());
        },
        "expects a barrier after");
}

// Every shared value moved onto every other that is alive with it.
TEST_F(PlanMutation, NoValueMayLieOnAnother) {
  int moved = 0, accepted = 0;
  for (StringRef name : {"body_few", "body_many", "tail_few", "tail_many"}) {
    unsigned count = llvm::range_size(
        function(*shared, name).front().getOps<kernel::CallOp>());
    for (unsigned i = 0; i < count; ++i) {
      OwningOpRef<ModuleOp> copy(cast<ModuleOp>(shared->clone()));
      auto calls = llvm::to_vector(
          function(*copy, name).front().getOps<kernel::CallOp>());
      kernel::CallOp victim = calls[i];
      if (victim.getNumResults() == 0 ||
          place(victim).getSpace() == kernel::Space::Io)
        continue;
      // Onto the operand of its first reader that is not the value itself: both
      // must be alive at that call.
      for (Operation *user : victim.getResult(0).getUsers())
        for (Value other : user->getOperands()) {
          auto producer = other.getDefiningOp<kernel::CallOp>();
          if (!producer || producer == victim ||
              producer->isBeforeInBlock(victim) == false ||
              place(producer).getSpace() != place(victim).getSpace())
            continue;
          setPlace(victim, place(producer));
          ++moved;
          accepted += check(*copy).empty();
        }
    }
  }
  EXPECT_GT(moved, 5);
  EXPECT_EQ(accepted, 0);
}

TEST_F(PlanMutation, Places) {
  auto few = [](ModuleOp m, StringRef family, unsigned i = 0) {
    return call(m, "body_few", family, i);
  };
  broken(
      "no places", *shared,
      [&](ModuleOp m) { few(m, "linear").removeAtAttr(); },
      "expects a place for every result");
  broken(
      "private result shared", *shared,
      [&](ModuleOp m) { setPlace(few(m, "norm"), kernel::Space::Row, 0); },
      "expects the result of axis all at worker + o, got row + 0");
  broken(
      "shared result private", *shared,
      [&](ModuleOp m) { setPlace(few(m, "linear"), kernel::Space::Worker, 0); },
      "expects the result of axis blocks at row + o, got worker + 0");
  broken(
      "partials per row", *shared,
      [&](ModuleOp m) { setPlace(few(m, "attend"), kernel::Space::Row, 0); },
      "expects the result of axis splits at key + o, got row + 0");
  broken(
      "unaligned", *shared,
      [&](ModuleOp m) { setPlace(few(m, "norm"), kernel::Space::Worker, 32); },
      "expects a place at a multiple of 64");
  broken(
      "outside", *shared,
      [&](ModuleOp m) {
        setPlace(few(m, "linear"), kernel::Space::Row, 1048576);
      },
      "bytes of row memory");
  broken(
      "far outside", *shared,
      [&](ModuleOp m) {
        setPlace(few(m, "linear"), kernel::Space::Row, 9223372036854775744);
      },
      "expects an offset below 2^50");
  broken(
      "too little memory", *shared,
      [&](ModuleOp m) { setMemory(function(m, "body_few"), 1024, -1, -1); },
      "expects places within 1024 bytes of worker memory");
  broken(
      "no memory", *shared,
      [&](ModuleOp m) { setMemory(function(m, "body_few"), -1, -1, 0); },
      "expects places within 0 bytes of key memory");
  broken(
      "memory missing", *shared,
      [&](ModuleOp m) {
        function(m, "body_few")->removeAttr(kernel::memoryAttr);
      },
      "expects kernel.memory");
  broken(
      "io that is not returned", *shared,
      [&](ModuleOp m) { setPlace(few(m, "linear"), Io::resid); },
      "expects results at io resid to be returned");
  broken(
      "wrong io", *shared,
      [&](ModuleOp m) { setPlace(few(m, "copy"), Io::hidden); },
      "expects result 0 at io resid");
  broken(
      "returned from the arena", *shared,
      [&](ModuleOp m) {
        setMemory(function(m, "body_few"), -1, 4096, -1);
        setPlace(few(m, "copy"), kernel::Space::Row, 2048);
      },
      "expects result 0 at io resid");
  broken(
      "results on each other", *experts,
      [&](ModuleOp m) {
        auto norms = few(m, "norms3");
        setPlace(norms, place(norms, 0), 2);
      },
      "expects results at different bytes");
  broken(
      "result on its own input", *shared,
      [&](ModuleOp m) { setPlace(few(m, "norm"), place(few(m, "embed"))); },
      "expects result 0 apart from input 0 (x)");
  broken(
      "not quite in place", *shared,
      [&](ModuleOp m) {
        auto update = few(m, "add_norm");
        setPlace(update, kernel::Space::Worker, place(update).getOffset() + 64);
      },
      "expects result 0 apart from input 0 (h)");
  broken(
      "in place of a value that lives on", *shared,
      [&](ModuleOp m) {
        // The residual that leaves is read after this update in a many
        // function.
        auto update = few(m, "add_norm", 1);
        auto reader = few(m, "copy");
        reader->setOperand(0, update.getInputs()[0]);
      },
      "has overwritten");
  broken(
      "overwritten before its use", *shared,
      [&](ModuleOp m) {
        // The per-layer inputs live long; the product of the output matrix
        // lands there.
        setMemory(function(m, "body_few"), -1, 4096, -1);
        setPlace(few(m, "linear", 2), place(few(m, "ple_finish")));
      },
      "has overwritten");
}

TEST_F(PlanMutation, CallsAndArguments) {
  auto few = [](ModuleOp m, StringRef family, unsigned i = 0) {
    return call(m, "body_few", family, i);
  };
  broken(
      "columns left out", *shared,
      [&](ModuleOp m) { few(m, "linear", 1).setUnits(7); },
      "expects 8 units of blocks, got 7");
  broken(
      "columns beyond the end", *shared,
      [&](ModuleOp m) { few(m, "linear_geglu").setUnits(4); },
      "expects 3 units of blocks, got 4");
  broken(
      "heads left out", *experts,
      [&](ModuleOp m) { few(m, "attend").setUnits(1); },
      "expects 2 units of splits, got 1");
  broken(
      "parts left out", *shared,
      [&](ModuleOp m) { call(m, "top_few", "top").setUnits(19); },
      "expects 20 units of blocks, got 19");
  broken(
      "half a row op", *shared,
      [&](ModuleOp m) { call(m, "body_many", "norm").setUnits(2); },
      "expects 1 units of rows, got 2");
  broken(
      "stride", *shared,
      [&](ModuleOp m) { setScalar(few(m, "linear", 1), "stride", 96); },
      "expects scalar stride = 128, got 96");
  broken(
      "query column", *shared,
      [&](ModuleOp m) { setScalar(few(m, "rope_q"), "column", 80); },
      "expects columns [80, 144) within 128");
  broken(
      "value column", *shared,
      [&](ModuleOp m) { setScalar(few(m, "append"), "v_column", 112); },
      "expects columns [112, 144) within 128");
  broken(
      "slice of per-layer inputs", *shared,
      [&](ModuleOp m) {
        setScalar(call(m, "tail_few", "linear_ple"), "column", 64);
      },
      "expects columns [64, 96) within 64");
  broken(
      "vocabulary", *shared,
      [&](ModuleOp m) { setScalar(call(m, "top_few", "top"), "vocab", 319); },
      "expects scalar vocab = 320");
  broken(
      "splits of the other table", *shared,
      [&](ModuleOp m) {
        call(m, "tail_few", "attend")
            ->setOperand(2, call(m, "tail_few", "attend", 1).getInputs()[2]);
      },
      "expects input splits from io split_global, got split_local");
  broken(
      "partial counts of the other table", *shared,
      [&](ModuleOp m) {
        call(m, "tail_few", "merge")
            ->setOperand(1, call(m, "tail_few", "merge", 1).getInputs()[1]);
      },
      "expects input parts from io parts_global, got parts_local");
  broken(
      "a value for a step array", *shared,
      [&](ModuleOp m) {
        function(m, "body_many")
            .setArgAttr(0, kernel::ioAttr,
                        StringAttr::get(&context, "parts_local"));
      },
      "expects input ids from io ids, got parts_local");
  broken(
      "unknown io", *shared,
      [&](ModuleOp m) {
        function(m, "body_few")
            .setArgAttr(0, kernel::ioAttr, StringAttr::get(&context, "want"));
      },
      "to be an io array that segment body reads, got want");
  broken(
      "io twice", *shared,
      [&](ModuleOp m) {
        auto func = function(m, "tail_few");
        for (unsigned i = 0; i < func.getNumArguments(); ++i)
          if (func.getArgAttr(i, kernel::ioAttr) ==
              StringAttr::get(&context, "split_global"))
            func.setArgAttr(i, kernel::ioAttr,
                            StringAttr::get(&context, "tile"));
      },
      "once");
  broken(
      "io of another type", *shared,
      [&](ModuleOp m) {
        auto func = function(m, "tail_few");
        for (unsigned i = 0; i < func.getNumArguments(); ++i)
          if (func.getArgAttr(i, kernel::ioAttr) ==
              StringAttr::get(&context, "tile"))
            func.setArgAttr(i, kernel::ioAttr,
                            StringAttr::get(&context, "parts_global"));
      },
      "of rank 1 in i32");
  broken(
      "columns of the per-layer embeddings", *shared,
      [&](ModuleOp m) {
        function(m, "body_few")
            ->setAttr(kernel::pleAttr,
                      DenseI64ArrayAttr::get(&context, {0, 24}));
      },
      "expects kernel.ple of 32 columns, got 24");
  broken(
      "another function's name", *shared,
      [&](ModuleOp m) { function(m, "body_few").setSymName("few_body"); },
      "expects the name @body_few");
  broken(
      "matrix too small", *shared,
      [&](ModuleOp m) {
        auto product = few(m, "linear", 1);
        product.setWeightsAttr(few(m, "linear", 2).getWeightsAttr());
      },
      "expects a weight of 128 rows, 1 times");
  broken(
      "gate and up not interleaved", *shared,
      [&](ModuleOp m) {
        few(m, "linear_geglu")
            .setWeightsAttr(few(m, "linear", 1).getWeightsAttr());
      },
      "with interleaved rows");
  broken(
      "queries of another layer", *shared,
      [&](ModuleOp m) {
        auto merge = call(m, "tail_few", "merge", 1);
        merge->setOperand(0, call(m, "tail_few", "merge").getInputs()[0]);
      },
      "expects ");
}

TEST_F(PlanMutation, WeightsAndCaches) {
  broken(
      "weight without offset", *shared,
      [&](ModuleOp m) { weight(m, "l0.o").removeOffsetAttr(); },
      "expects an offset");
  broken(
      "weights on each other", *shared,
      [&](ModuleOp m) {
        weight(m, "l0.o").setOffset(*weight(m, "l0.qkv").getOffset());
      },
      "expects weight bytes of its own");
  broken(
      "unaligned weight", *shared,
      [&](ModuleOp m) {
        weight(m, "l2.down").setOffset(*weight(m, "norm").getOffset() + 65540);
      },
      "expects an offset at a multiple of 64");
  broken(
      "unaligned experts", *experts,
      [&](ModuleOp m) {
        weight(m, "l0.gate_up")
            .setOffset(*weight(m, "l0.gate_up").getOffset() + 64);
      },
      "expects an offset at a multiple of 65536");
  broken(
      "view elsewhere", *shared,
      [&](ModuleOp m) {
        weight(m, "l1.qkv_kv").setOffset(*weight(m, "l1.qkv").getOffset());
      },
      "expects offset");
  broken(
      "cache without offset", *shared,
      [&](ModuleOp m) { cache(m, "kv0").removeOffsetAttr(); },
      "expects an offset");
  broken(
      "caches on each other", *shared,
      [&](ModuleOp m) {
        auto clone = cast<kernel::CacheOp>(cache(m, "kv0")->clone());
        clone.setSymName("kv9");
        clone.setOffset(*clone.getOffset() + 4096);
        m.getBody()->push_front(clone);
      },
      "expects cache pages of its own");
}

} // namespace
