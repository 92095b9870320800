// Matching a group of primitives by data flow, and saying why a group is not
// fused. Used by the gemma-fuse-* passes; must not know targets.
#pragma once

#include "dialects/gemma/Gemma.h"
#include "targets/Numbers.h"

#include "mlir/IR/Remarks.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

#include <optional>
#include <string>

namespace gemmac {

// Set on the root of a group that was not fused: the reason, for the contract
// check at the end of the stage.
inline constexpr llvm::StringLiteral notFusedAttr = "gemma.not_fused";

// What `op` reads and gives; null of null.
template <typename Op>
mlir::Value inputOf(Op op) {
  return op ? op.getX() : mlir::Value();
}
template <typename Op>
mlir::Value resultOf(Op op) {
  return op ? op.getResult() : mlir::Value();
}

// One attempt at a group. Queries return null (or false) for what does not fit,
// and for null; the first reason is kept.
class Match {
public:
  explicit Match(mlir::Operation *root) : root(root) {}
  bool fits() const { return why.empty(); }

  // The `Op` that computes `value`.
  template <typename Op>
  Op producer(mlir::Value value, llvm::StringRef what) {
    mlir::Operation *def = value ? value.getDefiningOp() : nullptr;
    if (auto op = llvm::dyn_cast_or_null<Op>(def))
      return op;
    if (value)
      fail("expects " + named(what, value) + " from " + Op::getOperationName() +
           ", got " +
           (def ? def->getName().getStringRef()
                : llvm::StringRef("an argument")));
    return {};
  }

  // The `Op` that is the only user of `value`.
  template <typename Op>
  Op user(mlir::Value value, llvm::StringRef what) {
    if (!value || !single(value, what))
      return {};
    mlir::Operation *user = *value.user_begin();
    if (auto op = llvm::dyn_cast<Op>(user))
      return op;
    fail("expects " + named(what, value) + " to go to " +
         Op::getOperationName() + ", got " + user->getName().getStringRef());
    return {};
  }

  // Nothing but the group may use an intermediate value.
  bool single(mlir::Value value, llvm::StringRef what, unsigned uses = 1) {
    unsigned count =
        value ? std::distance(value.use_begin(), value.use_end()) : 0;
    return value && (count == uses || fail(named(what, value) + " has " +
                                           llvm::Twine(count) + " users"));
  }

  // A matrix product with all rows of its weight.
  mlir::gemma::LinearOp linear(mlir::Value value, llvm::StringRef what) {
    auto op = producer<mlir::gemma::LinearOp>(value, what);
    return whole(op, what) ? op : mlir::gemma::LinearOp();
  }
  // The same, where it is the only user of `value`.
  mlir::gemma::LinearOp linearUser(mlir::Value value, llvm::StringRef what) {
    auto op = user<mlir::gemma::LinearOp>(value, what);
    return whole(op, what) ? op : mlir::gemma::LinearOp();
  }

  // A matrix product between two clamps, or without any (GemmaTowerOps.td):
  // what it reads, what it gives, and the four bounds.
  struct Clipped {
    mlir::gemma::LinearOp linear;
    mlir::Value x, y;
    llvm::SmallVector<mlir::Attribute> bounds;
  };
  Clipped clipped(mlir::Value y, llvm::StringRef what) {
    auto out =
        y ? y.getDefiningOp<mlir::gemma::ClampOp>() : mlir::gemma::ClampOp();
    Clipped result;
    result.linear = linear(out ? out.getX() : y, what);
    return finish(std::move(result), out, what);
  }
  // The same, where it is the only user of `x`.
  Clipped clippedUser(mlir::Value x, llvm::StringRef what) {
    if (!single(x, what))
      return {};
    if (auto in = llvm::dyn_cast<mlir::gemma::ClampOp>(*x.user_begin()))
      x = in.getResult();
    Clipped result;
    result.linear = linearUser(x, what);
    mlir::gemma::ClampOp out;
    if (result.linear && result.linear.getResult().hasOneUse())
      out = llvm::dyn_cast<mlir::gemma::ClampOp>(
          *result.linear.getResult().user_begin());
    return finish(std::move(result), out, what);
  }
  // The bounds of all matrices of a group, null where they have none.
  mlir::ArrayAttr boundsOf(llvm::ArrayRef<const Clipped *> all) {
    llvm::SmallVector<mlir::Attribute> bounds;
    for (const Clipped *each : all)
      llvm::append_range(bounds, each->bounds);
    if (bounds.empty())
      return {};
    if (bounds.size() != 4 * all.size())
      fail("some of its matrices have bounds, others have none");
    return mlir::ArrayAttr::get(root->getContext(), bounds);
  }

  // Checks a norm of groups of `size` columns (0: all), with or without a
  // weight; all norms of a group have one eps.
  mlir::gemma::RmsNormOp norm(mlir::gemma::RmsNormOp op, llvm::StringRef what,
                              int64_t size = 0, bool weighted = true) {
    if (!op)
      return {};
    size = size ? size : mlir::gemma::columnsOf(op.getX());
    if (op.getSize() != size)
      fail(named(what, op.getResult()) + " norms groups of " +
           llvm::Twine(op.getSize()) + ", expects " + llvm::Twine(size));
    else if (!!op.getWeightAttr() != weighted)
      fail("expects " + named(what, op.getResult()) +
           (weighted ? " to have a weight" : " to have no weight"));
    else if (sameEps(op.getEps().convertToDouble(), what))
      return op;
    return {};
  }

  // The sum of `norm` and `residual`, the only user of the norm.
  mlir::gemma::AddOp sum(mlir::gemma::RmsNormOp norm, llvm::StringRef what,
                         mlir::Value residual, llvm::StringRef from) {
    auto add = user<mlir::gemma::AddOp>(resultOf(norm), what);
    bool isSum = add && same(otherOf(add, norm.getResult()), residual,
                             "the residual", from);
    return isSum ? add : mlir::gemma::AddOp();
  }
  static mlir::Value otherOf(mlir::gemma::AddOp add, mlir::Value value) {
    return add.getLhs() == value ? add.getRhs() : add.getLhs();
  }

  bool sameEps(double value, llvm::StringRef what) {
    if (!eps)
      eps = value;
    return *eps == value ||
           fail(llvm::Twine("eps of ") + what + " is " + shortest(value) +
                ", expects " + shortest(*eps));
  }

  // Checks that two values are one.
  bool same(mlir::Value a, mlir::Value b, llvm::StringRef what,
            llvm::StringRef other) {
    if (!a || !b)
      return false;
    return a == b ||
           fail("expects " + named(what, a) + " to be " + named(other, b));
  }

  bool fail(const llvm::Twine &reason) {
    if (why.empty())
      why = reason.str();
    return false;
  }

  bool decline(const llvm::Twine &reason) { return fail(reason), decline(); }
  // Says why on the root; false.
  bool decline() {
    assert(!why.empty() && "a declined group has a reason");
    root->setAttr(notFusedAttr, mlir::StringAttr::get(root->getContext(), why));
    llvm::StringRef name = root->getName().getStringRef();
    mlir::remark::missed(root->getLoc(),
                         mlir::remark::RemarkOpts::name(name).category("fuse"))
        << (name + " not fused: " + why).str();
    return false;
  }

  std::optional<double> eps;

private:
  Clipped finish(Clipped result, mlir::gemma::ClampOp out,
                 llvm::StringRef what) {
    if (!result.linear)
      return {};
    auto in = result.linear.getX().getDefiningOp<mlir::gemma::ClampOp>();
    result.x = in ? in.getX() : result.linear.getX();
    result.y = out ? out.getResult() : result.linear.getResult();
    if (!in != !out)
      fail(what + " has bounds on one side only");
    if (in && out) {
      single(in.getResult(), what);
      single(result.linear.getResult(), what);
      for (mlir::gemma::ClampOp clamp : {in, out})
        result.bounds.append({clamp.getLowAttr(), clamp.getHighAttr()});
    }
    return result;
  }
  bool whole(mlir::gemma::LinearOp op, llvm::StringRef what) {
    return op &&
           (!op.getRows() || fail("expects " + named(what, op.getResult()) +
                                  " to use all rows of " + op.getWeight()));
  }

  // `what` and, where the value has one, its name.
  static std::string named(llvm::StringRef what, mlir::Value value) {
    if (auto name = llvm::dyn_cast<mlir::NameLoc>(value.getLoc()))
      return (what + " '" + name.getName().getValue() + "'").str();
    return what.str();
  }

  mlir::Operation *root;
  std::string why;
};

// One linear operand: a per-layer branch (gemma-fuse-ple); two: a gated MLP
// (gemma-fuse-ffn).
inline bool isPerLayer(mlir::gemma::GegluOp op) {
  return !op.getG().getDefiningOp<mlir::gemma::LinearOp>() !=
         !op.getU().getDefiningOp<mlir::gemma::LinearOp>();
}

// Every `Op` below `root` as it is now: f may replace them.
template <typename Op>
void forEach(mlir::Operation *root, llvm::function_ref<void(Op)> f) {
  llvm::SmallVector<Op> all;
  root->walk([&](Op op) { all.push_back(op); });
  for (Op op : all)
    f(op);
}

// Erases `op` and the producers of its operands as long as nothing uses them.
inline void eraseDead(mlir::Operation *op) {
  llvm::SmallSetVector<mlir::Operation *, 8> worklist;
  worklist.insert(op);
  while (!worklist.empty()) {
    mlir::Operation *dead = worklist.pop_back_val();
    if (!mlir::isOpTriviallyDead(dead))
      continue;
    for (mlir::Value operand : dead->getOperands())
      if (mlir::Operation *def = operand.getDefiningOp())
        worklist.insert(def);
    dead->erase();
  }
}

} // namespace gemmac
