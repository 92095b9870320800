#!/usr/bin/env python3
"""Makes a Hugging Face checkpoint with random bf16 weights of the shapes that a
config.json asks for (spec/gemma4-text.md 3.1), streamed, so that memory stays
small whatever the model.

  make_checkpoint.py CONFIG_FOLDER OUT_FOLDER [--seed N] [--shard-bytes N] [--dead-kv]

Values are normal with standard deviation 1/sqrt(last dimension) for matrices,
0.05 for the PLE table, near 1 for norms; the same 16 M random numbers are used
again and again at random offsets. Tensor names carry model.language_model."""
import argparse, json, os, shutil, struct, sys
import numpy as np


def tensors(t, dead_kv):
    layers, d, heads = t["num_hidden_layers"], t["hidden_size"], t["num_attention_heads"]
    vocab, p = t["vocab_size"], t.get("hidden_size_per_layer_input") or 0
    shared = t.get("num_kv_shared_layers") or 0
    types = t["layer_types"]
    per_layer = {int(k): v for k, v in (t.get("per_layer_config") or {}).items()}
    yield "embed_tokens.weight", [vocab, d]
    yield "norm.weight", [d]
    if p:
        yield "embed_tokens_per_layer.weight", [t.get("vocab_size_per_layer_input") or vocab, layers * p]
        yield "per_layer_model_projection.weight", [layers * p, d]
        yield "per_layer_projection_norm.weight", [p]
    for i in range(layers):
        glob = types[i] == "full_attention"
        k_eq_v = bool(t.get("attention_k_eq_v")) and glob
        hd, kv = t["head_dim"], t["num_key_value_heads"]
        if per_layer:
            hd = per_layer.get(i, {}).get("head_dim", hd)
            kv = per_layer.get(i, {}).get("num_key_value_heads", kv)
        elif glob:
            hd = t.get("global_head_dim") or 512
            if t.get("attention_k_eq_v") and t.get("num_global_key_value_heads"):
                kv = t["num_global_key_value_heads"]
        owns = i < layers - shared
        ffn = t["intermediate_size"] * (2 if t.get("use_double_wide_mlp") and not owns else 1)
        n = f"layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                     "post_feedforward_layernorm"):
            yield n + norm + ".weight", [d]
        yield n + "self_attn.q_proj.weight", [heads * hd, d]
        yield n + "self_attn.q_norm.weight", [hd]
        yield n + "self_attn.o_proj.weight", [d, heads * hd]
        if owns or dead_kv:
            yield n + "self_attn.k_proj.weight", [kv * hd, d]
            yield n + "self_attn.k_norm.weight", [hd]
            if not k_eq_v:
                yield n + "self_attn.v_proj.weight", [kv * hd, d]
        yield n + "mlp.gate_proj.weight", [ffn, d]
        yield n + "mlp.up_proj.weight", [ffn, d]
        yield n + "mlp.down_proj.weight", [d, ffn]
        yield n + "layer_scalar", [1]
        if p:
            yield n + "per_layer_input_gate.weight", [p, d]
            yield n + "per_layer_projection.weight", [d, p]
            yield n + "post_per_layer_input_norm.weight", [d]
        if t.get("enable_moe_block"):
            e, f = t["num_experts"], t["moe_intermediate_size"]
            yield n + "router.proj.weight", [e, d]
            yield n + "router.scale", [d]
            yield n + "router.per_expert_scale", [e]
            yield n + "experts.gate_up_proj", [e, 2 * f, d]
            yield n + "experts.down_proj", [e, d, f]
            for norm in ("pre_feedforward_layernorm_2", "post_feedforward_layernorm_1",
                         "post_feedforward_layernorm_2"):
                yield n + norm + ".weight", [d]


def write_tensor(file, name, shape, pool, rng):
    scale, shift = 1 / np.sqrt(shape[-1]), 0.0
    if "embed_tokens_per_layer" in name:
        scale = 0.05
    elif len(shape) == 1:
        scale, shift = 0.1, 0.3 if "k_norm" in name else 0.8 if "layer_scalar" in name else 1.0
    left = int(np.prod(shape))
    while left:
        n = min(left, 1 << 22)
        at = int(rng.integers(0, len(pool) - n + 1))
        bits = (pool[at:at + n] * np.float32(scale) + np.float32(shift)).view(np.uint32)
        file.write(((bits + 0x8000) >> 16).astype("<u2").tobytes())
        left -= n


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("config"), a.add_argument("out")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--shard-bytes", type=int, default=4_000_000_000)
    a.add_argument("--dead-kv", action="store_true")
    a = a.parse_args()
    config = json.load(open(os.path.join(a.config, "config.json")))
    text = config.get("text_config", config)
    os.makedirs(a.out, exist_ok=True)
    for name in os.listdir(a.config):
        if name.endswith((".json", ".jinja")) and "safetensors" not in name:
            shutil.copy(os.path.join(a.config, name), a.out)
    shards, size = [[]], 0
    for name, shape in tensors(text, a.dead_kv):
        n = 2 * int(np.prod(shape))
        if size and size + n > a.shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(("model.language_model." + name, shape, n))
        size += n
    rng = np.random.default_rng(a.seed)
    pool = rng.standard_normal(1 << 24, dtype=np.float32)
    index = {}
    for s, shard in enumerate(shards):
        file_name = "model.safetensors" if len(shards) == 1 else f"model-{s + 1:05}-of-{len(shards):05}.safetensors"
        header, at = {}, 0
        for name, shape, n in shard:
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + n]}
            index[name] = file_name
            at += n
        head = json.dumps(header).encode()
        head += b" " * (-len(head) % 8)
        with open(os.path.join(a.out, file_name), "wb") as f:
            f.write(struct.pack("<Q", len(head)) + head)
            for name, shape, n in shard:
                write_tensor(f, name, shape, pool, rng)
        print(f"{file_name}: {at / 1e9:.2f} GB", file=sys.stderr)
    if len(shards) > 1:
        total = sum(n for shard in shards for _, _, n in shard)
        json.dump({"metadata": {"total_size": total}, "weight_map": index},
                  open(os.path.join(a.out, "model.safetensors.index.json"), "w"))


if __name__ == "__main__":
    main()
