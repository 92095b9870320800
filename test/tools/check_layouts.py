#!/usr/bin/python3
"""Tiny checkpoints in every form in which tools write them must give the numbers
of the plain form, digit by digit, by the reference evaluator.

check_layouts.py GEMMA_EVAL WORK [CASE...]   (names of the functions below)

A case changes the tensors ({name: (dtype, shape, bytes)}, plain names) or the
folder of a model of make_tiny.py, E (the default), D or M. Its remarks are what
--show-ignored must say besides."""
import argparse
import functools
import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_tiny

PREFIX = "model.language_model."
DTYPES = ["BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ",
          "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64"]
BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BF16": 16, "C64": 64}
CASES = []


def bits(dtype):
    return BITS.get(dtype) or int("".join(c for c in dtype.split("_")[0] if c.isdigit()))


def case(*remarks, model="E"):
    """Registers `function(tensors)`, which may return other tensors, or the files of the folder:
    {file name: tensors or text}."""

    def add(function):
        CASES.append((function.__name__, function, model, remarks))
        return function

    return add


def variants(table, *remarks, model="E"):
    """Registers a function once per row of `table`, which names the case and gives it an argument."""

    def add(function):
        for name, value in table.items():
            CASES.append((name, lambda t, value=value: function(t, value), model, remarks))
        return function

    return add


def write(path, tensors, metadata):
    header, at = {"__metadata__": metadata} if metadata is not None else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))


def renamed(tensors, change):
    return {change(name): tensor for name, tensor in tensors.items()}


# What stands in front.

FRONTS = {"bare": "", "text": "model.", "mlx": "language_model.model.", "flat": "language_model.",
          "twice": "model.model.", "peft": "base_model.model.model.language_model.",
          "compiled": "_orig_mod.model.language_model.", "parallel": "module.model.language_model.",
          "nested": "module._orig_mod.base_model.model.model.", "anything": "student.net.0.", "inner": "model.module."}


@variants(FRONTS)
def front(tensors, text):
    return renamed(tensors, lambda n: text + n[len(PREFIX):] if n.startswith(PREFIX) else n)


@variants({"fsdp": "_fsdp_wrapped_module.", "checkpointed": "_checkpoint_wrapped_module.", "layers_compiled": "_orig_mod."})
def wrapped_layers(tensors, text):
    def rename(name):
        head, dot, tail = name.partition(".self_attn.")
        return head + "." + text + "self_attn." + tail if dot else name

    return renamed(tensors, rename)


@variants({"tower_inside": "model.vision_tower.", "tower_outside": "vision_tower.", "tower_wrapped": "module.model.audio_tower.",
           "tower_unified": "model.vision_embedder."}, "is not compiled: config.json describes no such tower")
def tower(tensors, text):
    tensors[text + "layers.0.mlp.up_proj.weight"] = ("I8", [3], bytes(3))


# The head.


def exchanged(tensor):
    """The rows of tokens 3 and 5 exchanged, and a sign, so that the output shows which matrix is used."""
    dtype, shape, data = tensor
    row = len(data) // shape[0]
    rows = [data[i:i + row] for i in range(0, len(data), row)]
    rows[3], rows[5] = rows[5], rows[3]
    return dtype, shape, b"".join(rows)


@variants({"head_same": "lm_head.weight", "head_same_inside": "language_model.lm_head.weight",
           "head_same_wrapped": "base_model.model.lm_head.weight"}, "tied to the embedding")
def head_same(tensors, name):
    tensors[name] = tensors[PREFIX + "embed_tokens.weight"]


@case("the embedding is stored as the head")
def head_alone(tensors):
    tensors["lm_head.weight"] = tensors.pop(PREFIX + "embed_tokens.weight")


# What nobody needs.

LEFT = {"inv_freq": PREFIX + "rotary_emb.full_attention_inv_freq", "original_inv_freq": PREFIX + "rotary_emb.sliding_attention_original_inv_freq",
        "old_inv_freq": PREFIX + "layers.0.self_attn.rotary_emb.inv_freq", "embed_scale": PREFIX + "embed_tokens.embed_scale",
        "per_layer_scale": PREFIX + "embed_tokens_per_layer.embed_scale", "position_ids": "model.position_ids",
        "value_head": "v_head.summary.weight", "other_value_head": "value_head.weight", "grades": "score.weight",
        "grades_inside": "model.score.weight", "classifier": "classifier.out_proj.weight"}


@variants(LEFT, "ignored")
def left_over(tensors, name):
    tensors[name] = ("F32", [2], bytes(8))


@case("state of a trainer")
def optimizer(tensors):
    for name, tensor in list(tensors.items()):
        for what in "exp_avg", "exp_avg_sq", "step":
            tensors["optimizer.state.%s.%s" % (name, what)] = tensor


@case("5 tensors are ignored, such as '" + PREFIX + "layers.3.self_attn.k_proj.weight'")
def dead_keys(tensors):
    for name in "k_proj.weight", "v_proj.weight", "k_norm.weight", "v_norm.weight", "k_proj.weight_scale":
        tensors[PREFIX + "layers.3.self_attn." + name] = ("F32", [1], bytes(4))


@case("the layer's values are its keys", model="D")
def values_that_are_keys(tensors):
    tensors[PREFIX + "layers.2.self_attn.v_proj.weight"] = tensors[PREFIX + "layers.2.self_attn.k_proj.weight"]


@variants({"dtype_" + d: d for d in DTYPES})
def ignored_dtype(tensors, dtype):
    tensors["model.vision_tower.x"] = (dtype, [8], bytes(bits(dtype)))
    tensors["model.vision_tower.none"] = (dtype, [0, 3], b"")


@variants({"wide_" + d: d for d in ("F32", "BF16")})
def mixed_types(tensors, dtype):
    """All vectors in another type."""
    for name, (have, shape, data) in tensors.items():
        if len(shape) == 1 and dtype == "F32":
            tensors[name] = dtype, shape, b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))


# Experts.


def experts(tensors, change):
    """`change(layer prefix, gate_up, down)` gives the tensors instead."""
    out = {}
    for name, tensor in tensors.items():
        layer, dot, what = name.partition("experts.")
        if what == "gate_up_proj":
            out.update(change(layer, tensor, tensors[layer + "experts.down_proj"]))
        elif what != "down_proj":
            out[name] = tensor
    return out


def stacked(parts):
    return parts[0][0], [len(parts)] + list(parts[0][1]), b"".join(p[2] for p in parts)


def members(tensor, cuts=1):
    """Of each expert the `cuts` equal parts of its rows."""
    dtype, (count, rows, columns), data = tensor
    size = len(data) // count // cuts
    parts = [(dtype, [rows // cuts, columns], data[i:i + size]) for i in range(0, len(data), size)]
    return [parts[i:i + cuts] for i in range(0, len(parts), cuts)]


@variants({"experts_weight": "experts.%s.weight", "experts_moe": "moe.%s", "experts_mlp": "mlp.experts.%s"}, model="M")
def experts_fused(tensors, form):
    return experts(tensors, lambda layer, gate_up, down: {layer + form % "gate_up_proj": gate_up, layer + form % "down_proj": down})


@variants({"switch_glu": "experts.switch_glu.%s.weight", "switch_mlp": "experts.switch_mlp.%s.weight",
           "experts_stacked": "experts.%s"}, model="M")
def experts_split(tensors, form):
    def change(layer, gate_up, down):
        gate, up = (stacked([m[i] for m in members(gate_up, 2)]) for i in (0, 1))
        return {layer + form % name: t for name, t in (("gate_proj", gate), ("up_proj", up), ("down_proj", down))}

    return experts(tensors, change)


@variants({"each": "experts.%d.%s.weight", "each_moe": "moe.experts.%d.%s.weight", "each_mlp": "mlp.experts.%d.%s.weight"},
          "every expert has tensors of its own", model="M")
def experts_each(tensors, form):
    """In the order of names, which is not that of numbers."""

    def change(layer, gate_up, down):
        out = {}
        for i, ((gate, up), (down,)) in enumerate(zip(members(gate_up, 2), members(down))):
            out.update({layer + form % (i, "gate_proj"): gate, layer + form % (i, "up_proj"): up, layer + form % (i, "down_proj"): down})
        return out

    made = experts(tensors, change)
    return {name: made[name] for name in sorted(made, key=lambda n: n[::-1])}


@case(model="M")
def experts_each_fused(tensors):
    return experts(tensors, lambda layer, gate_up, down: {
        **{layer + "experts.%d.gate_up_proj.weight" % i: m[0] for i, m in enumerate(members(gate_up))}, layer + "experts.down_proj": down})


@case(model="M")
def old_router(tensors):
    return renamed(tensors, lambda n: n.replace("router.per_expert_scale", "moe.per_expert_scale"))


# Files.

INDEX, FIRST, SECOND = "model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
NORM = PREFIX + "norm.weight"


def halves(tensors):
    items = list(tensors.items())
    return dict(items[::2]), dict(items[1::2])


def sharded(tensors, first=FIRST, second=SECOND, change=lambda weight_map: None, more=()):
    one, two = halves(tensors)
    two.update(more)
    weight_map = {**{n: first for n in one}, **{n: second for n in two}}
    change(weight_map)
    return {first: one, second: two, INDEX: json.dumps({"metadata": {"total_size": None}, "weight_map": weight_map, "extra": [1]})}


@case()
def shards(tensors):
    return sharded(tensors)


@case()
def shards_with_odd_names(tensors):
    return sharded(tensors, "part one.safetensors", "b.safetensors")


@case("a copy of another tensor")
def tensor_in_two_shards(tensors):
    one, _ = halves(tensors)
    name = next(iter(one))
    return sharded(tensors, change=lambda m: m.update({name: FIRST}), more={name: one[name]})


@case("every expert", model="M")
def expert_in_two_shards(tensors):
    tensors = experts_each(tensors, "experts.%d.%s.weight")
    one, _ = halves(tensors)
    name = next(n for n in one if ".experts.3." in n)
    return sharded(tensors, more={name: one[name]})


@case("tensors of the index that are in no file: 1, such as \"lm_head.weight\"")
def index_lists_too_much(tensors):
    return sharded(tensors, change=lambda m: m.update({"lm_head.weight": SECOND}))


@case("tensors that are not in the index: 1")
def index_lists_too_little(tensors):
    return sharded(tensors, change=lambda m: m.pop(NORM))


@case("tensors in another file than the index says: 1")
def index_is_wrong(tensors):
    return sharded(tensors, change=lambda m: m.update({NORM: SECOND if m[NORM] == FIRST else FIRST}))


@variants({"one_of_one": "model-00001-of-00001.safetensors", "other_name": "gemma-bf16.safetensors"}, "the only file of tensors")
def file_name(tensors, name):
    return {name: tensors}


@case()
def no_metadata(tensors):
    return {"model.safetensors": tensors, "metadata": None}


@case()
def other_files(tensors):
    """What trainers and converters leave beside the model."""
    names = ("adapter_config.json", "training_args.bin", "optimizer.pt", "pytorch_model.bin", "consolidated.00.pth", "weights.npz", "x.gguf")
    return {"model.safetensors": tensors, **{name: "x" for name in names}}


# config.json.


def config_case(tensors, change):
    config = {"model_type": "gemma4", "text_config": make_tiny.config("E"), "tie_word_embeddings": True}
    change(config)
    return {"model.safetensors": tensors, "config.json": json.dumps(config)}


KEYS = {"infinity": dict(a=float("inf"), b=-float("inf"), c=[float("nan")]), "unknown": dict(unsloth_version="x", auto_map={"a": [None]}, torch_dtype="float64"),
        "deep": dict(a=[[[[{"b": {"c": {}}}]]]]), "null": dict(rope_scaling=None, quantization_config=None, vision_config=None)}


@variants({"key_" + k: v for k, v in KEYS.items()})
def odd_keys(tensors, keys):
    def change(config):
        config.update(keys)
        config["text_config"].update(keys)

    return config_case(tensors, change)


@variants({"quantised_" + k: v for k, v in
           {"bnb": dict(quant_method="bitsandbytes", load_in_4bit=True), "gptq": dict(quant_method="gptq", bits=4),
            "nothing": {}, "ct": dict(quant_method="compressed-tensors", config_groups={}), "fp8": dict(quant_method="fp8")}.items()},
          "quantization_config", "is ignored: no tensor is quantised")
def quantization_config(tensors, value):
    return config_case(tensors, lambda c: c.update(quantization_config=value))


@case("quantization of config.json is ignored")
def mlx_quantization(tensors):
    return config_case(tensors, lambda c: c.update(quantization=dict(group_size=32, bits=4)))


@functools.cache
def plain_tensors(kind):
    a = argparse.Namespace(kind=kind, dead_kv=False, type="bf16", **dict.fromkeys(("drop", "add", "reshape", "retype")))
    return {PREFIX + name: (dtype.upper(), shape, data) for name, dtype, shape, data in make_tiny.make(a)}


def make(folder, kind, change):
    tensors = dict(plain_tensors(kind))
    tensors = change(tensors) or tensors
    files = tensors if isinstance(next(iter(tensors.values())), (dict, str)) else {"model.safetensors": tensors}
    metadata = files.pop("metadata", {"format": "pt"})
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(folder + "/config.json", "w") as out:
        json.dump({"model_type": "gemma4", "text_config": make_tiny.config(kind), "tie_word_embeddings": True}, out)
    for name, content in files.items():
        if isinstance(content, dict):
            write(os.path.join(folder, name), content, metadata)
        else:
            with open(os.path.join(folder, name), "w") as out:
                out.write(content)


def evaluate(command, folder):
    done = subprocess.run([command, "--import=" + folder, "--ids=2,17,3,5,90,41", "--show-ignored"], capture_output=True, text=True)
    return done.stdout[done.stdout.find("argmax"):], done.stdout + done.stderr


def main():
    command, work, only = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:]
    names = [c[0] for c in CASES]
    assert len(set(names)) == len(names)
    if unknown := [name for name in only if name not in names]:
        sys.exit("no case %s; there are %s" % (", ".join(unknown), ", ".join(names)))
    plain, failed, chosen = {}, 0, [c for c in CASES if not only or c[0] in only]
    for kind in "EDM":
        make(work + "/plain", kind, lambda tensors: None)
        plain[kind], said = evaluate(command, work + "/plain")
        assert plain[kind].startswith("argmax") and "remark" not in said, said
    assert len(set(plain.values())) == 3
    for name, change, kind, remarks in chosen:
        make(work + "/case", kind, change)
        got, said = evaluate(command, work + "/case")
        lacking = [r for r in remarks if r not in said]
        if got != plain[kind] or lacking:
            failed += 1
            print("%s: %s\n%s" % (name, "lacks %s" % lacking if lacking else "differs from the plain form", said[:600]))
    # The evaluator must be able to show a difference.
    make(work + "/case", "E", lambda t: t.update({PREFIX + "embed_tokens.weight": exchanged(t[PREFIX + "embed_tokens.weight"])}))
    assert evaluate(command, work + "/case")[0] != plain["E"]
    print("%d of %d cases as expected" % (len(chosen) - failed, len(chosen)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
