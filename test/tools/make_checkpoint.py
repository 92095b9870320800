#!/usr/bin/env python3
"""Makes checkpoints with random weights of the shapes that a config.json asks for
(spec/gemma4-text.md 3.1 and 3.2), streamed, so that memory stays small whatever
the model: a Hugging Face folder of bf16 tensors, a GGUF file, or both with the same
values.

  make_checkpoint.py CONFIG_FOLDER [OUT_FOLDER] [--gguf OUT.gguf] [--type bf16|q8_0|q4_0]
                     [--head bf16|q8_0|q6_k|q4_0] [--vocab FILE.gguf] [--seed N]
                     [--shard-bytes N] [--dead-kv]

--type gives the format of the matrices; it bounds the values of both files, so the
bf16 folder of a q4_0 model lies on the 4-bit grid, as that of a QAT checkpoint. As
llama.cpp's quantiser does, embeddings stay finer (--head: both tables; its own choice
for Q4_0 is q6_k, the default here is q8_0), the router is F32, the projection of the
per-layer embeddings BF16, norms F32. A matrix whose rows no block fits is BF16.

--vocab copies the tokenizer of another GGUF file (one without tensors will do) to
the GGUF file; otherwise it gets pieces without meaning.

Values are near normal with standard deviation about 1/sqrt(last dimension) for
matrices, 0.05 for the PLE table, near 1 for norms. A tensor's values depend on the
seed, its name, its format and the size of the largest tensor."""
import argparse, json, os, shutil, struct, sys, zlib
import numpy as np

import gguf
import random_blocks

GLOBAL_NAMES = {
    "embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight",
    "embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
    "per_layer_model_projection.weight": "per_layer_model_proj.weight",
    "per_layer_projection_norm.weight": "per_layer_proj_norm.weight"}
LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight", "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight", "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight", "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight", "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight", "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight", "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight", "layer_scalar": "layer_output_scale.weight",
    "per_layer_input_gate.weight": "inp_gate.weight", "per_layer_projection.weight": "proj.weight",
    "post_per_layer_input_norm.weight": "post_norm.weight", "router.proj.weight": "ffn_gate_inp.weight",
    "router.scale": "ffn_gate_inp.scale", "router.per_expert_scale": "ffn_down_exps.scale",
    "experts.gate_up_proj": "ffn_gate_up_exps.weight", "experts.down_proj": "ffn_down_exps.weight",
    "pre_feedforward_layernorm_2.weight": "pre_ffw_norm_2.weight",
    "post_feedforward_layernorm_1.weight": "post_ffw_norm_1.weight",
    "post_feedforward_layernorm_2.weight": "post_ffw_norm_2.weight"}
STRING, ARRAY, U32, I32, F32, BOOL = 8, 9, 4, 5, 6, 7


def layer_shape(t, i):
    """Head size, K/V heads and width of the dense MLP of layer i."""
    hd, kv = t["head_dim"], t["num_key_value_heads"]
    per_layer = {int(k): v for k, v in (t.get("per_layer_config") or {}).items()}
    if per_layer:
        hd = per_layer.get(i, {}).get("head_dim", hd)
        kv = per_layer.get(i, {}).get("num_key_value_heads", kv)
    elif t["layer_types"][i] == "full_attention":
        hd = t.get("global_head_dim") or 512
        if t.get("attention_k_eq_v") and t.get("num_global_key_value_heads"):
            kv = t["num_global_key_value_heads"]
    owns = i < t["num_hidden_layers"] - (t.get("num_kv_shared_layers") or 0)
    return hd, kv, t["intermediate_size"] * (2 if t.get("use_double_wide_mlp") and not owns else 1)


def tensors(t, dead_kv):
    layers, d, heads = t["num_hidden_layers"], t["hidden_size"], t["num_attention_heads"]
    vocab, p = t["vocab_size"], t.get("hidden_size_per_layer_input") or 0
    shared = t.get("num_kv_shared_layers") or 0
    types = t["layer_types"]
    yield "embed_tokens.weight", [vocab, d]
    yield "norm.weight", [d]
    if p:
        yield "embed_tokens_per_layer.weight", [t.get("vocab_size_per_layer_input") or vocab, layers * p]
        yield "per_layer_model_projection.weight", [layers * p, d]
        yield "per_layer_projection_norm.weight", [p]
    for i in range(layers):
        k_eq_v = bool(t.get("attention_k_eq_v")) and types[i] == "full_attention"
        hd, kv, ffn = layer_shape(t, i)
        owns = i < layers - shared
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


def fits(kind, columns):
    """The format itself, or the next finer one whose blocks divide a row."""
    if kind == "q6_k" and columns % 256:
        kind = "q8_0"
    return "bf16" if columns % random_blocks.TYPES[kind][1] else kind


def kind_of(name, shape, body, head):
    """Format of a tensor in the GGUF file."""
    if len(shape) == 1 or "router.proj" in name:
        return "f32"
    if "per_layer_model_projection" in name:
        return "bf16"
    return fits(head if name.startswith("embed_tokens") else body, shape[-1])


class Maker:
    def __init__(self, text, body, head, seed, dead_kv):
        self.text, self.body, self.head, self.seed = text, body, head, seed
        self.list = list(tensors(text, dead_kv))
        self.pools = random_blocks.Pools(seed, max(int(np.prod(shape)) for _, shape in self.list))

    def kind(self, name, shape):
        return kind_of(name, shape, self.body, self.head)

    def values(self, name, shape):
        """Yields pairs as random_blocks.stream does."""
        deviation, mean = 1 / np.sqrt(shape[-1]), 0.0
        if "embed_tokens_per_layer" in name:
            deviation = 0.05
        elif len(shape) == 1:
            deviation, mean = 0.1, 0.3 if "k_norm" in name else 0.8 if "layer_scalar" in name else 1.0
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return random_blocks.stream(self.pools, self.kind(name, shape), int(np.prod(shape)), deviation, mean, rng)


def write_folder(maker, config, out, shard_bytes):
    os.makedirs(out, exist_ok=True)
    for name in os.listdir(config):
        if name.endswith((".json", ".jinja")) and "safetensors" not in name:
            shutil.copy(os.path.join(config, name), out)
    shards, size = [[]], 0
    for name, shape in maker.list:
        n = 2 * int(np.prod(shape))
        if size and size + n > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append((name, shape, n))
        size += n
    index = {}
    for s, shard in enumerate(shards):
        file_name = "model.safetensors" if len(shards) == 1 else f"model-{s + 1:05}-of-{len(shards):05}.safetensors"
        header, at = {}, 0
        for name, shape, n in shard:
            header["model.language_model." + name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + n]}
            index["model.language_model." + name] = file_name
            at += n
        head = json.dumps(header).encode()
        head += b" " * (-len(head) % 8)
        with open(os.path.join(out, file_name), "wb") as f:
            f.write(struct.pack("<Q", len(head)) + head)
            for name, shape, n in shard:
                for _, bits in maker.values(name, shape):
                    f.write(bits())
        print(f"{file_name}: {at / 1e9:.2f} GB", file=sys.stderr)
    if len(shards) > 1:
        total = sum(n for shard in shards for _, _, n in shard)
        json.dump({"metadata": {"total_size": total}, "weight_map": index},
                  open(os.path.join(out, "model.safetensors.index.json"), "w"))


def gguf_name(name):
    if not name.startswith("layers."):
        return GLOBAL_NAMES[name]
    _, layer, rest = name.split(".", 2)
    return f"blk.{layer}.{LAYER_NAMES[rest]}"


def entries(t, body):
    """The metadata that llama.cpp and gemmac ask for."""
    layers = t["num_hidden_layers"]
    shapes = [layer_shape(t, i) for i in range(layers)]
    sliding = [kind == "sliding_attention" for kind in t["layer_types"]]
    heads = lambda glob: next((s[0] for s, local in zip(shapes, sliding) if local != glob), t["head_dim"])
    ropes = t.get("rope_parameters") or {}
    theta = lambda kind, default: float((ropes.get(kind) or {}).get("rope_theta", default))
    per_layer = lambda items: (U32, items[0]) if len(set(items)) == 1 else (ARRAY, (I32, items))
    e = {"general.architecture": (STRING, b"gemma4"), "general.type": (STRING, b"model"),
         "general.name": (STRING, b"random weights"), "general.quantization_version": (U32, 2),
         "general.file_type": (U32, {"bf16": 32, "q8_0": 7, "q4_0": 2}[body])}
    values = {
        "block_count": (U32, layers), "context_length": (U32, t["max_position_embeddings"]),
        "embedding_length": (U32, t["hidden_size"]), "feed_forward_length": per_layer([s[2] for s in shapes]),
        "attention.head_count": (U32, t["num_attention_heads"]),
        "attention.head_count_kv": per_layer([s[1] for s in shapes]),
        "attention.layer_norm_rms_epsilon": (F32, t.get("rms_norm_eps") or 1e-6),
        "attention.key_length": (U32, heads(True)), "attention.value_length": (U32, heads(True)),
        "attention.key_length_swa": (U32, heads(False)), "attention.value_length_swa": (U32, heads(False)),
        "attention.sliding_window": (U32, t["sliding_window"]),
        "attention.sliding_window_pattern": (ARRAY, (BOOL, sliding)),
        "attention.shared_kv_layers": (U32, t.get("num_kv_shared_layers") or 0),
        "embedding_length_per_layer_input": (U32, t.get("hidden_size_per_layer_input") or 0),
        "final_logit_softcapping": (F32, t.get("final_logit_softcapping") or 30.0),
        "rope.freq_base": (F32, theta("full_attention", 1e6)),
        "rope.freq_base_swa": (F32, theta("sliding_attention", 1e4)),
        "rope.dimension_count": (U32, heads(True)), "rope.dimension_count_swa": (U32, heads(False))}
    if t.get("enable_moe_block"):
        values.update({"expert_count": (U32, t["num_experts"]), "expert_used_count": (U32, t["top_k_experts"]),
                       "expert_feed_forward_length": (U32, t["moe_intermediate_size"])})
    e.update(("gemma4." + key, value) for key, value in values.items())
    share = (ropes.get("full_attention") or {}).get("partial_rotary_factor", 0.25)
    pairs = heads(True) // 2
    turning = int(share * heads(True)) // 2
    return e, np.array([1.0] * turning + [1e30] * (pairs - turning), "<f4")


def tokenizer(vocab, source):
    """tokenizer.* entries: those of a file, or pieces without meaning; none for a
    vocabulary that cannot hold them."""
    if source:
        found = {k: v for k, v in gguf.Gguf(source).entries.items() if k.startswith("tokenizer.")}
        count = len(found["tokenizer.ggml.tokens"][1][1])
        if count != vocab:
            sys.exit(f"make_checkpoint.py: {source} has {count} pieces, the model expects {vocab}")
        return found
    pieces = [b"<pad>", b"<eos>", b"<bos>", b"<unk>", b"<mask>"] + [b"<0x%02X>" % i for i in range(256)]
    types = [3] * 5 + [6] * 256
    more = [chr(c).encode() for c in range(0x21, 0x7F)] + ["\u2581".encode(), b"ab", b"abc"]
    pieces, types = pieces + more, types + [1] * len(more)
    if vocab < len(pieces):
        return {}
    pieces += [b"piece%d" % i for i in range(len(pieces), vocab)]
    types += [1] * (vocab - len(types))
    e = {"model": (STRING, b"gemma4"), "tokens": (ARRAY, (STRING, pieces)),
         "scores": (ARRAY, (F32, [0.0] * vocab)), "token_type": (ARRAY, (I32, types)),
         "merges": (ARRAY, (STRING, [b"a b", b"ab c"])), "bos_token_id": (U32, 2), "eos_token_id": (U32, 1),
         "unknown_token_id": (U32, 3), "padding_token_id": (U32, 0), "add_bos_token": (BOOL, True),
         "add_space_prefix": (BOOL, False)}
    return {"tokenizer.ggml." + key: value for key, value in e.items()}


def write_gguf(maker, path, vocab):
    file = gguf.Gguf()
    file.entries, factors = entries(maker.text, maker.body)
    file.entries.update(tokenizer(maker.text["vocab_size"], vocab))
    offsets, at = [], 0
    plan = [(None, [len(factors)], "f32")] + [(name, shape, maker.kind(name, shape)) for name, shape in maker.list]
    for name, shape, kind in plan:
        number = random_blocks.TYPES[kind][0]
        tensor = gguf.Tensor(gguf_name(name) if name else "rope_freqs.weight", shape[::-1], number, b"")
        file.tensors.append(tensor)
        offsets.append(at)
        at += -(-gguf.size(tensor.ne, number) // file.alignment) * file.alignment
    with open(path, "wb") as f:
        f.write(file.header(offsets))
        for name, shape, _ in plan:
            start = f.tell()
            if name:
                for data, _ in maker.values(name, shape):
                    f.write(data)
            else:
                f.write(factors)
            f.write(b"\0" * (-(f.tell() - start) % file.alignment))
    print(f"{path}: {at / 1e9:.2f} GB", file=sys.stderr)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("config"), a.add_argument("out", nargs="?")
    a.add_argument("--gguf"), a.add_argument("--vocab")
    a.add_argument("--type", default="bf16", choices=["bf16", "q8_0", "q4_0"])
    a.add_argument("--head", choices=["bf16", "q8_0", "q6_k", "q4_0"])
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--shard-bytes", type=int, default=4_000_000_000)
    a.add_argument("--dead-kv", action="store_true")
    a = a.parse_args()
    if not a.out and not a.gguf:
        sys.exit("make_checkpoint.py: expects OUT_FOLDER, --gguf OUT.gguf, or both")
    config = json.load(open(os.path.join(a.config, "config.json")))
    head = a.head or ("bf16" if a.type == "bf16" else "q8_0")
    maker = Maker(config.get("text_config", config), a.type, head, a.seed, a.dead_kv)
    if a.out:
        write_folder(maker, a.config, a.out, a.shard_bytes)
    if a.gguf:
        write_gguf(maker, a.gguf, a.vocab)


if __name__ == "__main__":
    main()
