#!/usr/bin/env python3
"""Makes the three tiny checkpoints of the golden table in docs/model/text.md#10,
whose weights are a function of the tensors' names.

  make_tiny.py (E|D|M) OUT_FOLDER [options]

  E: per-layer embeddings, shared K/V, double-wide MLP. D: K = V on global
  layers. M: D with experts. The options change the form of the files, never a
  number that the model sees:
  --flat           gemma4_text: configuration not nested, names with "model."
  --type T         bf16 (default), f16 or f32; f16 is exact only within its range
  --shards N       N files with an index
  --dead-kv        K/V tensors for layers that read another layer's (E)
  --tower          one tensor of a vision tower
  --head H         a stored lm_head: same (tied, equal), other (tied, differs)
                   or untied (the embedding's bytes, tie_word_embeddings false)
  --drop NAME      leave a tensor out;  --add NAME  add one of shape [3]
  --reshape NAME   give it a row more;  --retype NAME  make it I8"""
import argparse, json, os, struct

LAYERS, D, HEADS, VOCAB, WINDOW, FFN = 6, 64, 4, 128, 4, 96
GLOBAL = (2, 5)
MASK = (1 << 64) - 1


def config(kind):
    text = {
        "model_type": "gemma4_text", "num_hidden_layers": LAYERS, "hidden_size": D,
        "num_attention_heads": HEADS, "num_key_value_heads": 1 if kind == "E" else 2, "head_dim": 32,
        "global_head_dim": 64, "num_global_key_value_heads": None if kind == "E" else 1,
        "attention_k_eq_v": kind != "E", "intermediate_size": FFN, "vocab_size": VOCAB,
        "sliding_window": WINDOW, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
        "final_logit_softcapping": 5.0, "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": ["full_attention" if i in GLOBAL else "sliding_attention" for i in range(LAYERS)],
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0,
                               "partial_rotary_factor": 0.25}},
        "hidden_size_per_layer_input": 16 if kind == "E" else 0, "vocab_size_per_layer_input": VOCAB,
        "num_kv_shared_layers": 3 if kind == "E" else 0, "use_double_wide_mlp": kind == "E",
        "enable_moe_block": kind == "M", "tie_word_embeddings": True}
    if kind == "M":
        text.update(num_experts=8, top_k_experts=2, moe_intermediate_size=32)
    return text


def tensors(kind, dead_kv):
    yield "embed_tokens.weight", [VOCAB, D]
    yield "norm.weight", [D]
    if kind == "E":
        yield "embed_tokens_per_layer.weight", [VOCAB, LAYERS * 16]
        yield "per_layer_model_projection.weight", [LAYERS * 16, D]
        yield "per_layer_projection_norm.weight", [16]
    for i in range(LAYERS):
        n, wide = f"layers.{i}.", i in GLOBAL
        hd = 64 if wide else 32
        kv = 1 if kind == "E" or wide else 2
        owns = kind != "E" or i < 3
        ffn = FFN if owns else 2 * FFN
        norms = ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                 "post_feedforward_layernorm"]
        if kind == "M":
            norms += ["pre_feedforward_layernorm_2", "post_feedforward_layernorm_1",
                      "post_feedforward_layernorm_2"]
        if kind == "E":
            norms += ["post_per_layer_input_norm"]
        for norm in norms:
            yield n + norm + ".weight", [D]
        yield n + "self_attn.q_proj.weight", [HEADS * hd, D]
        yield n + "self_attn.q_norm.weight", [hd]
        yield n + "self_attn.o_proj.weight", [D, HEADS * hd]
        if owns or dead_kv:
            yield n + "self_attn.k_proj.weight", [kv * hd, D]
            yield n + "self_attn.k_norm.weight", [hd]
            if kind == "E" or not wide:
                yield n + "self_attn.v_proj.weight", [kv * hd, D]
        yield n + "mlp.gate_proj.weight", [ffn, D]
        yield n + "mlp.up_proj.weight", [ffn, D]
        yield n + "mlp.down_proj.weight", [D, ffn]
        yield n + "layer_scalar", [1]
        if kind == "E":
            yield n + "per_layer_input_gate.weight", [16, D]
            yield n + "per_layer_projection.weight", [D, 16]
        if kind == "M":
            yield n + "router.proj.weight", [8, D]
            yield n + "router.scale", [D]
            yield n + "router.per_expert_scale", [8]
            yield n + "experts.gate_up_proj", [8, 64, D]
            yield n + "experts.down_proj", [8, D, 32]


def uniform(name, count):
    """count numbers in [-1, 1) from the full name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 & MASK
    for j in range(1, count + 1):
        z = seed + j * 0x9E3779B97F4A7C15 & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        z ^= z >> 31
        yield (z >> 40) / 2**23 - 1


def value(name, shape, u):
    if name.endswith("k_norm.weight"):
        return 0.125 * (1 + 0.25 * u)
    if name.endswith("layer_scalar"):
        return 0.5 + 0.25 * u
    if name == "embed_tokens_per_layer.weight":
        return 0.1 * u
    if len(shape) == 1:
        return 1 + 0.25 * u
    return u * (3 / shape[-1])**0.5


def encode(values, kind):
    """Rounded to f32, then to bf16 (nearest even); stored as asked."""
    bits = struct.unpack(f"<{len(values)}I", struct.pack(f"<{len(values)}f", *values))
    bits = [b + 0x7FFF + (b >> 16 & 1) >> 16 for b in bits]
    if kind == "bf16":
        return struct.pack(f"<{len(bits)}H", *bits)
    wide = struct.pack(f"<{len(bits)}I", *(b << 16 for b in bits))
    if kind == "f32":
        return wide
    return struct.pack(f"<{len(bits)}e", *struct.unpack(f"<{len(bits)}f", wide))


def write(path, entries):
    header, at = {}, 0
    for name, kind, shape, data in entries:
        header[name] = {"dtype": kind.upper(), "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for entry in entries:
            file.write(entry[3])


def make(a):
    for name, shape in tensors(a.kind, a.dead_kv):
        if name == a.drop:
            continue
        count = 1
        for n in shape:
            count *= n
        full = "model.language_model." + name
        data = encode([value(name, shape, u) for u in uniform(full, count)], a.type)
        kind = a.type
        if name == a.reshape:
            data += data[:len(data) // shape[0]]
            shape = [shape[0] + 1] + shape[1:]
        if name == a.retype:
            kind, data = "i8", bytes(count)
        yield name, kind, shape, data
    if a.add:
        yield a.add, "f32", [3], bytes(12)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kind", choices="EDM"), p.add_argument("out")
    p.add_argument("--flat", action="store_true"), p.add_argument("--dead-kv", action="store_true")
    p.add_argument("--tower", action="store_true"), p.add_argument("--shards", type=int, default=1)
    p.add_argument("--type", choices=["bf16", "f16", "f32"], default="bf16")
    p.add_argument("--head", choices=["same", "other", "untied"])
    for option in ("--drop", "--add", "--reshape", "--retype"):
        p.add_argument(option)
    a = p.parse_args()
    text = config(a.kind)
    text["tie_word_embeddings"] = a.head != "untied"
    prefix = "model." if a.flat else "model.language_model."
    entries = [(prefix + name, kind, shape, data) for name, kind, shape, data in make(a)]
    if a.head:
        _, kind, shape, data = entries[0]
        entries.append(("lm_head.weight", kind, shape, data[::-1] if a.head == "other" else data))
    if a.tower:
        entries.append(("model.vision_tower.patch.weight", "f32", [3], bytes(12)))
    os.makedirs(a.out, exist_ok=True)
    for name in os.listdir(a.out):
        os.remove(os.path.join(a.out, name))
    root = text if a.flat else {"model_type": "gemma4", "text_config": text,
                                "tie_word_embeddings": a.head != "untied"}
    with open(os.path.join(a.out, "config.json"), "w") as file:
        json.dump(root, file, indent=1)
    if a.shards == 1:
        return write(os.path.join(a.out, "model.safetensors"), entries)
    names = {}
    for s in range(a.shards):
        file_name = f"model-{s + 1:05}-of-{a.shards:05}.safetensors"
        part = entries[s::a.shards]
        write(os.path.join(a.out, file_name), part)
        names.update((entry[0], file_name) for entry in part)
    with open(os.path.join(a.out, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": names}, file)


if __name__ == "__main__":
    main()
