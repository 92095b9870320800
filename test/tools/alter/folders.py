"""Alterations of checkpoint folders, one function each: what trainers, converters,
hubs and people do to them. A function changes case.folder and notes what it did.
Must not know who reads the folder."""
import json

import numpy as np

from . import model
from .case import MAY, MUST, SAME
from .model import PREFIX, Tensor

ODD_TYPES = {"F64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1,
             "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F16": 2, "BF16": 2, "F32": 4, "C64": 8}


def odd(r, dtype, shape):
    return Tensor(dtype, shape, bytes(ODD_TYPES[dtype] * int(np.prod(shape, dtype=int))))


#===-- names ----------------------------------------------------------------===#


def renamed(case, to, plain):
    """Gives the text's tensors the prefix `to`; transformers is asked with `plain`."""
    names = {to + name[len(PREFIX):]: plain + name[len(PREFIX):] for name in case.folder.tensors if name.startswith(PREFIX)}
    case.folder.rename(lambda name: to + name[len(PREFIX):] if name.startswith(PREFIX) else name)
    case.undo.append(lambda folder: folder.rename(lambda name: names.get(name, name)))


def prefix(case, r):
    to = r.choice(["language_model.model.", "model.model.language_model.", "base_model.model.model.language_model.",
                   "_orig_mod.model.language_model.", "module.model.language_model.", "model.", "", "language_model.",
                   "module._orig_mod.model.language_model.", "base_model.model.model.", "model.model.",
                   "base_model.model.language_model.model.", "student.model.language_model.", "policy.model.",
                   "transformer.language_model.model.", "actor.module.model.language_model.", "x.y.z."])
    renamed(case, to, PREFIX)
    case.note(f"prefix '{to}'")


def text_only(case, r):
    f = case.folder
    flat = dict(f.text)
    flat["tie_word_embeddings"] = f.config.get("tie_word_embeddings", True)
    flat["architectures"] = ["Gemma4UnifiedForCausalLM" if f.kind == "U" else "Gemma4ForCausalLM"]
    flat["eos_token_id"] = f.config.get("eos_token_id")
    to = r.choice(["model.", "model.", PREFIX, "", "language_model.model."])
    f.config = flat
    renamed(case, to, "model.")
    case.note(f"text-only export, prefix '{to}'")


def order(case, r):
    names = list(case.folder.tensors)
    r.shuffle(names)
    case.folder.tensors = {name: case.folder.tensors[name] for name in names}
    case.note("tensors in random order")


def expert_names(case, r):
    f = case.folder
    how = r.choice(["each", "each_w", "switch_glu", "switch_mlp", "moe", "split", "weight"])
    out = {}
    for name, t in f.tensors.items():
        base, _, last = name.rpartition(".experts.")
        if not base:
            out[name.replace(".router.per_expert_scale", ".moe.per_expert_scale") if how == "moe" else name] = t
            continue
        values, both = model.decode(t), last == "gate_up_proj"
        width = t.shape[1] // 2
        parts = [("gate", values[:, :width]), ("up", values[:, width:])] if both else [("down", values)]
        tensor = lambda x: Tensor(t.dtype, list(x.shape), model.encode(np.ascontiguousarray(x), t.dtype))
        if how.startswith("each"):
            words = {"gate": "w1", "up": "w3", "down": "w2"} if how == "each_w" else {}
            for word, part in parts:
                for e in range(len(part)):
                    out[f"{base}.experts.{e}.{words.get(word, word + '_proj')}.weight"] = tensor(part[e])
        elif how in ("switch_glu", "switch_mlp"):
            for word, part in parts:
                out[f"{base}.experts.{how}.{word}_proj.weight"] = tensor(part)
        elif how == "split":
            for word, part in parts:
                out[f"{base}.experts.{word}_proj"] = tensor(part)
        else:
            out[f"{base}.{'moe' if how == 'moe' else 'experts'}.{last}{'.weight' if how == 'weight' else ''}"] = t
    before, f.tensors = f.tensors, out
    case.undo.append(lambda folder: setattr(folder, "tensors", before))
    case.note(f"experts spelled '{how}'", "expert", "moe", "switch", rule=MAY if how in ("each_w", "switch_mlp") else SAME)


def fused(case, r):
    """One matrix in place of several, as other projects store them."""
    f, n = case.folder, r.randrange(case.folder.text["num_hidden_layers"])
    base = f"{PREFIX}layers.{n}."
    parts, to = r.choice([(["q_proj", "k_proj", "v_proj"], "self_attn.qkv_proj.weight"),
                          (["mlp.gate_proj", "mlp.up_proj"], "mlp.gate_up_proj.weight")])
    found = [name for name in f.tensors if name.startswith(base) and any(name.endswith(p + ".weight") for p in parts)]
    if len(found) < 2:
        return order(case, r)
    whole = Tensor(f.tensors[found[0]].dtype, [sum(f.tensors[x].shape[0] for x in found)] + f.tensors[found[0]].shape[1:],
                   b"".join(f.tensors[x].data for x in found))
    for name in found:
        del f.tensors[name]
    f.tensors[base + to] = whole
    case.note(f"fused {to}", to, *(x.split(".")[-2] for x in found), rule=MUST)


#===-- which tensors --------------------------------------------------------===#

LEFTOVERS = ["rotary_emb.inv_freq", "layers.0.self_attn.rotary_emb.inv_freq", "rotary_emb.full_attention_inv_freq",
             "rotary_emb.sliding_attention_inv_freq", "rotary_emb.full_attention_original_inv_freq", "embed_scale",
             "embed_tokens.embed_scale", "embed_tokens_per_layer.embed_scale", "per_layer_input_scale",
             "per_layer_projection_scale", "layers.1.router.root_size", "rotary_emb.inv_freq_local",
             "layers.0.self_attn.rotary_emb.cos_cached", "rotary_emb_local.inv_freq"]


def buffers(case, r):
    for name in r.sample(LEFTOVERS, r.randint(1, 3)):
        dtype = r.choice(["F32", "BF16", "F16", "F64"])
        case.folder.tensors[PREFIX + name] = odd(r, dtype, r.choice([[], [1], [16], [32]]))
        case.note(f"buffer {name} {dtype}", name, rule=MAY if "root_size" in name else SAME)


def towers(case, r):
    for name in r.sample(["model.vision_tower.patch_embedder.input_proj.weight", "model.audio_tower.layers.0.norm_out.weight",
                          "model.embed_vision.embedding_projection.weight", "model.embed_audio.embedding_projection.weight",
                          "model.multi_modal_projector.weight", "model.vision_tower.std_bias"], r.randint(1, 3)):
        dtype = r.choice(list(ODD_TYPES))
        case.folder.tensors[name] = odd(r, dtype, r.choice([[3], [4, 3], []]))
        case.note(f"tower tensor {name} {dtype}", name, rule=MAY if "multi_modal" in name else SAME)


def strange_tensor(case, r):
    name = r.choice(["optimizer.state.step", "value_head.weight", "v_head.summary.weight", "score.weight",
                     "mtp.layers.0.weight", PREFIX + "layers.0.mlp.extra.weight", "step", "ema.decay",
                     PREFIX + "layers.99.input_layernorm.weight", "steering_vector", "classifier.bias"])
    dtype = r.choice(list(ODD_TYPES))
    case.folder.tensors[name] = odd(r, dtype, r.choice([[3], [2, 2], [1]]))
    case.note(f"strange tensor {name} {dtype}", name, rule=MAY)


def missing(case, r):
    name = r.choice(list(case.folder.tensors))
    del case.folder.tensors[name]
    case.note(f"without {name}", name, rule=MUST)


def dead_kv(case, r):
    f = case.folder
    if f.kind != "E":
        return buffers(case, r)
    full = model.weights("E", True)
    added = [name for name in full if PREFIX + name not in f.tensors]
    if r.random() < 0.3:
        added = r.sample(added, r.randint(1, len(added)))
    for name in added:
        f.tensors[PREFIX + name] = full[name]
    case.note("k/v of shared layers" if len(added) == 6 else f"k/v of shared layers: {', '.join(added)}")


def tie(r, f):
    for where in (f.config, f.text):
        value = r.choice([True, False, None, "none"])
        where["tie_word_embeddings"] = value
        if value == "none":
            del where["tie_word_embeddings"]
    return f"tie {f.config.get('tie_word_embeddings', 'none')}/{f.text.get('tie_word_embeddings', 'none')}"


def head(case, r):
    f = case.folder
    embed = f.tensors[PREFIX + "embed_tokens.weight"]
    what = r.choice(["same", "other", "other", "cut", "zero"])
    row = len(embed.data) // embed.shape[0]
    data = {"same": embed.data, "other": embed.data[7 * row:] + embed.data[:7 * row], "cut": embed.data[:-row],
            "zero": bytes(len(embed.data))}[what]
    name = r.choice(["lm_head.weight", "lm_head.weight", "model.lm_head.weight", "language_model.lm_head.weight"])
    f.tensors[name] = embed.copy(data=data, shape=[len(data) // row, embed.shape[1]])
    flags = tie(r, f)
    case.note(f"{what} head {name} {flags}", "lm_head", "tie_word_embeddings",
              rule=MAY if what in ("cut", "zero") or name != "lm_head.weight" else SAME)
    unclear = None in (f.config.get("tie_word_embeddings", 0), f.text.get("tie_word_embeddings", 0))
    if what != "same" and (unclear or name == "language_model.lm_head.weight"):
        case.rule = None # transformers refuses null and looks for no head there: nobody says which is meant


def untied(case, r):
    """The flags alone."""
    case.note(tie(r, case.folder), "lm_head", "tie_word_embeddings", rule=MAY)


def wrong_shape(case, r):
    name = r.choice(list(case.folder.tensors))
    t = case.folder.tensors[name]
    row = len(t.data) // t.shape[0]
    data, shape = r.choice([(t.data + t.data[:row], [t.shape[0] + 1] + t.shape[1:]), (t.data, t.shape + [1]),
                            (t.data, [1] + t.shape), (t.data[:row], [1] + t.shape[1:]), (t.data, t.shape[::-1])])
    if shape == t.shape:
        data, shape = data * 2, [2 * shape[0]] + shape[1:]
    case.folder.tensors[name] = t.copy(data=data, shape=shape)
    case.note(f"{name} of shape {shape}, not {t.shape}", name, rule=MUST)


def lora(case, r):
    f = case.folder
    name = r.choice([x for x in f.tensors if x.endswith("_proj.weight") and len(f.tensors[x].shape) == 2])
    t, stem = f.tensors[name], name[:-len(".weight")]
    if r.random() < 0.5:
        f.tensors[stem + ".base_layer.weight"] = f.tensors.pop(name)
    words = r.choice([("lora_A.weight", "lora_B.weight"), ("lora_A.default.weight", "lora_B.default.weight")])
    f.tensors[f"{stem}.{words[0]}"] = odd(r, "F32", [4, t.shape[1]])
    f.tensors[f"{stem}.{words[1]}"] = odd(r, "F32", [t.shape[0], 4])
    case.note(f"unmerged LoRA of {name}", "lora", rule=MUST)


def quantised(case, r):
    """A matrix in what a quantiser writes for it."""
    f = case.folder
    name = r.choice([x for x in f.tensors if x.endswith("_proj.weight") and len(f.tensors[x].shape) == 2])
    t, stem = f.tensors.pop(name), name[:-len(".weight")]
    rows, columns = t.shape
    how = r.choice(["gptq", "awq", "nf4", "fp8", "compressed", "mlx"])
    if how == "gptq":
        new = {"qweight": ("I32", [columns // 8, rows]), "qzeros": ("I32", [1, rows // 8]), "scales": ("F16", [1, rows]),
               "g_idx": ("I32", [columns])}
    elif how == "awq":
        new = {"qweight": ("I32", [columns, rows // 8]), "qzeros": ("I32", [1, rows // 8]), "scales": ("F16", [1, rows])}
    elif how == "nf4":
        new = {"weight": ("U8", [rows * columns // 2, 1]), "weight.absmax": ("U8", [rows * columns // 64]),
               "weight.quant_map": ("F32", [16]), "weight.quant_state.bitsandbytes__nf4": ("U8", [90])}
    elif how == "fp8":
        new = {"weight": ("F8_E4M3", [rows, columns]), "weight_scale": ("F32", [rows, 1])}
    elif how == "compressed":
        new = {"weight_packed": ("I32", [rows, columns // 8]), "weight_scale": ("BF16", [rows, columns // 32]),
               "weight_shape": ("I64", [2])}
    else:
        new = {"weight": ("U32", [rows, columns // 8]), "scales": ("BF16", [rows, columns // 32]),
               "biases": ("BF16", [rows, columns // 32])}
    for word, (dtype, shape) in new.items():
        f.tensors[f"{stem}.{word}"] = odd(r, dtype, shape)
    method = {"gptq": "gptq", "awq": "awq", "nf4": "bitsandbytes", "fp8": "fp8", "compressed": "compressed-tensors"}
    if how in method and r.random() < 0.8:
        f.config["quantization_config"] = {"quant_method": method[how], "bits": 4, "group_size": 128}
    elif how == "mlx" and r.random() < 0.8:
        f.config["quantization"] = {"group_size": 32, "bits": 4}
    case.note(f"{how} of {name}", "quant", "gptq", "awq", "nf4", "fp8", "f8_e4m3", stem, rule=MUST)


#===-- dtypes ---------------------------------------------------------------===#


def dtypes(case, r):
    to = r.choice(["F32", "F16", "mixed", "norms"])
    for name, t in case.folder.tensors.items():
        dtype = r.choice(["F32", "F16", "BF16"]) if to == "mixed" else "F32" if to == "norms" else to
        if t.dtype == "BF16" and (to != "norms" or len(t.shape) == 1):
            case.folder.tensors[name] = Tensor(dtype, t.shape, model.encode(model.decode(t), dtype))
    where = r.choice([None, "dtype", "torch_dtype"])
    if where and to in ("F32", "F16"):
        for config in (case.folder.config, case.folder.text):
            config.pop("dtype", None)
            config[where] = {"F32": "float32", "F16": "float16"}[to]
    case.note(f"dtypes {to}, said by {where}")


def used_dtype(case, r):
    name = r.choice(list(case.folder.tensors))
    t, dtype = case.folder.tensors[name], r.choice(["F64", "I8", "U8", "F8_E4M3", "I32", "BOOL", "I64"])
    data = model.encode(model.decode(t), "F64") if dtype == "F64" else odd(r, dtype, t.shape).data
    case.folder.tensors[name] = Tensor(dtype, t.shape, data)
    case.note(f"{name} of type {dtype}", name, dtype, rule=MAY)


#===-- files ----------------------------------------------------------------===#


def shards(case, r, files=None):
    """Deals the tensors to files with an index; returns the files."""
    f = case.folder
    names, count = list(f.tensors), files or r.randint(2, 5)
    r.shuffle(names)
    at = sorted(r.sample(range(1, len(names)), count - 1))
    parts = [names[a:b] for a, b in zip([0] + at, at + [len(names)])]
    form = r.choice(["model-{:05}-of-{:05}.safetensors"] * 3 + ["shard_{}.safetensors", "pytorch_model-{:05}-of-{:05}.safetensors",
                                                                 "{}-{}.safetensors", "model.{}.safetensors"])
    metadata = r.choice([{"format": "pt"}, {"format": "pt"}, None, {}, {"format": "mlx"}])
    f.files = [(form.format(i + 1, count), [(name, f.tensors[name]) for name in part], metadata)
               for i, part in enumerate(parts)]
    f.index = {"metadata": r.choice([{"total_size": sum(len(t.data) for t in f.tensors.values())}, {}, {"total_size": 1.5e3},
                                     {"total_parameters": None, "total_size": 0}]),
               "weight_map": {name: file for file, entries, _ in f.files for name, _ in entries}}
    if r.random() < 0.2:
        f.index["extra"] = r.choice([1, None, {"a": []}])
    case.note(f"{count} shards as {form}, metadata {metadata}")
    return f.files


def stale_index(case, r):
    shards(case, r)
    f = case.folder
    how = r.choice(["extra", "missing_file", "unlisted", "file_lost", "no_metadata", "wrong_file", "not_json"])
    name = r.choice(list(f.index["weight_map"]))
    file = f.index["weight_map"][name]
    if how == "extra":
        f.index["weight_map"]["model.visual.proj.weight"] = file
        case.note("index lists a tensor that is not there")
    elif how == "missing_file":
        f.index["weight_map"]["lm_head.bias"] = "gone.safetensors"
        case.note("index lists a file that is not there", "gone.safetensors", rule=MAY)
    elif how == "unlisted":
        del f.index["weight_map"][name]
        case.note(f"index does not list {name}", name, rule=MAY)
    elif how == "file_lost":
        f.left_out.add(file)
        case.note(f"shard {file} is lost", file, rule=MUST)
    elif how == "no_metadata":
        del f.index["metadata"]
        case.note("index without metadata", "metadata", rule=MAY)
    elif how == "wrong_file":
        other = next(x for x, _, _ in f.files if x != file)
        f.index["weight_map"][name] = other
        case.note(f"index names {other} for {name}, which is in {file}", name, rule=MAY)
    else:
        f.raw["model.safetensors.index.json"] = b'{"metadata": {}, "weight_map": {'
        case.note("index cut off", "index.json", rule=MAY)


def twice(case, r):
    """A tensor in two shards; the index names one."""
    files = shards(case, r)
    name, file = r.choice(sorted(case.folder.index["weight_map"].items()))
    t = case.folder.tensors[name]
    other = r.choice([entries for x, entries, _ in files if x != file])
    equal = r.random() < 0.5
    other.append((name, t if equal else t.copy(data=bytes(len(t.data)))))
    # transformers takes that of the later file, whatever the index names; the index is to decide.
    case.warns = not equal
    case.note(f"{name} in two shards, {'equal' if equal else 'different'}", name, rule=SAME if equal else MAY)


def no_index(case, r):
    count = r.choice([1, 1, 2, 3])
    if count == 1:
        f = case.folder
        f.files = [(r.choice(["model-00001-of-00001.safetensors", "weights.safetensors", "model.fp16.safetensors",
                              "consolidated.safetensors", "pytorch_model.safetensors", "Model.safetensors"]),
                    list(f.tensors.items()), {"format": "pt"})]
        plain = f.files[0][0] == "model-00001-of-00001.safetensors"
        case.note(f"one file {f.files[0][0]}", f.files[0][0], rule=SAME if plain else MAY)
    else:
        shards(case, r, count)
        case.folder.index = None
        case.note("... without an index", "index", rule=MAY)


def both(case, r):
    """A foreign model.safetensors beside shards."""
    shards(case, r)
    name = r.choice(list(case.folder.tensors))
    case.folder.files.append(("model.safetensors", [(name, case.folder.tensors[name])], {"format": "pt"}))
    case.note("a model.safetensors beside the shards", "both", "model.safetensors", rule=MAY)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064x\nsize 4123456\n" % 77


def pointer(case, r):
    name = r.choice(["model.safetensors", "model.safetensors", "config.json", "tokenizer.json", "generation_config.json",
                     "tokenizer_config.json", "chat_template.jinja"])
    case.folder.raw[name] = POINTER
    case.note(f"{name} is a git-lfs pointer", "lfs", rule=MUST)


def broken(case, r):
    name = r.choice(["config.json", "tokenizer.json", "generation_config.json", "model.safetensors", "tokenizer_config.json"])
    how = r.choice(["empty", "cut", "html", "missing"])
    f = case.folder
    if how == "missing":
        f.left_out.add(name)
        fatal = name in ("config.json", "model.safetensors")
        case.note(f"without {name}", name, "safetensors", "config", rule=MUST if fatal else SAME)
        if name == "tokenizer.json":
            f.tokenizer = None
        return
    f.raw[name] = {"empty": b"", "cut": b'{"a": 1, "b', "html": b"<!DOCTYPE html><html>Not Found</html>"}[how]
    case.note(f"{name} {how}", name, rule=MUST)


def other_weights(case, r):
    f = case.folder
    name = r.choice(["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "weights.npz", "model.npz", "model.gguf",
                     "tf_model.h5", "flax_model.msgpack", "model.pth", "model.onnx"])
    beside = r.random() < 0.4
    f.raw[name] = b"PK\x03\x04" + bytes(60) if name != "model.gguf" else b"GGUF" + bytes(60)
    if not beside:
        f.left_out.add("model.safetensors")
    case.note(f"{name} {'beside' if beside else 'instead of'} model.safetensors", name, name.split("-")[0], ".bin", "npz",
              "gguf", rule=SAME if beside else MUST)


def more_files(case, r):
    for name in r.sample(["README.md", "training_args.bin", "optimizer.pt", "trainer_state.json", "special_tokens_map.json",
                          "added_tokens.json", "tokenizer.model", "vocab.json", "merges.txt", ".gitattributes",
                          "preprocessor_config.json", "rng_state.pth", "mmproj.gguf", "model.safetensors.tmp",
                          "original.params.json", "quantization_config.json", "recipe.yaml"], r.randint(1, 4)):
        case.folder.raw[name] = r.choice([b"{}", b"", b"\x80\x02}q\x00.", b"text\n"])
        case.note(f"beside it {name}")


def adapter(case, r):
    f = case.folder
    f.raw["adapter_config.json"] = json.dumps({"peft_type": "LORA", "r": 8, "base_model_name_or_path": "google/x"}).encode()
    how = r.choice(["leftover", "alone", "with config"])
    if how == "leftover":
        case.note("adapter_config.json left over", "adapter", rule=MAY)
        return
    f.files = [("adapter_model.safetensors", [("base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.weight",
                                               odd(r, "F32", [4, 64]))], {"format": "pt"})]
    if how == "alone":
        f.left_out.add("config.json")
    case.note(f"an adapter {how}", "adapter", "lora", rule=MUST)


def header(case, r):
    """Odd but valid, or invalid, safetensors."""
    f, how = case.folder, r.choice(["no metadata", "odd metadata", "twice", "twice different"])
    entries = list(f.tensors.items())
    metadata = {"format": "pt"}
    if how == "no metadata":
        metadata = None
    elif how == "odd metadata":
        metadata = {"format": r.choice(["np", "mlx", "flax", ""]), "total_size": "12", "\u00e4": "\u2603" * 20}
    else:
        name, t = r.choice(entries)
        entries.append((name, t if how == "twice" else t.copy(data=bytes(len(t.data)))))
        case.note(f"{name} twice in the header", name, "duplicate", "twice", "offset", rule=MAY)
    f.files = [("model.safetensors", entries, metadata)]
    case.note(f"header: {how}")


#===-- configuration --------------------------------------------------------===#

IGNORED = ["architectures", "initializer_range", "use_cache", "attention_dropout", "transformers_version", "dtype",
           "image_token_id", "boi_token_id", "vision_config", "audio_config", "eoa_token_index", "hidden_activation",
           "attention_bias"]


# How a configuration that does not fit the tensors is told of.
MISFIT = ("config.json describes", "from config.json")


def places(f):
    return [(where, key) for where in ("root", "text") for key in (f.config if where == "root" else f.text)
            if key != "text_config"]


def config_removed(case, r):
    where, key = r.choice(places(case.folder))
    del (case.folder.config if where == "root" else case.folder.text)[key]
    case.note(f"config {where}.{key} removed", key, *MISFIT, rule=SAME if key in IGNORED else MAY)


def config_null(case, r):
    where, key = r.choice(places(case.folder))
    (case.folder.config if where == "root" else case.folder.text)[key] = None
    case.note(f"config {where}.{key} null", key, *MISFIT, rule=SAME if key in IGNORED[:7] else MAY)


def config_type(case, r):
    where, key = r.choice(places(case.folder))
    config = case.folder.config if where == "root" else case.folder.text
    old = config[key]
    options = [str(old), [old], {"value": old}]
    if isinstance(old, bool):
        options += [int(old), "true"]
    elif isinstance(old, int):
        options += [float(old), old + 0.5, -old]
    elif isinstance(old, float):
        options += [int(old) if old == int(old) else old * 2]
    config[key] = r.choice(options)
    case.note(f"config {where}.{key} = {json.dumps(config[key])}", key, "layer", *MISFIT, rule=MAY)


# Keys that other models have or that transformers itself reads.
KNOWN_KEYS = ("rope_scaling", "torch_dtype", "use_sliding_window", "mlp_bias", "_attn_implementation", "return_dict", "id2label",
              "output_attentions", "max_window_layers", "pretraining_tp", "moe_layer_freq")


def config_unknown(case, r):
    key = r.choice(["_name_or_path", "unsloth_version", "_attn_implementation", "rope_scaling", "torch_dtype", "max_window_layers",
                    "quantization_note", "x", "use_sliding_window", "pretraining_tp", "auto_map", "zero3", "return_dict",
                    "output_attentions", "id2label", "model_name", "unsloth_fixed", "moe_layer_freq", "mlp_bias"])
    value = r.choice([None, 1, "text", [], {}, True, float("inf"), float("nan"), -1e400, {"a": [1, {"b": None}]}, 10**30])
    r.choice([case.folder.config, case.folder.text])[key] = value
    case.note(f"config key {key} = {value}", key, rule=MAY if key in KNOWN_KEYS else SAME)


def config_value(case, r):
    """Another legal value: another model."""
    t = case.folder.text
    key, value = r.choice([("rms_norm_eps", 1e-3), ("rms_norm_eps", 1e-5), ("final_logit_softcapping", 5.0),
                           ("final_logit_softcapping", None), ("sliding_window", 2), ("sliding_window", 3),
                           ("max_position_embeddings", 256), ("top_k_experts", 3), ("top_k_experts", 1),
                           ("hidden_activation", "gelu"), ("hidden_activation", "silu"), ("attention_dropout", 0.1),
                           ("attention_bias", True), ("use_bidirectional_attention", "all"),
                           ("use_bidirectional_attention", None), ("num_hidden_layers", 1), ("attention_k_eq_v", False),
                           ("use_double_wide_mlp", True), ("enable_moe_block", False), ("num_kv_shared_layers", 1)])
    if key == "top_k_experts" and case.folder.kind != "M":
        key, value = "rms_norm_eps", 1e-2
    t[key] = value
    case.note(f"config text.{key} = {value}", key, "layer", "bias", *MISFIT, rule=MAY)


def rope(case, r):
    t = case.folder.text
    how = r.choice(["theta", "share", "default", "missing one", "type", "flat", "extra"])
    ropes = t["rope_parameters"]
    kind = r.choice(["full_attention", "sliding_attention"])
    if how == "theta":
        ropes[kind]["rope_theta"] = r.choice([5000.0, 12345, 1e7])
    elif how == "share":
        ropes["full_attention"]["partial_rotary_factor"] = r.choice([0.5, 1.0, 0.125])
    elif how == "default":
        ropes["full_attention"] = {"rope_type": "default", "rope_theta": 1e6}
    elif how == "missing one":
        del ropes[kind]
    elif how == "type":
        ropes[kind] = {"rope_type": r.choice(["linear", "yarn", "dynamic", "llama3"]), "rope_theta": 1e4, "factor": 2.0,
                       "original_max_position_embeddings": 2048}
    elif how == "flat":
        t["rope_parameters"] = ropes["sliding_attention"]
    else:
        ropes[kind]["original_max_position_embeddings"] = 4096
    case.note(f"rope {kind} {how}", "rope", rule=MAY if how != "theta" else SAME)


def layer_types(case, r):
    t = case.folder.text
    types = t["layer_types"]
    how = r.choice(["last sliding", "swap", "short", "long", "word", "all full"])
    if how == "last sliding":
        types[-1] = "sliding_attention"
    elif how == "swap":
        types[0], types[-1] = types[-1], types[0]
    elif how == "short":
        types.pop()
    elif how == "long":
        types.append("full_attention")
    elif how == "word":
        types[0] = r.choice(["chunked_attention", "sliding", "linear_attention"])
    else:
        types[:] = ["full_attention"] * len(types)
    case.note(f"layer_types {how}", "layer_types", "layer", *MISFIT, rule=MAY)


def per_layer(case, r):
    """The newer spelling, with or without the older one beside it."""
    t = case.folder.text
    layers = [i for i, kind in enumerate(t["layer_types"]) if kind == "full_attention"]
    value = {"head_dim": 64}
    if t["attention_k_eq_v"]:
        value["num_key_value_heads"] = 1
    digits = r.choice([1, 1, 2])
    t["per_layer_config"] = {f"{i:0{digits}}": dict(value) for i in layers}
    how = r.choice(["alone", "alone", "beside", "wrong", "empty"])
    if how in ("alone", "wrong"):
        t.pop("global_head_dim", None), t.pop("num_global_key_value_heads", None)
    if how == "wrong":
        t["per_layer_config"][f"{layers[0]:0{digits}}"]["head_dim"] = 48
    if how == "empty":
        t["per_layer_config"] = {}
    case.note(f"per_layer_config {how}, {digits} digits", "head", "per_layer_config", "layer", *MISFIT,
              rule=SAME if how in ("alone", "beside") else MAY)


def leftover_quantisation(case, r):
    value = r.choice([{"quant_method": "bitsandbytes", "load_in_4bit": True}, {"quant_method": "gptq", "bits": 4},
                      {"quant_method": "compressed-tensors", "format": "dense", "config_groups": {}}, {}, None,
                      {"quant_method": "fp8"}, {"quant_method": "awq", "bits": 4}, {"quant_method": "torchao"}])
    r.choice([case.folder.config, case.folder.text])["quantization_config"] = value
    case.undo.append(lambda f: (f.config.pop("quantization_config", None), f.text.pop("quantization_config", None)))
    case.note(f"quantization_config {json.dumps(value)} beside bf16 tensors")


def model_type(case, r):
    f = case.folder
    where = r.choice([f.config, f.text])
    where["model_type"] = r.choice(["gemma3", "gemma4_assistant", "diffusion_gemma", "embedding_gemma2", "llama", "", None, "gemma4",
                                    "gemma4_text", "gemma3n", "Gemma4"])
    case.note(f"model_type {where['model_type']!r} in {'root' if where is f.config else 'text'}", "model_type",
              str(where["model_type"]), "model type", rule=MAY)


#===-- generation -----------------------------------------------------------===#


def generation(case, r):
    f = case.folder
    if r.random() < 0.1:
        f.generation = r.choice([None, {}, None])
        case.note(f"generation_config {f.generation}")
        return
    v = model.VOCAB
    g = f.generation
    choices = {
        "eos_token_id": [1, [1], None, [1, 47], [47, 1, 40, 40], -1, v, [v + 5, 1], [], 333, [43, 99]],
        "do_sample": [False, None, True], "temperature": [0, 0.0, None, 0.7, 1, 2.5], "top_k": [0, None, -1, 1, 50, 64, 1000, 20],
        "top_p": [0.0, None, 1, 1.0, 0.9, 0.5], "suppress_tokens": [[], None, [43], [436, 122, 414], [v + 1], [5, 5], [-1]],
        "bos_token_id": [None, 2, 0, v], "pad_token_id": [None, 0, -1, [0]], "min_p": [None, 0.0, 0.05],
        "repetition_penalty": [1.0, None, 1], "max_new_tokens": [None, 2048], "max_length": [20, 131072, None],
        "typical_p": [1.0, None], "num_beams": [1, None], "cache_implementation": ["hybrid", None],
        "use_cache": [True, False], "begin_suppress_tokens": [None, []], "no_repeat_ngram_size": [0, None],
        "_from_model_config": [True], "transformers_version": ["4.99.0", None], "unknown_key": [1, None, [], {"a": 2}],
        "output_logits": [True], "bad_words_ids": [None], "forced_eos_token_id": [None], "stop_strings": [None]}
    for key in r.sample(sorted(choices), r.randint(1, 4)):
        g[key] = r.choice(choices[key])
        case.note(f"generation {key} = {g[key]}", key)
    for key in r.sample(sorted(set(g) - {"transformers_version"}), r.choice([0, 0, 1, 2, 4])):
        del g[key]
        case.note(f"generation {key} removed", key)


def decoding(case, r):
    """Fields that change what greedy decoding gives."""
    key, value = r.choice([("repetition_penalty", 1.5), ("no_repeat_ngram_size", 1), ("num_beams", 3),
                           ("bad_words_ids", [[333]]), ("min_new_tokens", 4), ("forced_eos_token_id", 1),
                           ("begin_suppress_tokens", [436, 122, 61, 414, 438]), ("encoder_repetition_penalty", 1.3),
                           ("sequence_bias", [[[99], -50.0]]), ("max_length", 6), ("exponential_decay_length_penalty", [2, 3.0])])
    case.folder.generation[key] = value
    case.warns = True
    case.note(f"generation {key} = {value}", key, rule=MAY)


#===-- vocabulary, template -------------------------------------------------===#


def grow(f, rows, r):
    """More rows for the tables."""
    for name in ("embed_tokens.weight", "embed_tokens_per_layer.weight"):
        t = f.tensors.get(PREFIX + name)
        if t:
            row = len(t.data) // t.shape[0]
            more = r.choice([bytes(row * (rows - t.shape[0])), t.data[row * 9:row * (9 + rows - t.shape[0])]])
            f.tensors[PREFIX + name] = t.copy(data=t.data + more, shape=[rows] + t.shape[1:])
    f.text["vocab_size"] = rows
    if "vocab_size_per_layer_input" in f.text:
        f.text["vocab_size_per_layer_input"] = rows


def padded(case, r):
    rows = model.VOCAB + r.choice([1, 7, 16, 64])
    grow(case.folder, rows, r)
    case.note(f"tables padded to {rows} rows")


def extended(case, r):
    f, count = case.folder, r.randint(1, 6)
    for i in range(count):
        text = r.choice(["<|new{}|>", " word{}", "tool call {}", "\u00e4{}", "<custom_{}>", "{}\n"]).format(i)
        f.tokenizer["added_tokens"].append({
            "id": model.VOCAB + i, "content": text, "single_word": r.random() < 0.2, "lstrip": r.random() < 0.3,
            "rstrip": r.random() < 0.3, "normalized": r.random() < 0.5, "special": r.random() < 0.5})
    grow(f, model.VOCAB + count + r.choice([0, 0, 8]), r)
    case.note(f"{count} added tokens", "added token", "added_tokens", rule=MAY)


def more_pieces(case, r):
    """A tokenizer with more pieces than the tables have rows."""
    case.folder.tokenizer["added_tokens"].append({
        "id": model.VOCAB + r.choice([0, 3]), "content": "<extra>", "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": True})
    case.note("a piece beyond the tables", "vocab", "<extra>", "tokenizer", rule=MAY)


def cut_vocabulary(case, r):
    """Rows and pieces without the last, those of media."""
    f, rows = case.folder, model.PIECES
    f.tokenizer["added_tokens"] = [a for a in f.tokenizer["added_tokens"] if a["id"] < rows]
    f.tokenizer["model"]["vocab"] = {k: v for k, v in f.tokenizer["model"]["vocab"].items() if v < rows}
    for name in ("embed_tokens.weight", "embed_tokens_per_layer.weight"):
        t = f.tensors.get(PREFIX + name)
        if t:
            f.tensors[PREFIX + name] = t.copy(data=t.data[:len(t.data) // t.shape[0] * rows], shape=[rows] + t.shape[1:])
    f.text["vocab_size"] = rows
    if "vocab_size_per_layer_input" in f.text:
        f.text["vocab_size_per_layer_input"] = rows
    case.note("vocabulary without the tokens of media")


def tokenizer_fields(case, r):
    t = case.folder.tokenizer
    how = r.choice(["flags", "truncation", "version", "merges text", "unk", "byte_fallback", "post", "normaliser", "duplicate"])
    if how == "flags":
        for a in r.sample(t["added_tokens"], 3):
            a[r.choice(["normalized", "lstrip", "rstrip", "special", "single_word"])] ^= True
    elif how == "truncation":
        t["truncation"] = {"direction": "Right", "max_length": 512, "strategy": "LongestFirst", "stride": 0}
        t["padding"] = {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
                        "pad_type_id": 0, "pad_token": "<pad>"}
    elif how == "version":
        t.pop("version"), t.pop("truncation"), t.pop("padding")
    elif how == "merges text":
        t["model"]["merges"] = [" ".join(m) for m in t["model"]["merges"] if " " not in m[0] + m[1]]
    elif how == "unk":
        t["model"]["unk_token"] = None
    elif how == "byte_fallback":
        t["model"]["byte_fallback"] = False
    elif how == "post":
        t["post_processor"] = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}},
                               {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
                               "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}}}
    elif how == "normaliser":
        t["normalizer"] = {"type": "Sequence", "normalizers": [t["normalizer"]]}
    else:
        t["added_tokens"].append(dict(t["added_tokens"][5]))
    case.note(f"tokenizer.json: {how}", "tokenizer", "added", "merge", rule=SAME if how in ("truncation", "version") else MAY)


def template_place(case, r):
    f, text = case.folder, case.folder.template
    how = r.choice(["tokenizer_config", "list", "chat_template.json", "processor_config.json", "crlf", "none", "unknown", "bom",
                    "no newline", "additional"])
    if how in ("tokenizer_config", "list", "chat_template.json", "processor_config.json", "none"):
        f.template = None
    if how == "tokenizer_config":
        f.tokenizer_config["chat_template"] = text
    elif how == "list":
        f.tokenizer_config["chat_template"] = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": text}]
    elif how in ("chat_template.json", "processor_config.json"):
        f.raw[how] = json.dumps({"chat_template": text}).encode()
    elif how == "crlf":
        f.template = text.replace("\n", "\r\n")
    elif how == "unknown":
        f.template = r.choice(["{{ messages }}", text + "\n{# mine #}", text.replace("system", "developer")])
    elif how == "bom":
        f.template = "\ufeff" + text
    elif how == "no newline":
        f.template = text.rstrip("\n") if r.random() < 0.5 else text + "\n"
    elif how == "additional":
        f.raw["additional_chat_templates/tool_use.jinja"] = b"x"
    case.note(f"template: {how}")


FOLDER = {prefix: 8, text_only: 3, order: 1, expert_names: 0, fused: 1, buffers: 4, towers: 3, strange_tensor: 3, missing: 4,
          dead_kv: 2, head: 6, untied: 2, wrong_shape: 3, lora: 2, quantised: 4, dtypes: 4, used_dtype: 2, shards: 4,
          stale_index: 5, twice: 3, no_index: 3, both: 1, pointer: 3, broken: 3, other_weights: 3, more_files: 2, adapter: 2,
          header: 3, config_removed: 6, config_null: 5, config_type: 6, config_unknown: 4, config_value: 5, rope: 3,
          layer_types: 2, per_layer: 3, leftover_quantisation: 2, model_type: 3, generation: 12, decoding: 2, padded: 3,
          extended: 3, more_pieces: 1, cut_vocabulary: 1, tokenizer_fields: 3, template_place: 4}
# Those that leave the form of the tensors' names and files alone go with one of these.
MIXABLE = [prefix, order, dtypes, buffers, towers, shards, more_files, generation, template_place]


def alter(case, r):
    weights = dict(FOLDER)
    if case.folder.kind == "M":
        weights[expert_names] = 12
    chosen = r.choices(list(weights), list(weights.values()))[0]
    chosen(case, r)
    names_matter = {prefix, text_only, expert_names, stale_index, twice, no_index, both, header, other_weights, adapter, shards,
                    broken, pointer, head, fused, lora, quantised, strange_tensor}
    if r.random() < 0.3 and chosen not in names_matter:
        other = r.choice([x for x in MIXABLE if x is not chosen])
        other(case, r)
