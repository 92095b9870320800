// Recipes for CPUs: which kernels a fused op becomes, over which axis. In class
// `few` tiny row ops run redundantly on every worker (`all`) and matrix
// products over blocks; in class `many` row ops run over rows. Must not know
// barriers or places.
#include "passes/CpuRecipe.h"

#include "llvm/ADT/TypeSwitch.h"

namespace gemmac::cpu {

//===-- calls -------------------------------------------------------------===//

RankedTensorType CpuRecipe::rowsOf(StringRef encoding, int64_t columns) {
  Builder &b = c.builder;
  // Values of encodings that no element type describes carry their name.
  if (isQuantized(encoding.str()))
    return RankedTensorType::get({ShapedType::kDynamic, columns}, b.getI8Type(),
                                 b.getStringAttr(encoding));
  const Format::Code code = formatOf(encoding).code;
  Type element = code == Format::Code::F32    ? Type(b.getF32Type())
                 : code == Format::Code::BF16 ? Type(b.getBF16Type())
                                              : Type(b.getI32Type());
  return RankedTensorType::get({ShapedType::kDynamic, columns}, element);
}

Value CpuRecipe::ioArg(Io io) {
  if (auto found = c.io.find(io); found != c.io.end())
    return found->second;
  op->emitError() << "needs the step array '" << arrayOf(io).name
                  << "', which this segment has not";
  isRefused = true;
  // Something in its place, to go on.
  return UnrealizedConversionCastOp::create(c.builder, loc, rowsOf("i32", 1),
                                            ValueRange())
      .getResult(0);
}

Value CpuRecipe::at(Value gemmaValue) {
  if (auto add = c.pendingAdds.find(gemmaValue); add != c.pendingAdds.end()) {
    const PendingAdd made = add->second;
    c.pendingAdds.erase(add);
    c.values.map(gemmaValue, makeAdd(made));
  }
  return c.values.lookupOrNull(gemmaValue);
}

// Devices compute nothing once per worker.
static Axis defaultAxis(const Family &family, RowClass rows, Device device) {
  const std::vector<Axis> &axes = family.axesOf(rows);
  if (device == Device::Cpu)
    return axes.front();
  if (llvm::is_contained(axes, Axis::Rows))
    return Axis::Rows;
  return axes.front() == Axis::All ? Axis::One : axes.front();
}

ValueRange CpuRecipe::call(const Call &what, std::optional<Axis> axis) {
  OpBuilder &b = c.builder;
  KernelSpec spec = {what.family, c.rows, what.constants};
  // Numbers that gemma's ops may have and no body takes, such as a huge window.
  if (std::string problem = checkSpec(spec); !problem.empty()) {
    op->emitError() << "unsupported: kernel " << what.family << " " << problem;
    isRefused = true;
  }
  const Family &family = *findFamily(what.family);
  CallShape shape = {
      family, spec.constants,
      axis.value_or(defaultAxis(family, c.rows, c.symbols.target.device))};
  for (Value input : what.inputs)
    shape.inputs.push_back(columns(input));
  SmallVector<Attribute> weights;
  for (const WeightRef &weight : what.weights)
    for (FlatSymbolRefAttr name : weight.names()) {
      weights.push_back(name);
      shape.weights.push_back(weight.rows);
    }
  complete(shape, what.chosen);
  SmallVector<Type> results;
  for (auto [result, columns] : llvm::zip(family.results, shape.results))
    results.push_back(
        rowsOf(operandEncoding(result.encoding, spec.constants), columns));
  Location where = loc;
  if (!what.name.empty()) {
    std::string name =
        layer ? KernelSymbols::siblingName(layer, what.name) : what.name.str();
    where = NameLoc::get(b.getStringAttr(name), loc);
  }
  FlatSymbolRefAttr callee = c.symbols.body(spec, loc);
  ArrayAttr read = weights.empty() ? ArrayAttr() : b.getArrayAttr(weights);
  kernel::CallOp once;
  kernel::CallOp &made =
      what.shared ? c.shared[{callee, read, what.inputs[0]}] : once;
  if (!made)
    made = kernel::CallOp::create(
        b, where, results, callee.getValue(), what.inputs, read, what.cache,
        kernel::scalarsAttr(b.getContext(), family, shape.scalars), shape.axis,
        unitsOf(shape), ArrayAttr());
  return made.getResults();
}

Value CpuRecipe::norm(Value x, const WeightRef &w, double eps, StringRef act,
                      StringRef name, std::optional<Axis> axis) {
  return call(
      {.family = "norm",
       .name = name,
       .constants = {{"k", columns(x)}, {"eps", eps}, {"act", act.str()}},
       .inputs = {x},
       .weights = {w},
       .shared = !axis},
      axis)[0];
}

Value CpuRecipe::quant(Value x, StringRef act, StringRef name) {
  if (formatOf(act).code == Format::Code::F32)
    return x;
  return call({.family = "quant",
               .name = name,
               .constants = {{"k", columns(x)}, {"act", act.str()}},
               .inputs = {x}})[0];
}

Value CpuRecipe::linear(Value x, const WeightRef &w, StringRef name) {
  return call({.family = "linear",
               .name = name,
               .constants = productOf(w),
               .inputs = {x},
               .weights = {w},
               .shared = true})[0];
}

// `w` interleaves gate and up.
Value CpuRecipe::geglu(Value x, const WeightRef &w) {
  return call({.family = "linear_geglu",
               .name = "mlp_act",
               .constants = productOf(w),
               .inputs = {x},
               .weights = {w}})[0];
}

Value CpuRecipe::normedLinear(Value h, FlatSymbolRefAttr norm, double eps,
                              const WeightRef &w, StringRef name) {
  return linear(
      this->norm(at(h), c.symbols.vector(norm), eps, w.act, "attn_in"), w,
      name);
}

Value CpuRecipe::normedGeglu(Value h, FlatSymbolRefAttr pre, double eps,
                             const WeightRef &gateUp) {
  return geglu(norm(at(h), c.symbols.vector(pre), eps, gateUp.act, "mlp_in"),
               gateUp);
}

Value CpuRecipe::makeAdd(const PendingAdd &add) {
  Call what = {.family = "add_norm",
               .constants = {{"k", columns(add.h)},
                             {"eps", add.eps},
                             {"scaled", int64_t(add.scale.has_value())}},
               .inputs = {add.h, add.y},
               .weights = {c.symbols.vector(add.post)}};
  if (add.experts) {
    what.family = "add_norm3";
    what.inputs.push_back(add.experts);
    what.weights.insert(
        what.weights.begin(),
        {c.symbols.vector(add.postDense), c.symbols.vector(add.postExperts)});
  }
  if (add.scale)
    what.weights.push_back(c.symbols.vector(symbol(*add.scale)));
  return call(what)[0];
}

void CpuRecipe::endBlock(const PendingAdd &add, Value result) {
  c.values.map(result, makeAdd(add));
}

Value CpuRecipe::copyOut(Location where, Value value) {
  loc = where;
  return call({.family = "copy",
               .constants = {{"k", columns(value)}},
               .inputs = {value}})[0];
}

//===-- rows in, rows out -------------------------------------------------===//

LogicalResult CpuRecipe::lower(gemma::EmbedOp op) {
  const bool takesSoft = op.getSoftMode() == gemma::SoftMode::Row;
  if (op.getColumns() || (op.getSoftMode() && !takesSoft))
    return op.emitError(
        "unsupported: `soft zero` and column ranges of an embedding");
  WeightRef table = c.symbols.matrix(op.getTableAttr());
  Value y = call({.family = "embed",
                  .name = takesSoft ? "embed_ids" : "",
                  .constants = {{"k", table.cols},
                                {"format", table.format},
                                {"scale", op.getScale().convertToDouble()}},
                  .inputs = {at(op.getIds())},
                  .weights = {table}})[0];
  // The runtime has split ids into those of the table and rows of `soft`.
  if (takesSoft && at(op.getSoft()) != ioArg(Io::soft))
    return op.emitError("expects the soft rows to be the argument 'soft'");
  if (takesSoft)
    y = call({.family = "soft_rows",
              .constants = {{"k", table.cols}},
              .inputs = {y, ioArg(Io::soft_row), at(op.getSoft())}})[0];
  c.values.map(op.getResult(), y);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::TakeOp op) {
  c.values.map(op.getResult(),
               call({.family = "take",
                     .constants = {{"k", columns(op.getX())}},
                     .inputs = {at(op.getX()), at(op.getIndex())}})[0]);
  return success();
}

// The norm that leaves the segment is shared by all workers: worker 0 writes
// it.
LogicalResult CpuRecipe::lower(gemma::RmsNormOp op) {
  if (!op.getWeight() && int64_t(op.getSize()) == columns(at(op.getX())) &&
      !c.few())
    return c.values.map(op.getResult(),
                        plainNorm(at(op.getX()), op.getEps().convertToDouble(),
                                  actOf(op.getResult()), "")),
           success();
  if (!op.getWeight() || int64_t(op.getSize()) != columns(op.getX()))
    return op.emitError(
        "unsupported: a norm outside the fused blocks needs a weight "
        "and the size of its rows");
  bool leaves = llvm::any_of(op->getUsers(), llvm::IsaPred<func::ReturnOp>);
  std::optional<Axis> axis;
  if (leaves && c.few() && c.symbols.target.device == Device::Cpu)
    axis = Axis::One;
  c.values.map(op.getResult(),
               norm(at(op.getX()), c.symbols.vector(op.getWeightAttr()),
                    op.getEps().convertToDouble(), "f32", "", axis));
  return success();
}

//===-- per-layer embeddings ----------------------------------------------===//

LogicalResult CpuRecipe::lower(gemma::PleInputsOp op) {
  if (op.getSoft())
    return op.emitError("unsupported: soft rows in per-layer inputs");
  int64_t first = op.getLayers()[0], last = op.getLayers()[1],
          p = op.getWidth();
  WeightRef table = c.symbols.gathered(op.getTableAttr());
  WeightRef proj = c.symbols.matrix(op.getProjAttr()), rows = proj;
  Value token = ioArg(Io::ple);
  if (c.pleColumns)
    return op.emitError("unsupported: a second ple_inputs in one segment");
  if (const int block = formatOf(table.format).block; p % block)
    return op.emitError("expects a width of a multiple of ")
           << block << " with a table in " << table.format << ", got " << p;
  c.pleColumns = {first * p, last * p};
  token.setType(rowsOf(table.format, (last - first) * p));

  if (first != 0 || last * p != proj.rows) {
    std::string name = (proj.name.getValue() + "_" + Twine(first)).str();
    FailureOr<WeightRef> part =
        c.symbols.view(op, name, proj, first * p, last * p);
    if (failed(part))
      return failure();
    rows = *part;
  }
  Value context =
      linear(quant(at(op.getH0()), proj.act, "ple_in"), rows, "ple_context");
  // rms(c x; eps) = rms(x; eps / c^2)
  double factor = op.getContextScale().convertToDouble();
  double eps = op.getEps().convertToDouble() / (factor * factor);
  c.values.map(
      op.getResult(),
      call({.family = "ple_finish",
            .constants = {{"p", p},
                          {"eps", eps},
                          {"format", table.format},
                          {"token_scale", op.getTokenScale().convertToDouble()},
                          {"scale", op.getScale().convertToDouble()}},
            .inputs = {context, token},
            .weights = {c.symbols.vector(op.getNormAttr())}})[0]);
  return success();
}

LogicalResult CpuRecipe::lower(gemma::PleBlockOp op) {
  layer = op.getGateAttr();
  WeightRef gate = c.symbols.matrix(op.getGateAttr());
  WeightRef proj = c.symbols.matrix(op.getProjAttr());
  // A slice of the per-layer inputs is a column offset, not a kernel.
  Value ple = op.getPle();
  int64_t column = 0;
  if (auto slice = ple.getDefiningOp<gemma::ColumnsOp>()) {
    column = slice.getRange()[0];
    ple = slice.getX();
  }
  Value g = pleProduct(op.getH(), gate, ple, column);
  Value y = linear(g, proj, "ple_out");
  endBlock({at(op.getH()), y, op.getPostAttr(), op.getScale(),
            op.getEps().convertToDouble()},
           op.getResult());
  return success();
}

Value CpuRecipe::pleProduct(Value h, const WeightRef &gate, Value ple,
                            int64_t column) {
  return call({.family = "linear_ple",
               .name = "ple_act",
               .constants = productOf(gate),
               .inputs = {quant(at(h), gate.act, "ple_in"), at(ple)},
               .weights = {gate},
               .chosen = {column}})[0];
}

//===-- output ------------------------------------------------------------===//

// Softcapped scores of the whole vocabulary (cap 0: no softcap).
Value CpuRecipe::capped(Value hidden, const WeightRef &w, double cap,
                        StringRef name) {
  return c.scores = call({.family = "logits",
                          .name = name,
                          .constants = productOf(w).set("cap", cap),
                          .inputs = {quant(hidden, w.act, "head_in")},
                          .weights = {w}})[0];
}

// A softcap that is the only user joins the product.
LogicalResult CpuRecipe::lower(gemma::LogitsOp op) {
  gemma::SoftcapOp cap;
  if (op->hasOneUse())
    cap = dyn_cast<gemma::SoftcapOp>(*op->user_begin());
  Value y = capped(at(op.getHidden()), c.symbols.matrix(op.getWeightAttr()),
                   cap ? cap.getCap().convertToDouble() : 0.0, "");
  c.values.map(op.getResult(), y);
  if (cap)
    c.values.map(cap.getResult(), y);
  return success();
}

// Few rows of a head in format splitFormat are scanned where the target does;
// else all scores are computed.
LogicalResult CpuRecipe::lower(gemma::TopOp op) {
  if (op.getCount() != GM_TOP)
    return op.emitError("expects count ")
           << int64_t(GM_TOP) << ", got " << op.getCount();
  WeightRef w = c.symbols.matrix(op.getWeightAttr());
  Value mask = ioArg(Io::mask);
  const double cap = op.getCap() ? op.getCap()->convertToDouble() : 0.0;
  const int64_t parts = std::clamp<int64_t>(w.rows / 16, 1, 64);
  Call what = {.family = "top", .name = "top_parts", .chosen = {parts}};
  if (scans(w)) {
    what.family = "top_scan";
    what.constants = productOf(w).set("cap", cap);
    what.inputs = {quant(at(op.getHidden()), w.act, "head_in"), mask,
                   ioArg(Io::best)};
    what.weights = {w};
  } else {
    what.inputs = {capped(at(op.getHidden()), w, cap, "logits"), mask};
  }
  ValueRange best = call(what);
  ValueRange merged =
      call({.family = "top_merge", .inputs = {best[0], best[1]}});
  c.values.map(op.getIds(), merged[0]);
  c.values.map(op.getValues(), merged[1]);
  return success();
}

LogicalResult CpuRecipe::dispatch() {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<gemma::EmbedOp, gemma::TakeOp, gemma::RmsNormOp, gemma::PleInputsOp,
            gemma::KvBlockOp, gemma::AttentionBlockOp, gemma::FfnBlockOp,
            gemma::MoeBlockOp, gemma::PleBlockOp, gemma::TopOp, gemma::LogitsOp,
            gemma::AffineOp, gemma::StandardizeOp, gemma::AddPositionsOp,
            gemma::PoolOp, gemma::LayerNormOp, gemma::ProjectOp,
            gemma::VisionAttentionBlockOp, gemma::SubsampleOp,
            gemma::ConformerFfnBlockOp, gemma::ConformerAttentionBlockOp,
            gemma::ConformerConvBlockOp>([&](auto op) { return lower(op); })
      // Joined by their users: a column offset of ple_block, the cap of logits.
      .Case([&](gemma::ColumnsOp op) -> LogicalResult {
        if (llvm::all_of(op->getUsers(), llvm::IsaPred<gemma::PleBlockOp>))
          return success();
        return op.emitError(
            "unsupported: a column slice that is not the per-layer "
            "input of a ple_block");
      })
      .Case([&](gemma::SoftcapOp op) -> LogicalResult {
        if (c.values.contains(op.getResult()))
          return success();
        return op.emitError(
            "unsupported: a softcap of anything but logits that have "
            "no other user");
      })
      .Default([](Operation *op) {
        return op->emitError(
            "has no kernel: optimize should have fused it into a block");
      });
}

} // namespace gemmac::cpu

namespace gemmac {

const Recipe cpuRecipe = {
    [](RecipeContext &context, mlir::Operation *op) {
      return cpu::CpuRecipe(context, op).lower();
    },
    [](RecipeContext &context, mlir::Value value) {
      return cpu::CpuRecipe(context, context.source).valueOf(value);
    },
    [](RecipeContext &context, mlir::Location loc, mlir::Value value) {
      return cpu::CpuRecipe(context, context.source).copyOut(loc, value);
    }};

} // namespace gemmac
