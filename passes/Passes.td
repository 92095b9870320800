// Every pass of gemmac, in the order of the stages. Pass options only, no
// cl::opt, so that a textual pipeline carries them.

#ifndef GEMMAC_PASSES
#define GEMMAC_PASSES

include "mlir/Pass/PassBase.td"

class GemmacPass<string flag> : Pass<flag, "::mlir::ModuleOp"> {
  let dependentDialects = ["::mlir::gemma::GemmaDialect", "::mlir::kernel::KernelDialect",
                           "::mlir::func::FuncDialect"];
}
class FusePass<string flag> : GemmacPass<flag> {
  let statistics = [
    Statistic<"fused", "fused", "groups that became a fused op">,
    Statistic<"declined", "declined", "groups that stayed">];
}

//===-- stage optimize ----------------------------------------------------===//

def FuseAttention : FusePass<"gemma-fuse-attention"> {
  let summary = "Form kv_block and attention_block";
  let description = [{
    Finds, by data flow, the primitives that write one layer's keys and values
    and those that compute its attention with norms, projections and residual,
    and replaces each group by the fused op that is defined as this group
    (GemmaOps.td). The pre-norm that query, key and value share is absorbed into
    both. A layer that reads a donor's cache gets an attention_block only. A
    group that is used from outside, or whose norms disagree, stays and gets a
    remark `not fused: <why>`.

    ```mlir
    %x  = gemma.rms_norm %h weight @l0.in_norm ...
    %k0 = gemma.linear %x, @l0.k ...
    %v0 = gemma.linear %x, @l0.v ...
    %k1 = gemma.rms_norm %k0 weight @l0.k_norm ...
    %k2 = gemma.rope %k1, %rope_local ...
    %v1 = gemma.rms_norm %v0 ...
    gemma.append %k2, %v1 at (%slot, %pos) to @kv0
    %q0 = gemma.linear %x, @l0.q ...
    %q1 = gemma.rms_norm %q0 weight @l0.q_norm ...
    %q2 = gemma.rope %q1, %rope_local ...
    %a  = gemma.attention %q2 at (%slot, %pos) over @kv0
    %o  = gemma.linear %a, @l0.o ...
    %n  = gemma.rms_norm %o weight @l0.post_attn ...
    %h1 = gemma.add %h, %n
    // becomes
    gemma.kv_block %h at (%slot, %pos), %rope_local norm(@l0.in_norm) k(@l0.k) v(@l0.v) k_norm(@l0.k_norm) cache(@kv0) ...
    %h1 = gemma.attention_block %h at (%slot, %pos), %rope_local norm(@l0.in_norm) q(@l0.q) q_norm(@l0.q_norm) o(@l0.o) post(@l0.post_attn) cache(@kv0) ...
    ```
  }];
}

def FuseFfn : FusePass<"gemma-fuse-ffn"> {
  let summary = "Form ffn_block and moe_block";
  let description = [{
    Replaces a gated MLP with its norms and residual by ffn_block, and a dense
    MLP with a parallel mixture of experts by moe_block, where the intermediate
    values have no other user and the norms agree. Otherwise a remark says why.

    ```mlir
    %x = gemma.rms_norm %h weight @l0.pre_ffw ...
    %g = gemma.linear %x, @l0.gate ...
    %u = gemma.linear %x, @l0.up ...
    %a = gemma.geglu %g, %u
    %d = gemma.linear %a, @l0.down ...
    %n = gemma.rms_norm %d weight @l0.post_ffw ...
    %y = gemma.add %h, %n
    // becomes
    %y = gemma.ffn_block %h pre(@l0.pre_ffw) gate(@l0.gate) up(@l0.up) down(@l0.down) post(@l0.post_ffw) ...
    ```
  }];
}

def FusePle : FusePass<"gemma-fuse-ple"> {
  let summary = "Form ple_inputs and ple_block";
  let description = [{
    Replaces the computation of per-layer inputs from table and embedding by
    ple_inputs, and the per-layer branch of a layer by ple_block. Otherwise a
    remark says why.

    ```mlir
    %g0 = gemma.linear %h, @l0.plg ...
    %g  = gemma.geglu %g0, %p0
    %o  = gemma.linear %g, @l0.plp ...
    %n  = gemma.rms_norm %o weight @l0.post_ple ...
    %y  = gemma.add %h, %n
    // becomes
    %y = gemma.ple_block %h, %p0 gate(@l0.plg) proj(@l0.plp) post(@l0.post_ple) ...
    ```
  }];
}

def FuseTowers : FusePass<"gemma-fuse-towers"> {
  let summary = "Form the blocks of vision and audio towers";
  let description = [{
    Replaces the attention of patches with its norms, projections, bounds and
    residual by vision_attention_block; convolution, norm and relu by subsample;
    the parts of a conformer layer by conformer_ffn_block,
    conformer_attention_block and conformer_conv_block; and what is left of
    matrix products in a tower, with its bias, by project. The gated MLP of a
    vision tower is gemma-fuse-ffn's. A group that is used from outside, or of
    which some matrices have bounds and others none, stays and gets a remark.

    ```mlir
    %o = gemma.linear %x, @audio.out ...
    %y = gemma.bias %o, @audio.out_bias
    // becomes
    %y = gemma.project %x, @audio.out bias(@audio.out_bias) ...
    ```
  }];
}

def FoldConstants : GemmacPass<"gemma-fold-constants"> {
  let summary = "Fold scalars into fused ops";
  let description = [{
    A layer's scalar joins the block that it follows; a constant factor before a
    norm becomes part of its eps (rms(c x; eps) = rms(x; eps / c^2)), also inside
    ple_inputs, whose `context_scale` becomes 1, or part of the pool that it
    follows; constant factors in a row become one. Vectors are never folded into matrices: the weights stay the
    checkpoint's.

    ```mlir
    %y = gemma.ffn_block %h ... : tensor<?x64xf32>
    %z = gemma.scale %y by @l0.scalar : tensor<?x64xf32>
    // becomes
    %z = gemma.ffn_block %h ... scale(@l0.scalar) ... : tensor<?x64xf32>
    ```
  }];
  let statistics = [
    Statistic<"declined", "declined", "layer scalars that stayed">];
}

def ChooseFormats : GemmacPass<"gemma-choose-formats"> {
  let summary = "Give every weight and cache a storage format";
  let description = [{
    Format is accuracy and is chosen here; layout is hardware and is chosen in
    `select`. Matrices get `format` and `act` (of the activations that they
    multiply) by `quant`: `none` keeps the source's if it is not quantised (f16
    becomes f32; otherwise, and without a source, bf16); `auto` keeps quantised
    sources too: q4_0, q8_0 and (in q8_0) q5_0 exactly, others are encoded anew as
    q8_0, with `requantize` those of 4 bits as q4_0; `bf16`; `f32`; `q8` (q8_0; a
    q4_0 source stays); `q4` (q4_bf; q8_0 for embedding
    and head, for the table and the matrices of per-layer inputs, and for k and v
    where they are at most a sixteenth of what a token reads, and for towers; a
    q4_0 source stays). `quant-map` names a file with a format for each name (QuantMap.h) that
    goes before `quant`. A matrix that its format cannot hold (k no multiple of
    32, but for the last one of a gated MLP, which is padded; a table whose layers
    are no multiple of 32 columns) is bf16, and so are tables of positions of
    towers and what multiplies positions. Vectors, scalars and the router are
    f32. Matrices that are stored as one have the most exact format of theirs
    (f32, bf16, q8_0, q4_0, q4_bf), and those that share a rounded activation,
    its. Caches are f32 with `quant=f32` and otherwise bf16, unless `cache-type`
    says so (q8: 8-bit codes with scales per key; queries and weights are rounded
    alike). Quantised matrices multiply int8 activations, but a head in q8_0 of a
    model without matrices of 4 bits f32 ones (rounded to 16 bits inside the
    product). Those in bf16 multiply bf16 activations, in a tower f32 ones. Remarks name every matrix with its format and the reason.

    ```mlir
    gemma.weight @l0.q from "layers.0.self_attn.q_proj.weight" : tensor<64x48xf32>
    // becomes
    gemma.weight @l0.q from "layers.0.self_attn.q_proj.weight" : tensor<64x48xf32> {act = "bf16", format = "bf16"}
    ```
  }];
  let options = [
    Option<"quant", "quant", "std::string", "\"auto\"",
           "format of matrices: auto (the source's), none (the source's, but not "
           "quantised), bf16, f32, q8, q4">,
    Option<"quantMap", "quant-map", "std::string", "\"\"",
           "file of lines PATTERN FORMAT that go before quant">,
    Option<"requantize", "requantize", "bool", "false",
           "with quant=auto: encode 4-bit sources of other types as q4_0">,
    Option<"cacheType", "cache-type", "std::string", "\"auto\"",
           "format of caches: auto (f32 with quant=f32, otherwise bf16), f32, bf16, q8">
  ];
  let statistics = [
    Statistic<"quantized", "quantised", "matrices in a quantised format">,
    Statistic<"plain", "plain", "matrices in f32 or bf16">];
}

def SplitSegments : GemmacPass<"gemma-split-segments"> {
  let summary = "Split the step at the last write of keys and values";
  let description = [{
    `@step` becomes `@body` (everything up to the last kv_block; yields the
    residual that it read), `@tail` (the rest, on the rows that `want` selects),
    `@top` (the 64 best ids) and `@logits` (all). Rows whose output nobody wants
    never enter `@tail`. The per-layer inputs are computed in each part for its
    own layers; `@tail` embeds its rows again, which gives the same bits.
    Arguments that a segment does not use are present all the same.

    ```
    @step(%ids, %slot, %pos, %rope_local, %rope_global) -> (hidden, logits)
    // becomes
    @body(%ids, %slot, %pos, %rope_local, %rope_global) -> resid
    @tail(%resid, %want, %ids, %slot, %pos, %rope_local, %rope_global) -> hidden
    @top(%hidden, %mask) -> (ids, values)
    @logits(%hidden) -> logits
    ```
  }];
  let statistics = [
    Statistic<"opsInBody", "ops-in-body", "ops of the body">,
    Statistic<"opsInTail", "ops-in-tail", "ops of the tail">];
}

def CheckOptimized : GemmacPass<"gemma-check-optimized"> {
  let summary = "Check what the stage optimize promises";
  let description = [{
    Errors where a loose rope, append, attention, geglu, router, experts, add or
    scale is left outside the fused ops, repeating why it was not fused; where a
    weight or cache has no format; where a function is not one of the segments.
    Changes nothing.

    ```mlir
    %q2 = gemma.rope %q1, %rope_local ...
    // error: is not part of a fused op: <why the fusion declined>
    ```
  }];
}

def Expand : GemmacPass<"gemma-expand"> {
  let summary = "Undo the fusions";
  let description = [{
    Replaces every fused op by the primitives that define it (GemmaOps.td). The
    reference evaluator runs primitives only and so gives fused ops their
    meaning.

    ```mlir
    %y = gemma.ffn_block %h pre(@n0) gate(@g) up(@u) down(@d) post(@n1) ...
    // becomes
    %x = gemma.rms_norm %h weight @n0 ...
    %g = gemma.linear %x, @g ...
    ...
    ```
  }];
  let statistics = [
    Statistic<"expanded", "expanded", "fused ops">];
}

//===-- stage select ------------------------------------------------------===//

def GemmaToKernel : GemmacPass<"gemma-to-kernel"> {
  let summary = "Replace fused ops by calls of the target's kernels";
  let description = [{
    Makes `@<segment>_few` (1 to 8 rows) and, for body and tail,
    `@<segment>_many` of every segment and fills them by the recipe of the
    target's device kind: the kernels that an op becomes, and the axis that each
    runs over. Weights become packed weights: queries, keys and values of a layer
    are one matrix (at the cut, where keys are computed in body and queries in
    tail, views of one), gate and up alternate in blocks of 32 rows. A shape that
    no kernel has is an error.

    ```mlir
    %y = gemma.ffn_block %h pre(@n0) gate(@g) up(@u) down(@d) post(@n1) ...
    // becomes, in class few
    %x = kernel.call @norm_...(%h) weights([@n0]) over all(1)
    %a = kernel.call @linear_geglu_...(%x) weights([@gate_up]) scalars {stride = 6144} over blocks(192)
    %d = kernel.call @linear_...(%a) weights([@d]) scalars {stride = 1536} over blocks(96)
    %y = kernel.call @add_norm_...(%h, %d) weights([@n1]) over all(1)
    ```
  }];
  let options = [
    Option<"target", "target", "std::string", "\"x86-avx512\"",
           "hardware (--list-targets of gemmac)">
  ];
}

//===-- stage plan --------------------------------------------------------===//

def InsertBarriers : GemmacPass<"kernel-insert-barriers"> {
  let summary = "Put barriers where workers depend on each other";
  let description = [{
    A barrier stands in front of a call that reads what another worker may have
    written since the last barrier: a value, unless its producer ran `all` (a
    private copy), or both calls have the same axis and units and touch only
    their own parts; or a cache that was appended to. Nothing is moved. Running
    it twice adds nothing.

    ```mlir
    %a = kernel.call @linear_...(%x) weights([@l0.qkv]) scalars {stride = 2560} over blocks(160)
    %q = kernel.call @rope_q_...(%a, %rope_local) weights([@l0.q_norm]) scalars {column = 0, stride = 2560} over all(1)
    // becomes
    %a = kernel.call @linear_...(%x) weights([@l0.qkv]) scalars {stride = 2560} over blocks(160)
    kernel.barrier
    %q = kernel.call @rope_q_...(%a, %rope_local) weights([@l0.q_norm]) scalars {column = 0, stride = 2560} over all(1)
    ```
  }];
}

def AssignMemory : GemmacPass<"kernel-assign-memory"> {
  let summary = "Place every result, weight and cache";
  let description = [{
    Gives each result a place: private (`worker`) for axis `all`, per split
    (`key`) for attention partials, an io array for what the function returns,
    otherwise per row (`row`). Values whose lives do not meet share bytes. Lives
    of shared values are counted in phases (intervals between barriers), because
    a worker may be anywhere in a phase while another is anywhere in the same.
    An update in place keeps its operand's bytes where the operand dies. Sets
    `kernel.memory` (bytes per unit of every class), and offsets of weights and
    caches.

    ```mlir
    %d = kernel.call @linear_...(%g) weights([@l0.down]) scalars {stride = 1536} over blocks(96)
    // becomes
    %d = kernel.call @linear_...(%g) weights([@l0.down]) scalars {stride = 1536} over blocks(96) at [row + 10240]
    ```
  }];
}

def VerifyPlan : GemmacPass<"kernel-verify-plan"> {
  let summary = "Check a plan without trusting the planner";
  let description = [{
    For every pair of accesses to overlapping bytes, at least one a write, there
    must be a reason why no worker sees the other halfway: a barrier, private
    copies, worker 0 on both sides, or the same units each touching its own part.
    No value may be overwritten before its last use. Places must be of the class
    that the axis asks for, aligned and inside `kernel.memory`; units, scalars,
    step arrays and weights must fit the shapes; weights and caches must not
    overlap. Changes nothing.

    ```mlir
    %a = kernel.call @linear_...(%x) weights([@l0.qkv]) scalars {stride = 2560} over blocks(160) at [row + 0]
    %q = kernel.call @rope_q_...(%a, %rope_local) weights([@l0.q_norm]) scalars {column = 0, stride = 2560} over all(1) at [worker + 0]
    // error: expects a barrier after @linear_..., which writes the same bytes
    ```
  }];
}

//===-- stage native ------------------------------------------------------===//

def KernelToLLVM : GemmacPass<"kernel-to-llvm"> {
  let summary = "Lower a plan to straight-line LLVM functions";
  let description = [{
    Every segment becomes `@<segment>_<class>(ctx, worker)`: loads of the fields
    of gm_ctx (runtime/abi.h), then calls of kernels with the addresses of their
    operands and this worker's units, and barriers through the context. Kernels
    are declared; codegen adds the bodies. `@gm_model` is the table that the
    runtime reads. What kernel-verify-plan refuses is not lowered.

    ```mlir
    %d = kernel.call @linear_...(%g) weights([@l0.down]) scalars {stride = 1536} over blocks(96) at [row + 10240]
    // becomes
    llvm.call @linear_...(%row, %l0.down, %row10240, %rows, %c1536, %begin, %end) {kernel.call = "l0.mlp_out"} : ...
    ```
  }];
  let dependentDialects = ["::mlir::kernel::KernelDialect", "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect"];
}

#endif
